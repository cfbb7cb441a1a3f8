"""Random writers on one object: the sandbox says at every step what a real server says, ownership and conflicts included.

PodTemplate has every list that is merged by key, and no controller that interferes. Runs only when there is a real
server to compare with; a failure names the step, and the seed makes it come again.
"""

from __future__ import annotations

import pathlib
import random
import re
from typing import Any

import orjson
import pytest

from tests.contract.client import APPLY, MERGE, STRATEGIC, Answer, Client
from tests.fakes import apiserver

STEPS = 60


class Writers:
    """Makes random requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def _maybe(self, chance: float = 0.5) -> bool:
        return self._random.random() < chance

    def _some(self, names: str, least: int = 0) -> list[str]:
        return self._random.sample(names, self._random.randint(least, len(names)))

    def _container(self, name: str) -> dict[str, Any]:
        choose = self._random.choice
        fields = {
            "env": [{"name": n, "value": choose("12")} for n in self._some("ABC")],
            "ports": [{"containerPort": 80, **choose(({}, {"protocol": "UDP"}))}, {"containerPort": 81}][: choose((0, 1, 2))],
            "resources": choose(({}, {"limits": {"cpu": "1000m"}}, {"limits": {"cpu": "1", "memory": "1Gi"}})),
            "command": choose(([], ["x"], ["y", "z"])),
            "securityContext": choose(({}, {"runAsUser": 0}, {"privileged": False})),
        }  # fmt: skip
        return {"name": name, "image": choose("ab"), **{k: v for k, v in fields.items() if self._maybe(0.4)}}

    def template(self) -> dict[str, Any]:
        """A PodTemplate."""
        choose = self._random.choice
        metadata = {
            "labels": {k: choose("12") for k in self._some("xyz")},
            "annotations": {k: choose("12") for k in self._some("xyz")},
            "finalizers": [f"a.b/{x}" for x in self._some("fg")],
        }
        spec = {
            "tolerations": choose(([], [{"key": "a", "operator": "Exists"}])),
            "nodeSelector": choose(({}, {"a": "b"}, {"a": "c"})),
            "imagePullSecrets": [{"name": n} for n in self._some("pq")],
            "hostNetwork": False,
            "terminationGracePeriodSeconds": choose((0, 5, 30)),
            "affinity": choose(({}, {"nodeAffinity": {}})),
            "volumes": [{"name": "v", **choose(({}, {"emptyDir": {}}))}],
        }
        spec = {k: v for k, v in spec.items() if self._maybe(0.4)}
        spec["containers"] = [self._container(n) for n in self._some("cde", 1)]
        return {
            "apiVersion": "v1", "kind": "PodTemplate",
            "metadata": {"name": "x", **{k: v for k, v in metadata.items() if self._maybe(0.4)}},
            "template": {"metadata": {}, "spec": spec},
        }  # fmt: skip

    def request(self) -> tuple[str, dict[str, Any], str, dict[str, str]]:
        """(method, body, content type, query) of the next write."""
        body, kind = self.template(), self._random.random()
        if kind < 0.6:
            query = {"fieldManager": self._random.choice("mno"), "force": "true" if self._maybe(0.6) else "false"}
            return "PATCH", body, APPLY, query
        query = {"fieldManager": self._random.choice("uvw")}
        if kind < 0.75:
            return "PUT", body, "application/json", query
        if kind < 0.95:
            return "PATCH", body, self._random.choice((STRATEGIC, MERGE)), query
        return "PATCH", {"metadata": {"managedFields": [{}]}}, MERGE, query


def lasting(answer: Answer) -> Any:
    """An answer without what differs from run to run."""
    body = orjson.loads(orjson.dumps(answer.body))
    metadata = body.get("metadata", {})
    for name in ("uid", "resourceVersion", "creationTimestamp", "namespace"):
        metadata.pop(name, None)
    for entry in metadata.get("managedFields") or ():
        entry.pop("time")
    metadata.get("managedFields", []).sort(key=lambda e: (e["operation"], e["manager"]))
    causes = (body.get("details") or {}).get("causes")
    if causes:  # managers come in any order, the fields of one in theirs
        causes.sort(key=lambda c: c["message"])
    return answer.code, orjson.loads(re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}", b"UID", orjson.dumps(body)))


@pytest.mark.skipif("real" not in apiserver.available(), reason="there is no real server to compare with")
@pytest.mark.parametrize("seed", range(5))
async def test_the_sandbox_follows_the_real_server(
    seed: int, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    writers = Writers(seed)
    real_server = request.getfixturevalue("real_server")
    async with apiserver.sandbox(tmp_path) as server, Client(server) as ours, Client(real_server) as theirs:
        for client in (ours, theirs):
            client.namespace = f"random-{client.unique()}"
            await client.make_namespace(client.namespace)
        start = writers.template()
        for client in (ours, theirs):
            (await client.apply("podtemplates", start, manager="m")).ok()
        for step in range(STEPS):
            method, body, content, query = writers.request()
            answers = [
                lasting(await client.call(method, client.path("podtemplates", "x"), body, content, **query))
                for client in (ours, theirs)
            ]
            assert answers[0] == answers[1], f"step {step}: {method} {content} {query} {body}"
        await theirs.call("DELETE", f"/api/v1/namespaces/{theirs.namespace}")
