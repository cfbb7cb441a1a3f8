"""Drift on a living cluster: no false alarm from what others rightly do, and everything worth knowing when it is real.

On the sandbox; on a real API server too when YARDARM_TEST_KUBECONFIG names a kubeconfig.
"""

import asyncio
import base64
import time

import pytest

from agent.domain.drift import ANNOTATION
from agent.kube.transport import Request
from shared.messages import IgnoreRule, Policy, encode
from shared.model import ObjectRef
from tests.fakes.agentplace import BACKENDS, agent_place

QUIET = 1.5
"""Seconds in which a false alarm would have been raised: drift is reported within a tenth of one."""


@pytest.fixture(params=BACKENDS)
async def place(request, tmp_path):
    async with agent_place(request.param, tmp_path) as place:
        yield place


def config(place, name="settings", annotations=None, **data):
    metadata = {"name": name, "namespace": place.app, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(place, **spec):
    app = {"name": "app", "image": "example.com/app:1", "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [app]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": place.app},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }  # fmt: skip


def webhook(place):
    client = {"service": {"name": "web", "namespace": place.app, "path": "/"}, "caBundle": "Cg=="}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": place.app},
        "webhooks": [
            {
                "name": "check.example.com", "clientConfig": client, "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
                "rules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["x"], "operations": ["CREATE"]}],
                "namespaceSelector": {"matchLabels": {"never": "this"}},
            }
        ],
    }  # fmt: skip


async def quiet(place, assignment):
    """Nothing is written and nothing is called drift for a while, nor by a pass that looks at everything."""
    place.requests.clear()
    await asyncio.sleep(QUIET)
    assert place.writes() == []
    assert place.hub.reports[assignment.unit][-1].drift == ()


async def test_what_others_rightly_do_is_no_drift(place):
    assignment = await place.assign(deployment(place), webhook(place), config(place, a="b"))
    await place.hub.healthy(assignment)
    # HorizontalPodAutoscaler
    scale = f"/apis/apps/v1/namespaces/{place.app}/deployments/web/scale"
    body = {"spec": {"replicas": 3}}
    request = Request("PATCH", scale, {"fieldManager": "kube-controller-manager"}, body, "application/merge-patch+json")
    await place.kube._transport.send(request)
    # cert-manager
    bundle = base64.b64encode(CERTIFICATE.encode()).decode()
    hook = webhook(place)
    client = {**hook["webhooks"][0]["clientConfig"], "caBundle": bundle}
    hook["webhooks"][0] |= {"clientConfig": client}
    await place.write(hook, "cainjector", method="PATCH")
    # an injector, and somebody's notes
    extra = deployment(place)
    del extra["spec"]["replicas"]
    extra["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "proxy"})
    extra["metadata"]["annotations"] = {"example.com/note": "x"}
    await place.kube.apply(extra, manager="injector", force=True)
    await place.write({**config(place), "data": {"theirs": "1"}}, "other", method="PATCH")
    await quiet(place, assignment)
    live = await place.live("apps/v1", "Deployment", "web")
    assert (live["spec"]["replicas"], len(live["spec"]["template"]["spec"]["containers"])) == (3, 2)
    # Git changes something else: what the others did stays.
    again = await place.assign(deployment(place, minReadySeconds=1), webhook(place), config(place, a="c"))
    await place.hub.healthy(again)
    live = await place.live("apps/v1", "Deployment", "web")
    assert (live["spec"]["replicas"], len(live["spec"]["template"]["spec"]["containers"])) == (3, 2)
    await quiet(place, again)
    hook = await place.kube.get(ObjectRef(hook["apiVersion"], hook["kind"], "", place.app))
    assert hook["webhooks"][0]["clientConfig"]["caBundle"] == bundle
    await place.hub.report(await place.assign(removed=True), lambda report: report.phase == "Removed")


CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUJyZMvq0mM0rB0m7iWwYkqEJm7o4wCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGdGVzdC1jMB4XDTI1MDEwMTAwMDAwMFoXDTM1MDEwMTAwMDAw
-----END CERTIFICATE-----
"""


async def test_drift_names_manager_time_and_a_rule_that_accepts_it(place):
    policy = Policy(drift="report")
    assignment = await place.assign(config(place, color="red"), policy=policy)
    await place.hub.healthy(assignment)
    await place.write({**config(place), "data": {"color": "blue"}}, "painter", method="PATCH")
    report = await place.hub.report(assignment, lambda r: r.drift)
    (found,) = report.drift
    (field,) = found.fields
    assert (field.path, field.want, field.have, field.manager) == ("/data/color", "red", "blue", "painter")
    assert abs(field.at - time.time()) < 60
    rule = IgnoreRule(kind="ConfigMap", name="settings", fields=("/data/color",), managers=("painter",))
    assert found.suggestion == rule
    accepted = await place.assign(config(place, color="red"), policy=Policy(ignore=(rule,)))
    report = await place.hub.healthy(accepted)
    assert report.drift == ()
    await quiet(place, accepted)
    assert (await place.live("v1", "ConfigMap", "settings"))["data"] == {"color": "blue"}


async def test_each_object_may_have_its_own_mode(place):
    objects = [
        config(place, "corrected", {ANNOTATION: "correct"}, a="git"),
        config(place, "reported", {ANNOTATION: "report"}, a="git"),
        config(place, "ignored", {ANNOTATION: "ignore"}, a="git"),
        config(place, "ignored-gone", {ANNOTATION: "ignore"}, a="git"),
    ]
    assignment = await place.assign(*objects, policy=Policy(drift="report"))
    await place.hub.healthy(assignment)
    for name in ("corrected", "reported", "ignored"):
        await place.write({**config(place, name), "data": {"a": "edited"}}, "painter", method="PATCH")
    await place.kube.delete(ObjectRef("v1", "ConfigMap", place.app, "ignored-gone"))
    report = await place.hub.report(assignment, lambda r: len(r.drift) == 2 and any(each.corrected for each in r.drift))
    assert {each.ref.name: (each.mode, each.corrected is None) for each in report.drift} == {
        "corrected": ("correct", False), "reported": ("report", True),
    }  # fmt: skip
    await asyncio.sleep(QUIET)
    for name, value in (("corrected", "git"), ("reported", "edited"), ("ignored", "edited")):
        assert (await place.live("v1", "ConfigMap", name))["data"] == {"a": value}
    assert await place.kube.get(ObjectRef("v1", "ConfigMap", place.app, "ignored-gone")) is None


async def test_a_fight_is_noticed_named_and_slowed_down(place):
    assignment = await place.assign(config(place, color="red"))
    await place.hub.healthy(assignment)
    edits = 0

    async def paint():
        nonlocal edits
        while True:
            if (await place.live("v1", "ConfigMap", "settings"))["data"]["color"] == "red":
                await place.write({**config(place), "data": {"color": "blue"}}, "painter", method="PATCH")
                edits += 1
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        painter = group.create_task(paint())
        report = await place.hub.report(assignment, lambda r: "fights with painter over /data/color" in r.reason)
        assert "add to sync.ignore: {kind: ConfigMap, fields: [/data/color], managers: [painter]}" in report.reason
        assert any("fights with painter" in warning for warning in report.warnings)
        await place.hub.until(lambda: [each for each in place.hub.events if each.type == "fight"], about="the event")
        before = edits
        await asyncio.sleep(3)
        painter.cancel()
    assert edits - before <= 2
    event = next(each for each in place.hub.events if each.type == "fight")
    assert (event.actor, event.object.name) == ("painter", "settings")


async def test_a_secret_shows_no_value_anywhere_the_agent_speaks(place, caplog):
    caplog.set_level("DEBUG")
    values = ["first-hunter2-value", "second-hunter2-value", "edited-hunter2-value"]
    hidden = [*values, *(base64.b64encode(value.encode()).decode() for value in values)]

    def secret(value):
        metadata = {"name": "password", "namespace": place.app}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": value}}

    assignment = await place.assign(secret(values[0]))
    await place.hub.healthy(assignment)
    assignment = await place.assign(secret(values[1]))
    await place.hub.healthy(assignment)
    edited = {**secret(""), "data": {"password": hidden[5]}}
    del edited["stringData"]
    await place.write(edited, "kubectl-edit", method="PATCH")
    report = await place.hub.report(assignment, lambda r: any(each.corrected for each in r.drift))
    assert report.drift[0].fields[0].path == "/data/password"
    said = [encode(each).decode() for reports in place.hub.reports.values() for each in reports]
    said += [encode(each).decode() for each in place.hub.events]
    said += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records if record.name.startswith("agent")]
    assert [value for value in hidden for text in said if value in text] == []
    assert any("kubectl-edit" in text for text in said)


async def test_warnings_of_the_server_are_passed_on(place):
    if place.is_sandbox:
        pytest.skip("the sandbox has nothing to warn of")
    pod = {"containers": [{"name": "app", "image": "example.com/app:1"}, {"name": "b", "image": "b", "env": [
        {"name": "A", "value": "1"}]}]}  # fmt: skip
    pod["nodeSelector"] = {"beta.kubernetes.io/os": "linux"}
    made = deployment(place)
    made["spec"]["template"]["spec"] = pod
    report = await place.hub.report(await place.assign(made), lambda r: r.warnings)
    assert "beta.kubernetes.io/os" in report.warnings[0]


async def test_a_mutating_policy_causes_no_drift(place):
    """What a mutating webhook does as well, with the means of the server itself."""
    if place.is_sandbox:
        pytest.skip("the sandbox has no admission policies")
    group = "admissionregistration.k8s.io/v1"
    mutation = {
        "patchType": "JSONPatch",
        "jsonPatch": {"expression": (
            '[JSONPatch{op: "replace", path: "/data/color", value: "policy"},'
            ' JSONPatch{op: "add", path: "/data/added", value: "policy"}]'
        )},
    }  # fmt: skip
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    ]
    selector = {"matchLabels": {"kubernetes.io/metadata.name": place.app}}
    match = {"resourceRules": rules, "namespaceSelector": selector}
    spec = {
        "matchConstraints": match, "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "color", "expression": "has(object.data) && has(object.data.color)"}],
        "mutations": [mutation],
    }  # fmt: skip
    made = [
        {"apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": {"name": place.app}, "spec": spec},
        {"apiVersion": group, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": place.app},
         "spec": {"policyName": place.app}},
    ]  # fmt: skip
    for manifest in made:
        await place.kube.apply(manifest, manager="test")
    try:
        probe = config(place, "probe", color="git")

        async def acts():
            answer = await place.kube.apply(probe, manager="test", dry_run=True, force=True)
            return answer["data"]["color"] == "policy"

        await place.until(acts)
        assignment = await place.assign(config(place, color="git", size="1"))
        await place.hub.healthy(assignment)
        await quiet(place, assignment)
        await place.write({**config(place), "data": {"size": "2"}}, "painter", method="PATCH")
        report = await place.hub.report(assignment, lambda r: any(each.corrected for each in r.drift))
        assert [field.path for field in report.drift[0].fields] == ["/data/size"]
        assert (await place.live("v1", "ConfigMap", "settings"))["data"] == {
            "color": "policy", "added": "policy", "size": "1",
        }  # fmt: skip
        place.requests.clear()
        again = await place.assign(config(place, color="git", size="1"))
        await place.hub.healthy(again)
        assert place.writes() == []
    finally:
        for manifest in made:
            await place.kube.delete(ObjectRef(group, manifest["kind"], "", place.app))
