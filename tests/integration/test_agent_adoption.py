"""Objects that other tools made move over: nothing is deleted or restarted, what Git dropped goes, nothing is fought.

On the sandbox; on a real API server too when YARDARM_TEST_KUBECONFIG names a kubeconfig.
"""

import shutil

import pytest

from shared.messages import Policy
from tests.fakes.agentplace import BACKENDS, agent_place

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
ALWAYS = Policy(adopt="always")


@pytest.fixture(params=BACKENDS)
async def place(request, tmp_path):
    async with agent_place(request.param, tmp_path) as place:
        yield place


def deployment(namespace, *, labels=None, annotations=None, env=("A",), replicas=2):
    app = {
        "name": "app", "image": "example.com/app:1", "ports": [{"containerPort": 80}],
        "env": [{"name": name, "value": "1"} for name in env], "resources": {"limits": {"cpu": "500m"}},
    }  # fmt: skip
    spec = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [app]}},
    }
    metadata = {"name": "web", "namespace": namespace, "labels": labels or {}, "annotations": annotations or {}}
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(namespace, *ports):
    ports = [{"name": f"p{port}", "port": port} for port in ports]
    metadata = {"name": "web", "namespace": namespace}
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"selector": {"app": "web"}, "ports": ports},
    }  # fmt: skip


def config(namespace, labels=None, annotations=None, **data):
    metadata = {"name": "settings", "namespace": namespace, "labels": labels or {}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


HELM = {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"}
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
ARGO = {"argocd.argoproj.io/tracking-id": "web:apps/Deployment:shop/web"}


async def by_kubectl(place, manifests):
    await place.kubectl("apply", "-f", "-", stdin=manifests)


async def by_kubectl_server_side(place, manifests):
    await place.kubectl("apply", "--server-side", "-f", "-", stdin=manifests)


async def by_kubectl_create(place, manifests):
    await place.kubectl("create", "-f", "-", stdin=manifests)


def marked(manifest, labels, annotations):
    metadata = manifest["metadata"]
    return {
        **manifest,
        "metadata": {
            **metadata,
            "labels": {**metadata.get("labels", {}), **labels},
            "annotations": {**metadata.get("annotations", {}), **annotations},
        },
    }


async def by_helm(place, manifests):
    for manifest in manifests:
        await place.write(marked(manifest, {"app.kubernetes.io/managed-by": "Helm"}, HELM), "helm")


async def by_argo_client_side(place, manifests):
    marks = [marked(each, {}, ARGO) for each in manifests]
    await place.kubectl("apply", "--field-manager", "argocd-controller", "-f", "-", stdin=marks)


async def by_argo_server_side(place, manifests):
    for manifest in manifests:
        await place.kube.apply(marked(manifest, {}, ARGO), manager="argocd-controller")


async def by_flux(place, manifests):
    for manifest in manifests:
        await place.kube.apply(marked(manifest, FLUX, {}), manager="kustomize-controller")


UNOWNED = [by_kubectl, by_kubectl_server_side, by_kubectl_create]
OWNED = [
    (by_helm, "Helm release shop/web"),
    (by_argo_client_side, "Argo CD application web"),
    (by_argo_server_side, "Argo CD application web"),
    (by_flux, "Flux Kustomization flux-system/apps"),
]


async def pods(place):
    found, _ = await place.kube.list(await place.kube.resource("v1", "Pod"), namespace=place.app)
    return sorted(each["metadata"]["uid"] for each in found)


async def replica_sets(place):
    found, _ = await place.kube.list(await place.kube.resource("apps/v1", "ReplicaSet"), namespace=place.app)
    return sorted(each["metadata"]["uid"] for each in found)


@pytest.mark.parametrize("made", [*UNOWNED, *(made for made, _ in OWNED)], ids=lambda made: made.__name__)
async def test_what_another_tool_made_moves_over(place, made):
    before = [
        deployment(place.app, labels={"old": "label", "team": "web"}),
        service(place.app, 80, 81),
        config(place.app, kept="1", changed="old", gone="x"),
    ]
    await made(place, before)

    async def rolled_out():
        found = await pods(place)
        return len(found) == 2 and found

    old_pods, old_sets = await place.until(rolled_out), await replica_sets(place)
    uids = {kind: (await place.live(*kind))["metadata"]["uid"] for kind in KINDS}
    wanted = [
        deployment(place.app, labels={"team": "web"}),
        service(place.app, 80),
        config(place.app, kept="1", changed="new"),
    ]
    policy = Policy() if made in UNOWNED else ALWAYS
    await place.hub.healthy(await place.assign(*wanted, policy=policy))
    live = {kind: await place.live(*kind) for kind in KINDS}
    assert {kind: each["metadata"]["uid"] for kind, each in live.items()} == uids
    web, ports, settings = (live[kind] for kind in KINDS)
    assert settings["data"] == {"kept": "1", "changed": "new"}
    assert [port["port"] for port in ports["spec"]["ports"]] == [80]
    assert set(web["metadata"]["labels"]) == {"team", "applyset.kubernetes.io/part-of"}
    for each in live.values():
        annotations = each["metadata"].get("annotations", {})
        assert not {*HELM, *ARGO, "kubectl.kubernetes.io/last-applied-configuration"} & annotations.keys()
    assert (await replica_sets(place), await pods(place)) == (old_sets, old_pods)
    # Later removal in Git removes it live, and everything rests.
    await place.hub.healthy(await place.assign(*wanted[:2], config(place.app, kept="1"), policy=policy))
    assert (await place.live(*KINDS[2]))["data"] == {"kept": "1"}
    place.requests.clear()
    last = await place.assign(*wanted[:2], config(place.app, kept="1"), policy=policy)
    report = await place.hub.healthy(last)
    assert (place.writes(), report.drift) == ([], ())
    assert (await replica_sets(place), await pods(place)) == (old_sets, old_pods)


KINDS = [("apps/v1", "Deployment", "web"), ("v1", "Service", "web"), ("v1", "ConfigMap", "settings")]


@pytest.mark.parametrize(("made", "owner"), OWNED, ids=lambda each: getattr(each, "__name__", ""))
async def test_what_another_tool_owns_is_left_alone_without_a_word(place, made, owner):
    await made(place, [config(place.app, color="red")])
    report = await place.hub.report(await place.assign(config(place.app, color="blue")), lambda r: r.phase == "Blocked")
    assert owner in report.reason
    assert "sync.adopt to always" in report.reason
    assert (await place.live("v1", "ConfigMap", "settings"))["data"] == {"color": "red"}
    assert place.writes() == []


async def test_a_field_of_somebody_else_is_reported_not_fought(place):
    await place.write(config(place.app, color="red", size="1"), "paint-operator")
    report = await place.hub.report(await place.assign(config(place.app, color="blue")), lambda r: r.phase == "Failed")
    assert ".data.color by paint-operator" in report.reason
    assert (await place.live("v1", "ConfigMap", "settings"))["data"] == {"color": "red", "size": "1"}
    await place.hub.healthy(await place.assign(config(place.app, color="blue"), policy=ALWAYS))
    assert (await place.live("v1", "ConfigMap", "settings"))["data"] == {"color": "blue", "size": "1"}


async def test_replicas_and_a_restart_stay_when_git_does_not_mention_them(place):
    await place.kubectl("apply", "-f", "-", stdin=[deployment(place.app, replicas=3)])
    await place.kubectl("rollout", "restart", "deployment/web")
    await place.hub.healthy(await place.assign(deployment(place.app, replicas=None)))
    live = await place.live(*KINDS[0])
    assert live["spec"]["replicas"] == 3
    assert "kubectl.kubernetes.io/restartedAt" in live["spec"]["template"]["metadata"]["annotations"]
    assert len(await replica_sets(place)) == 2
    report = await place.hub.healthy(await place.assign(deployment(place.app, replicas=1)))
    assert (await place.live(*KINDS[0]))["spec"]["replicas"] == 1
    assert report.drift == ()


async def test_a_bare_pod_a_job_and_a_claim_move_over(place):
    def metadata(name):
        return {"name": name, "namespace": place.app}

    container = {"containers": [{"name": "app", "image": "example.com/app:1"}]}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    job = {"template": {"spec": {**container, "restartPolicy": "Never"}}}
    made = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default")},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata("bare"), "spec": container},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata("once"), "spec": job},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata("data"), "spec": claim},
    ]
    await place.kubectl("apply", "-f", "-", stdin=made)
    uids = {
        each["kind"]: (await place.live(each["apiVersion"], each["kind"], each["metadata"]["name"])) for each in made
    }
    report = await place.hub.report(await place.assign(*made), lambda r: r.phase in ("Applied", "Failed"))
    assert (report.phase, report.drift) == ("Applied", ()), report.reason
    for each in made:
        live = await place.live(each["apiVersion"], each["kind"], each["metadata"]["name"])
        assert live["metadata"]["uid"] == uids[each["kind"]]["metadata"]["uid"]
        assert {entry["manager"] for entry in live["metadata"]["managedFields"]}.isdisjoint(
            {"kubectl-client-side-apply"}
        )


async def test_an_object_without_field_managers_moves_over(place):
    await place.kubectl("apply", "-f", "-", stdin=[config(place.app, color="red")])
    live = await place.live("v1", "ConfigMap", "settings")
    await place.kube.set_managed_fields(live, [{}])
    await place.hub.healthy(await place.assign(config(place.app, color="blue")))
    assert (await place.live("v1", "ConfigMap", "settings"))["data"] == {"color": "blue"}
