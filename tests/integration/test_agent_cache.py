"""agent.cache: what it holds, what it tells, and how it gets over every way in which a watch can break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from agent.cache import PART_OF, Change, LiveCache
from agent.kube import errors
from agent.kube.access import Access
from agent.kube.client import Kube
from shared.model import ObjectRef
from shared.tasks import Clock, Mailbox
from tests.fakes.scripted import ScriptedServer, scripted_server, status

Changes = Mailbox[tuple[str, str, str, str], Change]


class HastyClock(Clock):
    """Waits are noted and last no time."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0.001)


class Objects:
    """ConfigMaps behind the two verbs that a cache uses."""

    def __init__(self, server: ScriptedServer) -> None:
        self.version = 10
        self.items: dict[str, dict[str, Any]] = {}
        self.streams: list[asyncio.Queue[bytes | None]] = []
        self.lists: list[web.Request] = []
        self.watches: list[web.Request] = []
        self.broken: Callable[[web.Request], Any] | None = None
        server.routes["/api/v1/configmaps"] = self.handle
        server.routes["/api/v1/namespaces/shop/configmaps"] = self.handle

    async def handle(self, request: web.Request) -> web.StreamResponse:
        watching = "watch" in request.query
        (self.watches if watching else self.lists).append(request)
        if self.broken is not None and (reply := self.broken(request)) is not None:
            return await reply(request)
        if not watching:
            metadata = {"resourceVersion": str(self.version)}
            return web.json_response({"metadata": metadata, "items": list(self.items.values())})
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.streams.append(queue)
        while (line := await queue.get()) is not None:
            await response.write(line)
        return response

    def body(self, name: str, value: str, applyset: str = "one", **more: Any) -> dict[str, Any]:
        self.version += 1
        metadata = {
            "name": name,
            "namespace": "shop",
            "resourceVersion": str(self.version),
            "labels": {PART_OF: applyset},
        }
        return {"metadata": metadata, "data": {"k": value}, **more}

    def store(self, name: str, value: str, **more: Any) -> None:
        """Changes what is there without telling a watch."""
        self.items[name] = self.body(name, value, **more)

    def send(self, kind: str, body: dict[str, Any]) -> None:
        self.streams[-1].put_nowait(
            orjson.dumps({"type": kind, "object": {"apiVersion": "v1", "kind": "ConfigMap", **body}}) + b"\n"
        )

    def end(self) -> None:
        """Ends the newest watch."""
        self.streams[-1].put_nowait(None)


@pytest.fixture
async def objects() -> AsyncIterator[Objects]:
    async with scripted_server() as server:
        objects = Objects(server)
        objects.url = server.url  # type: ignore[attr-defined]
        yield objects
        for stream in objects.streams:
            stream.put_nowait(None)


@asynccontextmanager
async def cached(objects: Objects, **options: Any) -> AsyncIterator[tuple[LiveCache, Any, Changes, HastyClock]]:
    clock = HastyClock()
    async with await Kube.connect(Access.url(objects.url)) as kube:  # type: ignore[attr-defined]
        cache = LiveCache(kube, clock, **options)
        changes = cache.subscribe()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(cache.run())
            try:
                yield cache, await kube.resource("v1", "ConfigMap"), changes, clock
            finally:
                running.cancel()


def ref(name: str) -> ObjectRef:
    return ObjectRef("v1", "ConfigMap", "shop", name)


def value(cache: LiveCache, name: str) -> str | None:
    found = cache.get(ref(name))
    return found["data"]["k"] if found is not None else None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def next_change(changes: Changes) -> tuple[str, str, bool]:
    async with asyncio.timeout(10):
        _, change = await changes.get()
    return change.ref.name, change.part_of, change.deleted


async def test_what_is_there_is_known_once_ensured(objects: Objects) -> None:
    objects.store("a", "1")
    objects.store("b", "2", applyset="two")
    async with cached(objects) as (cache, resource, _, _clock):
        assert not cache.synced(resource)
        await cache.ensure(resource)
        assert cache.synced(resource)
        assert (value(cache, "a"), value(cache, "b"), value(cache, "c")) == ("1", "2", None)
        assert cache.part_of("one") == (ref("a"),)
        found = cache.get(ref("a"))
        assert found is not None
        assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
        await cache.ensure(resource)
    assert [request.query["labelSelector"] for request in objects.lists] == [PART_OF]
    assert {request.query["labelSelector"] for request in objects.watches} == {PART_OF}


async def test_changes_are_followed_and_told(objects: Objects) -> None:
    async with cached(objects) as (cache, resource, changes, _):
        await cache.ensure(resource)
        await until(lambda: bool(objects.streams))
        objects.send("ADDED", objects.body("a", "1"))
        assert await next_change(changes) == ("a", "one", False)
        objects.send("MODIFIED", objects.body("a", "2"))
        assert await next_change(changes) == ("a", "one", False)
        assert value(cache, "a") == "2"
        objects.send("DELETED", objects.body("a", "2"))
        assert await next_change(changes) == ("a", "one", True)
        assert value(cache, "a") is None
        assert cache.part_of("one") == ()


async def test_an_event_without_a_change_is_not_told_but_its_version_is_kept(objects: Objects) -> None:
    objects.store("a", "1")
    async with cached(objects) as (cache, resource, changes, _):
        await cache.ensure(resource)
        await changes.drain()
        await until(lambda: bool(objects.streams))
        body = objects.body("a", "1")
        objects.send("MODIFIED", body)
        objects.send("MODIFIED", objects.body("b", "1"))
        assert (await next_change(changes))[0] == "b"
        assert len(changes) == 0
        kept = cache.get(ref("a"))
        assert kept is not None
        assert kept["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]


async def test_an_object_that_moves_to_another_applyset_changes_members(objects: Objects) -> None:
    objects.store("a", "1")
    async with cached(objects) as (cache, resource, changes, _):
        await cache.ensure(resource)
        await changes.drain()
        await until(lambda: bool(objects.streams))
        objects.send("MODIFIED", objects.body("a", "1", applyset="two"))
        assert await next_change(changes) == ("a", "one", True)
        assert await next_change(changes) == ("a", "two", False)
        assert (cache.part_of("one"), cache.part_of("two")) == ((), (ref("a"),))


async def test_a_watch_that_ends_goes_on_from_the_last_bookmark_without_listing(objects: Objects) -> None:
    async with cached(objects) as (cache, resource, _, _clock):
        await cache.ensure(resource)
        await until(lambda: bool(objects.streams))
        objects.send("BOOKMARK", {"metadata": {"resourceVersion": "77"}})
        objects.end()
        await until(lambda: len(objects.watches) == 2)
        assert objects.watches[1].query["resourceVersion"] == "77"
        assert len(objects.lists) == 1
        assert cache.stale(resource) is None


async def test_a_version_too_old_lists_again_and_tells_only_what_changed(objects: Objects) -> None:
    for name in "abc":
        objects.store(name, "1")
    async with cached(objects) as (cache, resource, changes, _):
        await cache.ensure(resource)
        await changes.drain()
        await until(lambda: bool(objects.streams))
        objects.send("BOOKMARK", {"metadata": {"resourceVersion": "20"}})
        del objects.items["a"]
        objects.store("b", "2")
        objects.send("ERROR", {"kind": "Status", "code": 410, "message": "too old"})
        assert {await next_change(changes), await next_change(changes)} == {("a", "one", True), ("b", "one", False)}
        assert len(changes) == 0
        assert (value(cache, "a"), value(cache, "b"), value(cache, "c")) == (None, "2", "1")
        assert cache.statistics().restarts == 1


async def test_while_a_watch_is_broken_the_cache_says_so_and_keeps_what_it_has(objects: Objects) -> None:
    objects.store("a", "1")
    async with cached(objects) as (cache, resource, _, clock):
        await cache.ensure(resource)
        await until(lambda: bool(objects.streams))
        objects.broken = lambda _: status(503, "etcd is down", "ServiceUnavailable")
        objects.send("BOOKMARK", {"metadata": {"resourceVersion": "20"}})
        objects.end()
        await until(lambda: len(clock.waits) > 4)
        stale = cache.stale(resource)
        assert stale is not None
        assert "etcd is down" in stale.reason
        assert value(cache, "a") == "1"
        assert clock.waits[4] > clock.waits[0]
        objects.broken = None
        await until(lambda: cache.stale(resource) is None)
        assert len(objects.lists) == 1


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered(objects: Objects) -> None:
    async def empty(request: web.Request) -> web.StreamResponse:
        return web.Response()

    objects.broken = lambda request: empty if "watch" in request.query else None
    async with cached(objects) as (cache, resource, _, clock):
        await cache.ensure(resource)
        await until(lambda: len(clock.waits) >= 5)
        assert len(objects.watches) <= len(clock.waits) + 1
        assert clock.waits[4] > clock.waits[0]


async def test_a_server_that_forgets_at_once_is_not_hammered_with_lists(objects: Objects) -> None:
    objects.broken = lambda request: status(410, "too old", "Expired") if "watch" in request.query else None
    async with cached(objects) as (cache, resource, _, clock):
        await cache.ensure(resource)
        await until(lambda: len(clock.waits) >= 5)
        assert len(objects.lists) <= len(clock.waits) + 1


async def test_a_throttled_list_waits_as_long_as_it_is_told(objects: Objects) -> None:
    first = iter([status(429, "slow down", "TooManyRequests", {"Retry-After": "42"})])
    objects.broken = lambda _: next(first, None)
    async with cached(objects) as (cache, resource, _, clock):
        with pytest.raises(errors.Throttled):
            await cache.ensure(resource)
        await cache.ensure(resource)
        assert clock.waits[0] == 42


async def test_a_kind_we_may_not_list_is_told_to_who_asks_and_heals_by_itself(objects: Objects) -> None:
    objects.broken = lambda _: status(403, "configmaps is forbidden", "Forbidden")
    async with cached(objects) as (cache, resource, _, _clock):
        with pytest.raises(errors.Forbidden):
            await cache.ensure(resource)
        stale = cache.stale(resource)
        assert stale is not None
        assert "forbidden" in stale.reason
        assert not cache.synced(resource)
        objects.broken = None
        await until(lambda: cache.synced(resource))
        await cache.ensure(resource)


async def test_only_the_named_namespaces_are_asked_for(objects: Objects) -> None:
    async with cached(objects, namespaces=["shop"]) as (cache, resource, _, _clock):
        await cache.ensure(resource)
        assert [request.path for request in objects.lists] == ["/api/v1/namespaces/shop/configmaps"]


async def test_kubectls_copy_of_an_object_is_not_kept(objects: Objects) -> None:
    objects.store("a", "1")
    objects.items["a"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "x": "y"}
    async with cached(objects) as (cache, resource, _, _clock):
        await cache.ensure(resource)
        found = cache.get(ref("a"))
        assert found is not None
        assert found["metadata"]["annotations"] == {"x": "y"}


async def test_statistics_count(objects: Objects) -> None:
    objects.store("a", "1")
    async with cached(objects) as (cache, resource, _, _clock):
        await cache.ensure(resource)
        numbers = cache.statistics()
        assert (numbers.objects, numbers.watches, numbers.broken, numbers.restarts) == (1, 1, 0, 0)
        assert 0 < numbers.bytes < 1000
