"""A bare HTTP client for the contract: what goes out and comes back is what the test says, nothing is retried."""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from tests.fakes.apiserver import ApiServer

DEADLINE = 20.0
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass
class Answer:
    """A response; `body` is decoded JSON, or text."""

    code: int
    body: Any
    headers: Any

    def ok(self) -> Any:
        """The body of a success."""
        assert 200 <= self.code < 300, (self.code, self.body)
        return self.body

    def refused(self, code: int, reason: str) -> str:
        """The message of a refusal."""
        assert (self.code, self.body.get("reason", "")) == (code, reason), (self.code, self.body)
        assert (self.body["kind"], self.body["status"], self.body["code"]) == ("Status", "Failure", code)
        return str(self.body["message"])


class Watching:
    """An open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self, timeout: float = DEADLINE) -> tuple[str, Any]:
        """The next event as (type, object)."""
        async with asyncio.timeout(timeout):
            line = await self._response.content.readline()
        if not line:
            return ("END", None)
        event = orjson.loads(line)
        return (event["type"], event["object"])

    async def until(self, predicate: Callable[[str, Any], bool]) -> tuple[str, Any]:
        """The first event for which `predicate` holds."""
        async with asyncio.timeout(DEADLINE):
            while True:
                kind, obj = await self.next()
                assert kind != "END", "the watch ended"
                if predicate(kind, obj):
                    return kind, obj

    def close(self) -> None:
        """Ends the watch."""
        self._response.close()


class Client:
    """Requests to one server. Paths of namespaced objects are made by `path`."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.namespace = ""
        self._tls = server.tls()
        self._watches: list[Watching] = []

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.server.token}", "User-Agent": "contract/1"}
        self.session = aiohttp.ClientSession(headers=headers, read_bufsize=1 << 22)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for watching in self._watches:
            watching.close()
        await self.session.close()
        if self.server.ca:
            await asyncio.sleep(0.1)  # aborted TLS connections are closed by the loop, and aiohttp does not wait for it

    def unique(self) -> str:
        """A name that no other test uses."""
        return secrets.token_hex(4)

    def path(self, resource: str, name: str = "", sub: str = "") -> str:
        """`deployments.apps/v1` or `configmaps` in the test's namespace."""
        plural, _, group = resource.partition(".")
        root = f"/apis/{group}" if group else "/api/v1"
        return (
            f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")
        )

    async def call(
        self, method: str, path: str, body: Any = None, content: str = "application/json", **query: str
    ) -> Answer:
        """One request. `headers_*` are not queries but headers, e.g. `headers_Accept`."""
        headers = {k[8:]: query.pop(k) for k in list(query) if k.startswith("headers_")}
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        if data is not None:
            headers["Content-Type"] = content
        async with self.session.request(
            method,
            self.server.url + path,
            data=io.BytesIO(data) if data else None,
            headers=headers,
            params=query,
            ssl=self._tls,
        ) as response:
            raw = await response.read()
            try:
                decoded = orjson.loads(raw)
            except orjson.JSONDecodeError:
                decoded = raw.decode()
            return Answer(response.status, decoded, response.headers)

    async def get(self, path: str, **query: str) -> Answer:
        """GET."""
        return await self.call("GET", path, **query)

    async def create(self, resource: str, body: Any, **query: str) -> Answer:
        """POST to the collection."""
        return await self.call("POST", self.path(resource), body, **query)

    async def apply(self, resource: str, body: Any, manager: str = "one", **query: str) -> Answer:
        """Server-side apply."""
        path = self.path(resource, body["metadata"]["name"])
        return await self.call("PATCH", path, body, APPLY, fieldManager=manager, **query)

    async def patch(self, resource: str, name: str, body: Any, content: str = MERGE, **query: str) -> Answer:
        """Any other patch."""
        return await self.call("PATCH", self.path(resource, name), body, content, **query)

    async def delete(self, resource: str, name: str, body: Any = None, **query: str) -> Answer:
        """DELETE."""
        return await self.call("DELETE", self.path(resource, name), body, **query)

    async def watch(self, path: str, **query: str) -> Watching:
        """Opens a watch."""
        response = await self.session.get(
            self.server.url + path, params={"watch": "1", **query}, ssl=self._tls,
            timeout=aiohttp.ClientTimeout(total=None),
        )  # fmt: skip
        assert response.status == 200, await response.text()
        watching = Watching(response)
        self._watches.append(watching)
        return watching

    async def make_namespace(self, name: str) -> None:
        """Creates a namespace and waits until it has its service account, where controllers make one."""
        (
            await self.call(
                "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
        ).ok()
        if self.server.controllers:
            await self.eventually(lambda: self._exists(f"/api/v1/namespaces/{name}/serviceaccounts/default"))

    async def _exists(self, path: str) -> bool:
        return (await self.get(path)).code == 200

    async def eventually(self, check: Callable[[], Awaitable[Any]]) -> Any:
        """The first true result of `check`."""
        async with asyncio.timeout(DEADLINE):
            while not (result := await check()):
                await asyncio.sleep(0.03)
            return result

    async def gone(self, path: str) -> None:
        """Waits until a path answers 404."""

        async def check() -> bool:
            return (await self.get(path)).code == 404

        await self.eventually(check)


def config_map(name: str = "cm", **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A Deployment with one container."""
    container = {"name": "main", "image": "nginx:1", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    whole = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": whole}


def managers(obj: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(manager, operation, subresource) -> fieldsV1."""
    return {
        (e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"]
        for e in obj["metadata"].get("managedFields") or ()
    }
