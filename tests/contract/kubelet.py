"""A pretend scheduler and kubelet for real API servers without nodes: just enough for workloads to get ready.

It polls one namespace: pods without a node are bound and reported running and ready (or, by the sandbox's own
annotations and image tag, not), deleted pods are let go. The sandbox does this itself.
"""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

from tests.contract.client import MERGE, Client

NODE = "contract-node"


class Kubelet:
    """Serves the pods of a client's namespace while `run` runs."""

    def __init__(self, api: Client) -> None:
        self._api = api
        self._pods = api.path("pods")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for pod in (await self._api.get(self._pods)).ok()["items"]:
                await self._serve(pod)
            await asyncio.sleep(0.05)

    async def _serve(self, pod: dict[str, Any]) -> None:
        path = f"{self._pods}/{pod['metadata']['name']}"
        if "deletionTimestamp" in pod["metadata"]:
            await self._api.call("DELETE", path, {"gracePeriodSeconds": 0})
            return
        if not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            body = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": pod["metadata"]["name"]},
                "target": target,
            }
            await self._api.call("POST", f"{path}/binding", body)
        if "startTime" not in pod["status"]:
            await self._api.call("PATCH", f"{path}/status", {"status": status(pod)}, MERGE)


def status(pod: dict[str, Any]) -> dict[str, Any]:
    """The status that a kubelet would report."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    broken = any(c["image"].endswith(":broken") for c in pod["spec"]["containers"])
    ends = pod["spec"]["restartPolicy"] != "Always"
    ready = "False" if broken or ends else "True"
    state: dict[str, Any] = {"running": {"startedAt": now}}
    if broken:
        state = {"waiting": {"reason": "ImagePullBackOff"}}
    elif ends:
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    containers = [
        {
            "name": c["name"],
            "image": c["image"],
            "imageID": "",
            "ready": ready == "True",
            "restartCount": 0,
            "state": state,
        }
        for c in pod["spec"]["containers"]
    ]
    types = {"Initialized": "True", "Ready": ready, "ContainersReady": ready, "PodScheduled": "True"}
    return {
        "phase": "Pending" if broken else "Succeeded" if ends else "Running", "startTime": now, "podIP": "10.244.0.1",
        "conditions": [{"type": k, "status": v, "lastTransitionTime": now} for k, v in types.items()],
        "containerStatuses": containers,
    }  # fmt: skip
