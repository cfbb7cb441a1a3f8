"""agent.kube over HTTP: what each answer of a server becomes. The server here says what a healthy one rarely does."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp import web

from agent.kube import errors
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.kube.watch import EventType
from shared.errors import Unavailable
from shared.model import ObjectRef
from shared.tasks import Clock
from tests.fakes.scripted import ScriptedServer, answer, scripted_server, status

CM = ObjectRef("v1", "ConfigMap", "shop", "a")
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"k": "v"}}
PATH = "/api/v1/namespaces/shop/configmaps/a"
APPLY = f"PATCH {PATH}"


class MovableClock(Clock):
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as running:
        yield running


@pytest.fixture
async def kube(server: ScriptedServer) -> AsyncIterator[Kube]:
    async with await Kube.connect(Access.url(server.url, "secret-token")) as client:
        yield client


async def test_a_request_carries_token_manager_force_and_validation(server: ScriptedServer, kube: Kube) -> None:
    server.routes[APPLY] = answer(MANIFEST)
    assert await kube.apply(MANIFEST, force=True, dry_run=True, manager="m") == MANIFEST
    sent = server.requests[-1]
    assert sent.headers["Authorization"] == "Bearer secret-token"
    assert sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert dict(sent.query) == {"fieldManager": "m", "force": "true", "dryRun": "All", "fieldValidation": "Warn"}


async def test_warnings_of_the_server_reach_the_caller_of_that_request(server: ScriptedServer, kube: Kube) -> None:
    async def warn(_: web.Request) -> web.Response:
        response = web.json_response(MANIFEST)
        response.headers.add("Warning", '299 - "unknown field \\"spec.replicass\\""')
        response.headers.add("Warning", '299 - "v1beta1 is deprecated"')
        return response

    server.routes[APPLY] = warn
    heard: list[str] = []
    await kube.apply(MANIFEST, on_warning=heard.append)
    assert heard == ['unknown field "spec.replicass"', "v1beta1 is deprecated"]


CONFLICT = status(
    409,
    'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.k',
    "Conflict",
    causes=[{"reason": "FieldManagerConflict", "message": 'conflict with "kubectl" using v1', "field": ".data.k"}],
)
FORBIDDEN = 'deployments.apps "a" is forbidden: User "agent" cannot patch resource "deployments" in API group "apps" in the namespace "shop"'
TYPED = 'failed to create typed patch object (shop/a; apps/v1, Kind=Deployment): errors:\n  .spec.template.spec.containers[name="x"].imag: field not declared in schema\n  .spec.replicass: field not declared in schema'


@pytest.mark.parametrize(
    ("reply", "kind", "facts"),
    [
        (status(404, 'namespaces "shop" not found', "NotFound", kind="namespaces", name="shop"), errors.NotFound, {"kind": "namespaces", "name": "shop"}),
        (CONFLICT, errors.Conflict, {"kind_of_conflict": "fields", "causes": (errors.FieldConflict("kubectl", ".data.k", 'conflict with "kubectl" using v1'),)}),
        (status(409, "exists", "AlreadyExists"), errors.Conflict, {"kind_of_conflict": "exists"}),
        (status(409, "modified", "Conflict"), errors.Conflict, {"kind_of_conflict": "stale"}),
        (status(403, FORBIDDEN, "Forbidden"), errors.Forbidden, {"user": "agent", "verb": "patch", "resource": "deployments.apps", "namespace": "shop", "terminating": False}),
        (status(403, "is being terminated", "Forbidden", causes=[{"reason": "NamespaceTerminating"}]), errors.Forbidden, {"terminating": True, "user": ""}),
        (status(401, "Unauthorized", "Unauthorized"), errors.Unauthorized, {"status": 401}),
        (status(422, "bad", "Invalid", causes=[{"field": "spec.x", "message": "must be"}]), errors.Invalid, {"causes": (errors.FieldError("spec.x", "must be"),)}),
        (status(500, TYPED), errors.Invalid, {"causes": (errors.FieldError('spec.template.spec.containers[name="x"].imag', "field not declared in schema"), errors.FieldError("spec.replicass", "field not declared in schema"))}),
        (status(410, "too old", "Expired"), errors.Gone, {"reason": "Expired"}),
        (status(429, "slow", "TooManyRequests", {"Retry-After": "7"}), errors.Throttled, {"retry_after": 7.0}),
        (status(429, "slow", "TooManyRequests"), errors.Throttled, {"retry_after": None}),
        (status(503, "later", "ServiceUnavailable", {"Retry-After": "3"}), errors.Throttled, {"retry_after": 3.0}),
        (status(503, "down", "ServiceUnavailable"), errors.Unreachable, {"status": 503}),
        (status(500, 'failed calling webhook "w"', "InternalError"), errors.Unreachable, {"status": 500}),
        (status(504, "Timeout: x", "Timeout"), errors.ServerTimeout, {"status": 504}),
        (status(413, "too large", "RequestEntityTooLarge"), errors.ApiError, {"status": 413}),
    ],
)  # fmt: skip
async def test_each_refusal_has_its_error(
    server: ScriptedServer, kube: Kube, reply: Any, kind: type[errors.ApiError], facts: dict[str, Any]
) -> None:
    server.routes[APPLY] = reply
    with pytest.raises(kind) as caught:
        await kube.apply(MANIFEST)
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in facts} == facts
    assert isinstance(caught.value, Unavailable) == issubclass(kind, errors.Unreachable)


async def test_no_status_body_still_says_what_came(server: ScriptedServer, kube: Kube) -> None:
    async def proxy(_: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>bad gateway" + "x" * 100_000)

    server.routes[APPLY] = proxy
    with pytest.raises(errors.Unreachable, match="bad gateway") as caught:
        await kube.apply(MANIFEST)
    assert len(str(caught.value)) < 2100


async def test_an_answer_that_is_not_json_is_named(server: ScriptedServer, kube: Kube) -> None:
    async def portal(_: web.Request) -> web.Response:
        return web.Response(text="<html>log in first")

    server.routes["/version"] = portal
    with pytest.raises(errors.Unreachable, match="is this a Kubernetes API"):
        await kube.version()


async def test_a_server_that_hangs_ends_at_the_deadline(server: ScriptedServer, kube: Kube) -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    server.routes["/version"] = hang
    with pytest.raises(errors.ServerTimeout, match=r"did not answer within 0\.1 s"):
        await kube.version(deadline=0.1)
    released.set()


async def test_a_refused_connection_says_so(unused_port: int) -> None:
    async with await Kube.connect(Access.url(f"http://127.0.0.1:{unused_port}")) as client:
        with pytest.raises(errors.Unreachable, match="connection refused"):
            await client.version()


async def test_an_apply_survives_a_connection_that_died_while_idle(server: ScriptedServer, kube: Kube) -> None:
    seen = 0

    async def die_once(request: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        if seen == 1:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(MANIFEST)

    server.routes[APPLY] = die_once
    assert await kube.apply(MANIFEST) == MANIFEST
    assert seen == 2


async def test_getting_and_deleting_what_is_not_there(server: ScriptedServer, kube: Kube) -> None:
    server.routes[PATH] = status(404, 'configmaps "a" not found', "NotFound", kind="configmaps", name="a")
    assert await kube.get(CM) is None
    assert await kube.delete(CM, uid="u") is False
    assert await server.requests[-1].json() == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u"},
    }


async def test_a_path_that_is_no_longer_served_is_not_mistaken_for_a_missing_object(
    server: ScriptedServer, kube: Kube
) -> None:
    await kube.resource("v1", "ConfigMap")
    with pytest.raises(errors.UnknownKind):
        await kube.get(CM)
    with pytest.raises(errors.UnknownKind):
        await kube.delete(CM)


async def test_a_namespaced_object_without_a_namespace_is_a_mistake_of_the_caller(kube: Kube) -> None:
    with pytest.raises(ValueError, match="namespace"):
        await kube.get(ObjectRef("v1", "ConfigMap", "", "a"))


# --- discovery


AGGREGATED = {
    "kind": "APIGroupDiscoveryList",
    "items": [
        {
            "metadata": {"name": "apps"},
            "versions": [
                {"version": "v1", "freshness": "Current", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["list", "watch"]}]},
            ],
        },
    ],
}  # fmt: skip


async def test_an_unknown_kind_names_what_is_served_and_asks_again_only_after_a_while(server: ScriptedServer) -> None:
    clock = MovableClock()
    server.routes["/apis"] = answer(AGGREGATED, ETag='"1"')
    async with await Kube.connect(Access.url(server.url), clock) as kube:
        with pytest.raises(errors.UnknownKind, match="it serves Deployment as apps/v1"):
            await kube.resource("apps/v1beta2", "Deployment")
        asked = len(server.requests)
        with pytest.raises(errors.UnknownKind, match="CustomResourceDefinition"):
            await kube.resource("example.com/v1", "Widget")
        assert len(server.requests) == asked
        clock.at += 10
        with pytest.raises(errors.UnknownKind):
            await kube.resource("example.com/v1", "Widget")
        assert len(server.requests) > asked
        assert server.requests[-1].headers["If-None-Match"] == '"1"'


async def test_unchanged_discovery_is_not_sent_again(server: ScriptedServer, kube: Kube) -> None:
    async def tagged(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.json_response(AGGREGATED, headers={"ETag": '"1"'})

    server.routes["/apis"] = tagged
    assert await kube.rediscover() is True
    assert await kube.rediscover() is False
    assert (await kube.resource("apps/v1", "Deployment")).path(
        "shop", "web"
    ) == "/apis/apps/v1/namespaces/shop/deployments/web"


async def test_a_group_whose_backend_is_down_keeps_its_kinds(server: ScriptedServer, kube: Kube) -> None:
    server.routes["/apis"] = answer(AGGREGATED, ETag='"1"')
    await kube.rediscover()
    stale = {
        **AGGREGATED,
        "items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "freshness": "Stale", "resources": []}]}
        ],
    }
    server.routes["/apis"] = answer(stale, ETag='"2"')
    await kube.rediscover()
    assert (await kube.resource("apps/v1", "Deployment")).plural == "deployments"
    assert kube.discovery.stale == ("apps/v1",)
    server.routes["/apis"] = answer({**AGGREGATED, "items": []})
    await kube.rediscover()
    with pytest.raises(errors.UnknownKind):
        await kube.resource("apps/v1", "Deployment")


async def test_a_broken_group_does_not_hide_the_others_in_legacy_discovery(server: ScriptedServer, kube: Kube) -> None:
    versions = [{"groupVersion": name} for name in ("metrics.k8s.io/v1", "apps/v1")]
    server.routes["/apis"] = answer({"kind": "APIGroupList", "groups": [{"name": "x", "versions": versions}]})
    server.routes["/apis/metrics.k8s.io/v1"] = status(503, "down", "ServiceUnavailable")
    server.routes["/apis/apps/v1"] = answer(
        {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": []}]}
    )
    assert (await kube.resource("apps/v1", "Deployment")).namespaced
    assert kube.discovery.stale == ("metrics.k8s.io/v1",)


async def test_many_callers_who_miss_a_kind_cause_one_refresh(server: ScriptedServer, kube: Kube) -> None:
    async with asyncio.TaskGroup() as tasks:
        found = [tasks.create_task(kube.resource("v1", "ConfigMap")) for _ in range(20)]
    assert {task.result().plural for task in found} == {"configmaps"}
    assert sum(request.path == "/api" for request in server.requests) == 1


# --- list and watch


async def test_a_list_is_read_in_pages_and_its_items_say_what_they_are(server: ScriptedServer, kube: Kube) -> None:
    async def page(request: web.Request) -> web.Response:
        second = "continue" in request.query
        return web.json_response(
            {
                "metadata": {"resourceVersion": "5"} | ({} if second else {"continue": "next"}),
                "items": [{"metadata": {"name": "b" if second else "a"}}],
            }
        )

    server.routes["/api/v1/configmaps"] = page
    items, version = await kube.list(await kube.resource("v1", "ConfigMap"), label_selector="x=y", limit=1)
    assert items == [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in "ab"]
    assert version == "5"
    assert [dict(request.query) for request in server.requests[-2:]] == [
        {"limit": "1", "labelSelector": "x=y"},
        {"limit": "1", "labelSelector": "x=y", "continue": "next"},
    ]


def stream(*lines: bytes, then: Callable[[web.Request], None] | None = None) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(line)
        if then is not None:
            then(request)
        return response

    return handle


def line(kind: str, name: str = "a", version: str = "6", **more: Any) -> bytes:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "resourceVersion": version}, **more}
    return orjson.dumps({"type": kind, "object": body}) + b"\n"


async def test_a_watch_yields_events_until_the_server_ends_it(server: ScriptedServer, kube: Kube) -> None:
    huge = line("MODIFIED", version="7", data={"x": "y" * 6_000_000})
    split = [
        line("ADDED")[:10],
        line("ADDED")[10:] + huge[:3_000_000],
        huge[3_000_000:] + line("BOOKMARK", version="9"),
    ]
    server.routes["/api/v1/namespaces/shop/configmaps"] = stream(*split)
    opened: list[bool] = []
    resource = await kube.resource("v1", "ConfigMap")
    watch = kube.watch(resource, namespace="shop", resource_version="5", on_open=lambda: opened.append(True))
    events = [event async for event in watch]
    assert [(event.type, event.resource_version) for event in events] == [
        (EventType.ADDED, "6"),
        (EventType.MODIFIED, "7"),
        (EventType.BOOKMARK, "9"),
    ]
    assert opened == [True]
    assert server.requests[-1].query["resourceVersion"] == "5"
    assert server.requests[-1].query["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize(
    "reply",
    [
        status(410, "too old resource version", "Expired"),
        stream(
            line("ADDED"),
            orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}) + b"\n",
        ),
    ],
    ids=["start", "middle"],
)
async def test_a_version_too_old_is_gone_at_the_start_and_in_the_middle(
    server: ScriptedServer, kube: Kube, reply: Any
) -> None:
    server.routes["/api/v1/configmaps"] = reply
    watch = kube.watch(await kube.resource("v1", "ConfigMap"), resource_version="1")
    with pytest.raises(errors.Gone):
        [event async for event in watch]


@pytest.mark.parametrize(
    "reply",
    [
        stream(line("ADDED"), b"not json\n"),
        stream(line("ADDED"), b'["ADDED"]\n'),
        stream(line("ADDED"), then=lambda request: request.transport.abort()),  # type: ignore[union-attr]
    ],
    ids=["no json", "no event", "cut"],
)
async def test_a_watch_that_breaks_is_unreachable(server: ScriptedServer, kube: Kube, reply: Any) -> None:
    server.routes["/api/v1/configmaps"] = reply
    async with aclosing(kube.watch(await kube.resource("v1", "ConfigMap"), resource_version="1")) as watch:
        assert (await anext(watch)).type is EventType.ADDED
        with pytest.raises(errors.Unreachable):
            await anext(watch)


# --- credentials


def service_account(folder: Path, token: str) -> Path:
    (folder / "token").write_text(token + "\n")
    paths = ssl.get_default_verify_paths()
    (folder / "ca.crt").write_bytes(Path(paths.cafile or paths.openssl_cafile).read_bytes())
    return folder


async def test_a_rotated_service_account_token_is_used_within_a_minute(server: ScriptedServer, tmp_path: Path) -> None:
    clock = MovableClock()
    server.routes["/version"] = answer({"gitVersion": "v1.36.0"})
    async with await Kube.connect(Access.in_cluster(server.url, service_account(tmp_path, "one")), clock) as kube:
        assert await kube.version() == "v1.36.0"
        service_account(tmp_path, "two")
        await kube.version()
        clock.at += 61
        await kube.version()
        (tmp_path / "token").unlink()
        clock.at += 61
        await kube.version()
    assert [request.headers["Authorization"] for request in server.requests] == [
        "Bearer one",
        "Bearer one",
        "Bearer two",
        "Bearer two",
    ]


async def test_a_refused_token_is_read_again_at_once(server: ScriptedServer, tmp_path: Path) -> None:
    async def picky(request: web.Request) -> web.StreamResponse:
        good = request.headers["Authorization"] == "Bearer two"
        return await (answer({"gitVersion": "v1"}) if good else status(401, "Unauthorized", "Unauthorized"))(request)

    server.routes["/version"] = picky
    async with await Kube.connect(Access.in_cluster(server.url, service_account(tmp_path, "one"))) as kube:
        service_account(tmp_path, "two")
        assert await kube.version() == "v1"


async def test_outside_a_cluster_the_missing_token_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.AccessError, match=r"token.*kubeconfig file"):
        await Kube.connect(Access.in_cluster("https://127.0.0.1", tmp_path))


def kubeconfig(folder: Path, server: str, user: dict[str, Any]) -> Path:
    path = folder / "config"
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(body))
    return path


def plugin(folder: Path, script: str) -> dict[str, Any]:
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


def credential(token: str, expires: str = "") -> str:
    status_ = {"token": token} | ({"expirationTimestamp": expires} if expires else {})
    body = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status_}
    return f"echo '{orjson.dumps(body).decode()}'"


async def test_a_kubeconfig_gives_address_and_token(server: ScriptedServer, tmp_path: Path) -> None:
    server.routes["/version"] = answer({"gitVersion": "v1"})
    (tmp_path / "tok").write_text("from-file\n")
    path = kubeconfig(tmp_path, server.url, {"tokenFile": "tok"})
    async with await Kube.connect(Access.kubeconfig(path)) as kube:
        await kube.version()
    assert server.requests[-1].headers["Authorization"] == "Bearer from-file"


async def test_an_exec_plugin_runs_again_when_its_token_expires_or_is_refused(
    server: ScriptedServer, tmp_path: Path
) -> None:
    clock = MovableClock()
    refuse: set[str] = set()

    async def picky(request: web.Request) -> web.StreamResponse:
        bad = request.headers["Authorization"] in refuse
        return await (status(401, "no", "Unauthorized") if bad else answer({"gitVersion": "v1"}))(request)

    server.routes["/version"] = picky
    expires = datetime.datetime.fromtimestamp(clock.at + 300, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = kubeconfig(tmp_path, server.url, plugin(tmp_path, credential("one", expires)))
    async with await Kube.connect(Access.kubeconfig(path), clock) as kube:
        plugin(tmp_path, credential("two"))
        clock.at += 100
        await kube.version()
        clock.at += 250
        await kube.version()
        plugin(tmp_path, credential("three"))
        clock.at += 10_000
        await kube.version()
        refuse.add("Bearer two")
        clock.at += 10
        await kube.version()
    used = [request.headers["Authorization"].removeprefix("Bearer ") for request in server.requests]
    assert used == ["one", "two", "two", "two", "three"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo no login >&2; exit 3", "ended with code 3: no login"),
        ("echo hello", "did not answer with an ExecCredential"),
        (credential(""), "neither a token nor a certificate"),
    ],
)
async def test_a_plugin_that_fails_is_an_error_and_never_an_anonymous_client(
    server: ScriptedServer, tmp_path: Path, script: str, says: str
) -> None:
    path = kubeconfig(tmp_path, server.url, plugin(tmp_path, script))
    with pytest.raises(errors.AccessError, match=says) as caught:
        await Kube.connect(Access.kubeconfig(path))
    assert str(path) in str(caught.value)


async def test_a_plugin_that_is_not_installed_is_named(server: ScriptedServer, tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}}
    with pytest.raises(errors.AccessError, match=r"cannot run no-such-plugin.*is it installed"):
        await Kube.connect(Access.kubeconfig(kubeconfig(tmp_path, server.url, user)))


@pytest.mark.parametrize(
    ("content", "says"), [("{", "cannot be read"), ("- a", "cannot be read"), (None, "no such file")]
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.AccessError, match=says):
        await Kube.connect(Access.kubeconfig(path))


async def test_a_token_that_cannot_be_renewed_is_used_until_refused(server: ScriptedServer, tmp_path: Path) -> None:
    clock = MovableClock()
    server.routes["/version"] = answer({"gitVersion": "v1"})
    path = kubeconfig(tmp_path, server.url, plugin(tmp_path, credential("one", "1970-01-01T00:30:00Z")))
    async with await Kube.connect(Access.kubeconfig(path), clock) as kube:
        plugin(tmp_path, "exit 1")
        clock.at += 5000
        assert await kube.version() == "v1"
        server.routes["/version"] = status(401, "no", "Unauthorized")
        clock.at += 10
        with pytest.raises(errors.AccessError, match="ended with code 1"):
            await kube.version()


async def test_an_unknown_context_names_those_there_are(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://127.0.0.1", {"token": "t"})
    with pytest.raises(errors.AccessError, match="it has the contexts one"):
        await Kube.connect(Access.kubeconfig(path, "two"))


@pytest.fixture
async def unused_port() -> int:
    held = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(held.sockets[0].getsockname()[1])
    held.close()
    await held.wait_closed()
    return port
