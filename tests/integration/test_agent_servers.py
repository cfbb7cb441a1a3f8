"""Client, cache and drift against API servers: the sandbox always, a real one when there is one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from agent.cache import PART_OF, LiveCache
from agent.domain.drift import comparable, confirmed, owned_difference, without_ignored
from agent.domain.reclaiming import reclaimed
from agent.kube import errors
from agent.kube.access import Access
from agent.kube.client import Kube
from shared.messages import IgnoreRule
from shared.model import ObjectRef
from tests.fakes import apiserver

NAMESPACE = f"yardarm-agent-test-{uuid.uuid4().hex[:8]}"
Manifest = dict[str, Any]


@pytest.fixture(scope="module", params=apiserver.available())
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Path of the real server's kubeconfig, one server for all tests; empty for the sandbox, one for each test."""
    if request.param == "sandbox":
        yield ""
        return
    server = apiserver.real(tmp_path_factory.mktemp("real"))
    yield server.kubeconfig
    asyncio.run(forget(server.kubeconfig))


async def forget(config: str) -> None:
    async with await Kube.connect(Access.kubeconfig(config)) as client:
        await client.delete(ObjectRef("v1", "Namespace", "", NAMESPACE))


@pytest.fixture
async def kube(real: str, tmp_path: pathlib.Path) -> AsyncIterator[Kube]:
    async with contextlib.AsyncExitStack() as stack:
        config = real or (await stack.enter_async_context(apiserver.sandbox(tmp_path))).kubeconfig
        shutil.copyfile(config, tmp_path / "used.kubeconfig")
        client = await stack.enter_async_context(await Kube.connect(Access.kubeconfig(config)))
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for manifest in (*ODDLY_SPELLED, ingress()):
            await client.delete(ref_of(manifest))
        yield client


def ref_of(manifest: Manifest) -> ObjectRef:
    metadata = manifest["metadata"]
    return ObjectRef(manifest["apiVersion"], manifest["kind"], metadata["namespace"], metadata["name"])


def named(api_version: str, kind: str, name: str, **more: Any) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **more}


def config_map(value: str = "1", **labels: str) -> Manifest:
    found = named("v1", "ConfigMap", "settings", data={"k": value})
    if labels:
        found["metadata"]["labels"] = labels
    return found


def deployment(**spec: Any) -> Manifest:
    app = {
        "name": "app",
        "image": "web:1",
        "args": ["-v"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
        "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.1}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
    }
    selector = {"matchLabels": {"app": "web"}}
    template = {"metadata": {"labels": {"app": "web"}, "creationTimestamp": None}, "spec": {"containers": [app]}}
    return named(
        "apps/v1", "Deployment", "web", spec={"replicas": 0, "selector": selector, "template": template, **spec}
    )


def with_image(image: str) -> Manifest:
    selector = {"matchLabels": {"app": "web"}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return named("apps/v1", "Deployment", "web", spec={"selector": selector, "template": template})


ODDLY_SPELLED = (
    deployment(),
    config_map(a="b"),
    named("v1", "Secret", "password", stringData={"password": "hunter2"}),
    named("v1", "Service", "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}], "externalIPs": []}),
)


async def confirm(kube: Kube, manifest: Manifest, *rules: IgnoreRule) -> list[tuple[str, Any, Any, str]]:
    """The whole way: live, dry run, compare; again when a controller was faster."""
    async with asyncio.timeout(10):
        while True:
            live = await kube.get(ref_of(manifest))
            assert live is not None
            dry_run = await kube.apply(without_ignored(manifest, live, rules), force=True, dry_run=True)
            if comparable(dry_run, live):
                return [(item.path, item.want, item.have, item.manager) for item in confirmed(dry_run, live, rules)]


async def edit(tmp_path: pathlib.Path, what: str, patch: list[Manifest]) -> None:
    """As a person does, with kubectl."""
    config = tmp_path / "used.kubeconfig"
    command = [
        "kubectl",
        "--kubeconfig",
        str(config),
        "-n",
        NAMESPACE,
        "patch",
        what,
        "--type=json",
        "-p",
        json.dumps(patch),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_client_understands_the_answers(kube: Kube) -> None:
    assert (await kube.version()).startswith("v1.")
    ref = ref_of(config_map())
    made = await kube.apply(config_map())
    dry = await kube.apply(config_map("2"), dry_run=True)
    assert dry["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    with pytest.raises(errors.Conflict) as conflict:
        await kube.apply(config_map("2"), manager="other")
    assert [(cause.manager, cause.field) for cause in conflict.value.causes] == [("yardarm", ".data.k")]
    with pytest.raises(errors.Invalid) as invalid:
        await kube.apply({**config_map(), "dta": {}})
    assert [cause.field for cause in invalid.value.causes] == ["dta"]
    with pytest.raises(errors.NotFound) as missing:
        await kube.apply({**config_map(), "metadata": {"name": "a", "namespace": "no-such-namespace"}})
    assert (missing.value.kind, missing.value.name) == ("namespaces", "no-such-namespace")
    with pytest.raises(errors.UnknownKind):
        await kube.apply({**config_map(), "apiVersion": "example.com/v1"})
    with pytest.raises(errors.Conflict):
        await kube.delete(ref, uid="other")
    assert await kube.delete(ref, dry_run=True)
    assert await kube.get(ref) is not None
    assert await kube.delete(ref, uid=made["metadata"]["uid"])
    assert await kube.get(ref) is None
    assert not await kube.delete(ref)
    assert not await kube.rediscover()


async def test_the_cache_follows_what_carries_the_label(kube: Kube) -> None:
    ref = ref_of(config_map())
    cache = LiveCache(kube)
    changes = cache.subscribe()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cache.run())
        resource = await kube.resource("v1", "ConfigMap")
        await cache.ensure(resource)
        await kube.apply(config_map("1"))
        await kube.apply(config_map("2", **{PART_OF: "set"}))
        await until(lambda: cache.part_of("set") == (ref,))
        found = cache.get(ref)
        assert found is not None
        assert found["data"] == {"k": "2"}
        await kube.apply(config_map("2"))
        await until(lambda: cache.get(ref) is None)
        _, change = await changes.get()
        assert (change.ref, change.deleted) == (ref, True)
        assert cache.stale(resource) is None
        running.cancel()


@pytest.mark.parametrize("manifest", ODDLY_SPELLED, ids=lambda manifest: manifest["kind"])
async def test_what_was_just_applied_has_not_drifted(kube: Kube, manifest: Manifest) -> None:
    await kube.apply(manifest, force=True)
    assert await confirm(kube, manifest) == []


async def test_an_edit_is_found_and_named(kube: Kube) -> None:
    await kube.apply(deployment(), force=True)
    await kube.apply(with_image("web:evil"), manager="kubectl-edit", force=True)
    live = await kube.get(ref_of(deployment()))
    assert live is not None
    path = "/spec/template/spec/containers/name=app/image"
    assert path in [item.path for item in owned_difference(deployment(), live)]
    assert await confirm(kube, deployment()) == [(path, "web:1", "web:evil", "kubectl-edit")]
    await kube.apply(deployment(), force=True)
    assert await confirm(kube, deployment()) == []


async def test_what_others_add_is_theirs(kube: Kube) -> None:
    await kube.apply(deployment(), force=True)
    extra = with_image("web:1")
    extra["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "proxy"})
    extra["metadata"]["annotations"] = {"note": "x"}
    await kube.apply(extra, manager="injector", force=True)
    assert await confirm(kube, deployment()) == []


async def test_an_ignored_field_stays_with_its_owner(kube: Kube) -> None:
    rule = IgnoreRule(kind="Deployment", fields=("/spec/template/spec/containers/*/image",))
    await kube.apply(deployment(), force=True)
    await kube.apply(with_image("web:2"), manager="image-updater", force=True)
    assert await confirm(kube, deployment(), rule) == []
    live = await kube.get(ref_of(deployment()))
    changed = deployment(minReadySeconds=5)
    after = await kube.apply(without_ignored(changed, live, [rule]), force=True)
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    assert after["spec"]["minReadySeconds"] == 5
    assert await confirm(kube, changed, rule) == []
    assert await confirm(kube, changed) == [
        ("/spec/template/spec/containers/name=app/image", "web:1", "web:2", "image-updater")
    ]


def ingress(*hosts: str) -> Manifest:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return named(
        "networking.k8s.io/v1",
        "Ingress",
        "web",
        spec={"rules": [{"host": host, "http": {"paths": paths}} for host in hosts]},
    )


async def test_what_others_add_to_a_list_that_is_replaced_as_a_whole_is_drift(kube: Kube) -> None:
    await kube.apply(ingress("a"), force=True)
    await kube.apply(ingress("a", "evil"), manager="kubectl-edit", force=True)
    assert [(path, want, by) for path, want, _, by in await confirm(kube, ingress("a"))] == [
        ("/spec/rules/host=evil", None, "kubectl-edit")
    ]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_a_changed_service_port_can_be_put_right(kube: Kube, tmp_path: pathlib.Path) -> None:
    service = named("v1", "Service", "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    await kube.apply(service, force=True)
    await edit(tmp_path, "service/web", [{"op": "replace", "path": "/spec/ports/0/port", "value": 81}])
    with pytest.raises(errors.Invalid) as refusal:
        await kube.apply(service, force=True)
    live = await kube.get(ref_of(service))
    assert live is not None
    blamed = [cause.field for cause in refusal.value.causes]
    fields = reclaimed(service, live, blamed)
    assert fields is not None
    await kube.set_managed_fields(live, fields)
    after = await kube.apply(service, force=True)
    assert [port["port"] for port in after["spec"]["ports"]] == [80]
    assert reclaimed(service, after, blamed) is None
    assert await confirm(kube, service) == []


async def test_a_secrets_drift_shows_no_value(kube: Kube) -> None:
    manifest = named("v1", "Secret", "password", stringData={"password": "hunter2"})
    await kube.apply(manifest, force=True)
    await kube.apply(named("v1", "Secret", "password", data={"password": "b3RoZXI="}), manager="kubectl", force=True)
    live = await kube.get(ref_of(manifest))
    assert live is not None
    assert [item.path for item in owned_difference(manifest, live)] == ["/data/password"]
    assert await confirm(kube, manifest) == [("/data/password", "(secret)", "(secret)", "kubectl")]
