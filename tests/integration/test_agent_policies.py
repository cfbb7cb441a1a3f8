"""What annotations ask for each object, in the words of other tools; fields that cannot change; how many requests.

On the sandbox; on a real API server too when YARDARM_TEST_KUBECONFIG names a kubeconfig.
"""

import asyncio

import pytest

from shared.messages import Policy
from shared.model import ObjectRef
from tests.fakes.agentplace import BACKENDS, agent_place

FLUX = "kustomize.toolkit.fluxcd.io"
OPTIONS = "argocd.argoproj.io/sync-options"
FORCE = {f"{FLUX}/force": "enabled"}


@pytest.fixture(params=BACKENDS)
async def place(request, tmp_path):
    async with agent_place(request.param, tmp_path) as place:
        yield place


def config(place, name="settings", annotations=None, namespace=None, immutable=None, **data):
    metadata = {"name": name, "namespace": namespace or place.app, "annotations": annotations or {}}
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"a": "git"}}
    return made if immutable is None else {**made, "immutable": immutable}


async def data(place, name="settings", namespace=None):
    live = await place.kube.get(ObjectRef("v1", "ConfigMap", namespace or place.app, name))
    return live and live.get("data")


async def edit(place, name="settings", **values):
    await place.write({**config(place, name), "data": values}, "person", method="PATCH")


KEPT = [
    {OPTIONS: "Prune=false"},
    {OPTIONS: "Validate=false, Delete=false"},
    {f"{FLUX}/prune": "disabled"},
    {"client.lifecycle.config.k8s.io/deletion": "detach"},
    {"helm.sh/resource-policy": "keep"},
]
LEFT_OUT = [{f"{FLUX}/reconcile": "disabled"}, {f"{FLUX}/ssa": "Ignore"}]
HARMLESS = [
    {OPTIONS: "ServerSideApply=true"},
    {OPTIONS: "Validate=false,SkipDryRunOnMissingResource=true,PruneLast=true"},
    {"argocd.argoproj.io/compare-options": "IgnoreExtraneous"},
    {f"{FLUX}/ssa": "Merge"},
    {f"{FLUX}/ssa": "Override"},
]
REPLACED = [FORCE, {OPTIONS: "Force=true"}, {OPTIONS: "Replace=true"}, {"yardarm.dev/replace": "enabled"}]


def words(annotations):
    return " ".join(f"{name.rpartition('/')[2]}={value}" for name, value in annotations.items())


@pytest.mark.parametrize("annotations", KEPT, ids=words)
async def test_never_pruned(place, annotations):
    await place.hub.healthy(await place.assign(config(place, "kept", annotations), config(place, "other")))
    report = await place.hub.healthy(await place.assign(config(place, "other")))
    assert await data(place, "kept") == {"a": "git"}
    assert any("kept" in warning and "stays" in warning for warning in report.warnings)


@pytest.mark.parametrize("annotations", LEFT_OUT, ids=words)
async def test_never_applied(place, annotations):
    report = await place.hub.healthy(await place.assign(config(place, "ignored", annotations), config(place, "other")))
    assert await data(place, "ignored") is None
    assert any("ignored is not applied" in warning for warning in report.warnings)


async def test_applied_once(place):
    once = {f"{FLUX}/ssa": "IfNotPresent"}
    await place.hub.healthy(await place.assign(config(place, "once", once), config(place, "other")))
    await edit(place, "once", a="edited")
    report = await place.hub.healthy(await place.assign(config(place, "once", once, a="newer"), config(place, "other")))
    assert (await data(place, "once"), report.drift) == ({"a": "edited"}, ())


@pytest.mark.parametrize("annotations", HARMLESS, ids=words)
async def test_changes_nothing(place, annotations):
    objects = [config(place, "settings", annotations), config(place, "other")]
    assignment = await place.assign(*objects)
    await place.hub.healthy(assignment)
    await edit(place, "settings", a="edited", theirs="1")
    await place.hub.report(assignment, lambda report: any(each.corrected for each in report.drift))
    assert await data(place) == {"a": "git", "theirs": "1"}
    await place.hub.healthy(await place.assign(objects[1]))
    assert await data(place) is None


@pytest.mark.parametrize("annotations", REPLACED, ids=words)
async def test_replaced_when_a_field_cannot_change(place, annotations):
    before = config(place, "fixed", annotations, immutable=True, a="1")
    await place.hub.healthy(await place.assign(before))
    uid = (await place.live("v1", "ConfigMap", "fixed"))["metadata"]["uid"]
    await place.hub.healthy(await place.assign(config(place, "fixed", annotations, immutable=True, a="2")))
    live = await place.live("v1", "ConfigMap", "fixed")
    assert live["data"] == {"a": "2"}
    assert live["metadata"]["uid"] != uid


async def test_what_cannot_change_is_said_with_what_to_do(place):
    await place.hub.healthy(await place.assign(config(place, "fixed", immutable=True, a="1")))
    report = await place.hub.report(
        await place.assign(config(place, "fixed", immutable=True, a="2")), lambda report: report.phase == "Failed"
    )
    assert "data cannot be changed in a ConfigMap that exists: undo the change, or annotate it" in report.reason
    assert await data(place, "fixed") == {"a": "1"}


async def test_nothing_is_deleted_for_an_object_that_would_be_refused_anyway(place):
    def web(label, name="app"):
        template = {"metadata": {"labels": {"app": label}}, "spec": {"containers": [{"name": name, "image": "a:1"}]}}
        return {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": place.app, "annotations": FORCE},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": label}}, "template": template},
        }  # fmt: skip

    await place.hub.healthy(await place.assign(web("a")))
    uid = (await place.live("apps/v1", "Deployment", "web"))["metadata"]["uid"]
    await place.hub.report(await place.assign(web("b", "No Name")), lambda report: report.phase == "Failed")
    assert (await place.live("apps/v1", "Deployment", "web"))["metadata"]["uid"] == uid
    await place.hub.healthy(await place.assign(web("b")))
    assert (await place.live("apps/v1", "Deployment", "web"))["metadata"]["uid"] != uid


async def test_data_is_replaced_only_in_words_of_its_own(place):
    def claim(annotations, mode):
        return {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": place.app, "annotations": annotations},
            "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"},
        }  # fmt: skip

    applied = await place.assign(claim(FORCE, "ReadWriteOnce"))
    await place.hub.report(applied, lambda report: report.phase == "Applied")
    uid = (await place.live("v1", "PersistentVolumeClaim", "data"))["metadata"]["uid"]
    report = await place.hub.report(
        await place.assign(claim(FORCE, "ReadWriteMany")), lambda report: report.phase == "Failed"
    )
    assert "yardarm.dev/replace: enabled" in report.reason
    assert (await place.live("v1", "PersistentVolumeClaim", "data"))["metadata"]["uid"] == uid
    agreed = await place.assign(claim({"yardarm.dev/replace": "enabled"}, "ReadWriteMany"))
    await place.hub.report(agreed, lambda report: report.phase == "Applied")
    assert (await place.live("v1", "PersistentVolumeClaim", "data"))["metadata"]["uid"] != uid


async def test_objects_in_other_namespaces(place):
    other = f"{place.app}-other"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}
    await place.kube.apply(namespace, manager="test")
    try:
        assignment = await place.assign(config(place), config(place, "away", namespace=other))
        await place.hub.healthy(assignment)
        assert await data(place, "away", other) == {"a": "git"}
        await place.kube.delete(ObjectRef("v1", "ConfigMap", other, "away"))
        await place.hub.report(assignment, lambda report: any(each.corrected for each in report.drift))
        assert await data(place, "away", other) == {"a": "git"}
        await place.hub.healthy(await place.assign(config(place)))
        assert await data(place, "away", other) is None
    finally:
        await place.kube.delete(ObjectRef("v1", "Namespace", "", other))


async def test_unchanged_is_no_write_and_one_change_is_one(place):
    objects = [config(place, f"c{number}") for number in range(60)]
    await place.hub.healthy(await place.assign(*objects))
    place.requests.clear()
    await place.hub.healthy(await place.assign(*objects))
    assert place.writes() == []
    objects[7] = config(place, "c7", a="new")
    await place.hub.healthy(await place.assign(*objects))
    assert [each.rpartition("/")[2] for each in place.writes()] == ["c7"]


def large_definition(group, size):
    """A CustomResourceDefinition of about that many bytes."""
    properties = {f"field{number}": {"type": "string", "description": "x" * 900} for number in range(size // 950)}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"larges.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"kind": "Large", "plural": "larges"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip


async def test_a_definition_of_a_megabyte(place):
    group = f"{place.app}.example.com"
    definition = large_definition(group, 900_000)
    large = {"apiVersion": f"{group}/v1", "kind": "Large", "metadata": {"name": "one", "namespace": place.app}}
    large["spec"] = {"field1": "a"}
    ref = ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", f"larges.{group}")
    try:
        assignment = await place.assign(definition, large, policy=Policy(drift="correct"), as_packs=True)
        await place.hub.healthy(assignment, 40)
        place.requests.clear()
        patch = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": {"name": ref.name}}
        patch["spec"] = {"names": {"kind": "Large", "plural": "larges", "shortNames": ["lg"]}}
        await place.write(patch, "person", method="PATCH")
        await asyncio.sleep(1)
        assert place.writes() == []
        again = await place.assign(definition, large, as_packs=True)
        await place.hub.healthy(again, 40)
        assert (place.writes(), place.hub.reports[again.unit][-1].drift) == ([], ())
    finally:
        await place.kube.delete(ref)
