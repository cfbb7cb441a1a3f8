"""The verbs of the Kubernetes API that the agent uses, over `Transport` and `Discovery`.

    async with await Kube.connect(Access.in_cluster()) as kube:
        live = await kube.apply(manifest)

Nothing is retried or throttled here: every failure comes out at once as an error of `agent.kube.errors`.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Self

from agent.kube.access import Access
from agent.kube.discovery import MIN_INTERVAL, Answer, Discovery, Resource
from agent.kube.errors import NotFound, UnknownKind
from agent.kube.transport import DEADLINE, Request, Transport
from agent.kube.watch import EventType, WatchEvent, watch
from shared.model import Manifest, ObjectRef
from shared.tasks import Clock

__all__ = ["EventType", "Kube", "Resource", "WatchEvent"]

MANAGER = "yardarm"
APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"


class Kube:
    """A connection to one cluster. Made by `connect`; closed by `close` or as an async context manager."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._refreshing = asyncio.Lock()
        self._refreshed_at = float("-inf")
        self._act_as = ""
        self.discovery = Discovery(self._fetch)

    @classmethod
    async def connect(cls, access: Access, clock: Clock | None = None) -> Self:
        """Reads credentials. Sends nothing yet: a cluster that is down is found out by the first request.

        Raises:
            AccessError: files, contexts or plugins are not usable.
        """
        clock = clock or Clock()
        return cls(Transport(await access.open(clock)), clock)

    async def close(self) -> None:
        """Closes all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def acting_as(self, user: str) -> Self:
        """The same connection, whose writes are sent in the name of `user`; empty: in our own. Reading stays ours."""
        if user == self._act_as:
            return self
        other = copy.copy(self)
        other._act_as = user
        return other

    async def version(self, *, deadline: float = DEADLINE) -> str:
        """The server's version, e.g. `v1.36.2`."""
        answer = await self._transport.send(Request("GET", "/version"), deadline=deadline)
        return str(answer.body.get("gitVersion", ""))

    async def rediscover(self) -> bool:
        """Asks what is served, now; returns whether that changed. For when a CRD or APIService came or went."""
        async with self._refreshing:
            return await self._refresh()

    async def resource(self, api_version: str, kind: str) -> Resource:
        """How the cluster serves a kind; asks again, at most every few seconds, for one that is not known.

        Raises:
            UnknownKind: not served.
            ApiError: the cluster could not be asked.
        """
        try:
            return self.discovery.find(api_version, kind)
        except UnknownKind:
            async with self._refreshing:
                if self._clock.monotonic() - self._refreshed_at >= MIN_INTERVAL:
                    await self._refresh()
        return self.discovery.find(api_version, kind)

    async def apply(
        self,
        manifest: Manifest,
        *,
        force: bool = False,
        dry_run: bool = False,
        manager: str = MANAGER,
        on_warning: Callable[[str], None] | None = None,
        deadline: float = DEADLINE,
    ) -> Manifest:
        """Server-side apply; returns the object as it is (or, in a dry run, would be) afterwards.

        `force` takes fields over from other managers. `on_warning` gets each of the server's warnings: deprecated
        versions, unknown fields that were dropped, what admission policies and webhooks want to say.

        Raises:
            Conflict: others own fields with other values.
            Invalid: unknown, missing or wrong fields.
            ApiError: anything else.
        """
        ref = _ref(manifest)
        query = {"fieldManager": manager, "force": "true" if force else "false", "fieldValidation": "Warn"}
        if dry_run:
            query["dryRun"] = "All"
        path = await self._object_path(ref)
        request = Request("PATCH", path, query, manifest, content_type=APPLY_PATCH, act_as=self._act_as)
        answer = await self._transport_send(request, ref, deadline)
        if on_warning is not None:
            for warning in answer.warnings:
                on_warning(warning)
        return _manifest(answer.body)

    async def get(self, ref: ObjectRef, *, deadline: float = DEADLINE) -> Manifest | None:
        """The live object, None when there is none."""
        path = await self._object_path(ref)
        try:
            return _manifest((await self._transport_send(Request("GET", path), ref, deadline)).body)
        except NotFound:
            return None

    async def set_managed_fields(self, live: Manifest, managed_fields: Sequence[Manifest]) -> Manifest:
        """Rewrites who owns what in `live`, which must still be the current version; values stay as they are.

        Raises:
            Conflict: the object has changed meanwhile.
        """
        return await self.merge(live, {"metadata": {"managedFields": managed_fields}})

    async def merge(self, live: Manifest, change: Manifest, *, deadline: float = DEADLINE) -> Manifest:
        """A merge patch to `live`, which must still be the current version.

        Raises:
            Conflict: the object has changed meanwhile.
        """
        ref, version = _ref(live), live["metadata"]["resourceVersion"]
        body = {**change, "metadata": {**(change.get("metadata") or {}), "resourceVersion": version}}
        path = await self._object_path(ref)
        query = {"fieldManager": MANAGER}
        request = Request("PATCH", path, query, body, content_type=MERGE_PATCH, act_as=self._act_as)
        return _manifest((await self._transport_send(request, ref, deadline)).body)

    async def create(self, manifest: Manifest, *, deadline: float = DEADLINE) -> Manifest:
        """Makes an object that must not be there yet.

        Raises:
            Conflict: it is.
        """
        ref = _ref(manifest)
        path = (await self.resource(ref.api_version, ref.kind)).path(ref.namespace)
        request = Request("POST", path, {"fieldManager": MANAGER}, manifest, act_as=self._act_as)
        return _manifest((await self._transport_send(request, ref, deadline)).body)

    async def disown(self, live: Manifest, label: str, managed_fields: Sequence[Manifest]) -> Manifest:
        """Takes a label off and rewrites who owns what in `live`, which must still be the current version.

        Raises:
            Conflict: the object has changed meanwhile.
        """
        ref, version = _ref(live), live["metadata"]["resourceVersion"]
        metadata = {"resourceVersion": version, "labels": {label: None}, "managedFields": managed_fields}
        path = await self._object_path(ref)
        request = Request("PATCH", path, body={"metadata": metadata}, content_type=MERGE_PATCH)
        return _manifest((await self._transport_send(request, ref, DEADLINE)).body)

    async def delete(
        self,
        ref: ObjectRef,
        *,
        uid: str | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
        deadline: float = DEADLINE,
    ) -> bool:
        """Asks for deletion; False when it was already gone. Finalizers may keep it a while longer.

        Raises:
            Conflict: `uid` is given and another object of that name stands there.
        """
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            body["dryRun"] = ["All"]
        path = await self._object_path(ref)
        try:
            await self._transport_send(Request("DELETE", path, body=body, act_as=self._act_as), ref, deadline)
        except NotFound:
            return False
        return True

    async def pages(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        deadline: float = DEADLINE,
    ) -> AsyncGenerator[tuple[list[Manifest], str], None]:
        """All objects page by page, each with the resource version that all pages share. `deadline` is per page.

        Raises:
            Gone: listing took so long that the server forgot that version: begin again.
        """
        query = {"limit": str(limit)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        path = resource.path(namespace)
        while True:
            answer = await self._transport_send(Request("GET", path, query), resource, deadline)
            metadata = answer.body.get("metadata") or {}
            items = [_filled(item, resource) for item in answer.body.get("items") or ()]
            yield items, str(metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query = {**query, "continue": metadata["continue"]}

    async def list(
        self, resource: Resource, *, namespace: str = "", label_selector: str = "", limit: int = 500
    ) -> tuple[list[Manifest], str]:
        """All objects, fetched in pages of `limit`, and the resource version to watch from. See `pages`."""
        items: list[Manifest] = []
        version = ""
        async for page, version in self.pages(  # noqa: B007 - the last one is returned
            resource, namespace=namespace, label_selector=label_selector, limit=limit
        ):
            items += page
        return items, version

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        on_open: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes since `resource_version` until the server ends the watch, which is normal (3 to 5 minutes).

        `on_open` is called when the server has accepted it. Close the iterator (`contextlib.aclosing`) when leaving
        it early.

        Raises:
            Gone: the version is too old: list again.
            ApiError: anything else, also in the middle.
        """
        query = {"resourceVersion": resource_version}
        if label_selector:
            query["labelSelector"] = label_selector
        return watch(self._transport, resource.path(namespace), query, on_open)

    async def _object_path(self, ref: ObjectRef) -> str:
        resource = await self.resource(ref.api_version, ref.kind)
        if resource.namespaced and not ref.namespace:
            raise ValueError(f"{ref}: {ref.kind} is namespaced and the reference has no namespace")
        return resource.path(ref.namespace, ref.name)

    async def _transport_send(self, request: Request, about: ObjectRef | Resource, deadline: float) -> Any:
        try:
            return await self._transport.send(request, deadline=deadline)
        except NotFound as error:
            if error.reason:
                raise
            # No Status but "404 page not found": the path itself is not served any more.
            self._refreshed_at = float("-inf")
            raise UnknownKind(about.api_version, about.kind) from error

    async def _refresh(self) -> bool:
        changed = await self.discovery.refresh()
        self._refreshed_at = self._clock.monotonic()
        return changed

    async def _fetch(self, path: str, *, accept: str, etag: str = "") -> Answer:
        answer = await self._transport.send(Request("GET", path, accept=accept, etag=etag))
        return Answer(answer.body, answer.etag)


def _ref(manifest: Manifest) -> ObjectRef:
    metadata = manifest["metadata"]
    return ObjectRef(manifest["apiVersion"], manifest["kind"], metadata.get("namespace") or "", metadata["name"])


def _manifest(body: Any) -> Manifest:
    return body if isinstance(body, dict) else {}


def _filled(item: Manifest, resource: Resource) -> Manifest:
    """Items of a list lack what the list itself says."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **item}
