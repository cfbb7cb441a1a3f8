"""Scheduler and kubelet of a control plane that has no nodes: `python -m tests.fakes.kubelet KUBECONFIG`.

Binds every pod to one node that is not there, says that it runs and is ready, and lets it go when it is deleted. What
a pod should do otherwise stands in its annotations:

    test.yardarm.dev/ready-after: "1.5"      seconds until it is ready
    test.yardarm.dev/never-ready: "true"     its containers crash, again and again
    test.yardarm.dev/succeed-after: "1"      seconds until its containers have done their work
"""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml

NODE = "pretended"
ANNOTATIONS = "test.yardarm.dev/"
AT_ONCE = 16

Object = dict[str, Any]


class Kubelet:
    """Every pod has a task of its own from when it is first seen."""

    def __init__(self, session: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        self._session = session
        self._group = group
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._seen: dict[str, str] = {}

    async def run(self) -> None:
        await self._register()
        while True:
            try:
                async for kind, pod in self._pods():
                    self._heard(kind, pod)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.5)

    async def _register(self) -> None:
        await self._send("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        room = {"cpu": "1000", "memory": "4000Gi", "pods": "100000"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        await self._send("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status})

    async def _pods(self) -> AsyncIterator[tuple[str, Object]]:
        async with self._session.get("/api/v1/pods") as answer:
            listed = await answer.json()
        for pod in listed["items"]:
            yield "ADDED", pod
        query = {"watch": "1", "timeoutSeconds": "600", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with self._session.get("/api/v1/pods", params=query) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]

    def _heard(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._seen.pop(uid, None)
        elif pod["metadata"].get("deletionTimestamp"):
            if self._seen.get(uid) != "leaving":
                self._seen[uid] = "leaving"
                self._group.create_task(self._let_go(pod))
        elif uid not in self._seen and pod.get("status", {}).get("phase") == "Pending":
            self._seen[uid] = "here"
            self._group.create_task(self._keep(pod))

    async def _let_go(self, pod: Object) -> None:
        now = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        await self._send("DELETE", _path(pod), now)

    async def _keep(self, pod: Object) -> None:
        told = {
            key.removeprefix(ANNOTATIONS): value
            for key, value in (pod["metadata"].get("annotations") or {}).items()
            if key.startswith(ANNOTATIONS)
        }
        if not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            metadata = {"name": pod["metadata"]["name"]}
            await self._send("POST", f"{_path(pod)}/binding", {"metadata": metadata, "target": target})
        if told.get("never-ready") == "true":
            await self._say(pod, "Running", {"waiting": {"reason": "CrashLoopBackOff"}}, restarts=3)
            return
        if "ready-after" in told:
            await self._say(pod, "Running", {"running": {"startedAt": _now()}})
            await asyncio.sleep(float(told["ready-after"]))
        await self._say(pod, "Running", {"running": {"startedAt": _now()}}, ready=True)
        if "succeed-after" in told:
            await asyncio.sleep(float(told["succeed-after"]))
            done = {"exitCode": 0, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}
            await self._say(pod, "Succeeded", {"terminated": done})

    async def _say(self, pod: Object, phase: str, state: Object, *, ready: bool = False, restarts: int = 0) -> None:
        yes = {"Initialized": True, "Ready": ready, "ContainersReady": ready, "PodScheduled": True}
        status = {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": "10.244.0.1",
            "podIPs": [{"ip": "10.244.0.1"}],
            "startTime": _now(),
            "conditions": [{"type": name, "status": str(met), "lastTransitionTime": _now()} for name, met in yes.items()],
            "containerStatuses": [
                {
                    "name": each["name"], "image": each["image"], "imageID": f"pretended://{each['image']}",
                    "ready": ready, "started": ready, "restartCount": restarts, "state": state,
                }
                for each in pod["spec"]["containers"]
            ],
        }  # fmt: skip
        await self._send("PATCH", f"{_path(pod)}/status", {"status": status})

    async def _send(self, method: str, path: str, body: Object) -> None:
        """A refusal is no matter: the pod may be gone, the node may be there."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = self._session.request(method, path, json=body, headers={"Content-Type": kind})
        async with self._turns, request as answer:
            await answer.read()


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def main(kubeconfig: str) -> None:
    config = yaml.safe_load(Path(kubeconfig).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    session = aiohttp.ClientSession(
        cluster["server"],
        connector=aiohttp.TCPConnector(ssl=context),
        headers={"Authorization": f"Bearer {user['token']}"},
        read_bufsize=2**24,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
    )
    async with session, asyncio.TaskGroup() as group:
        await Kubelet(session, group).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
