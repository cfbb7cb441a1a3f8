"""Creating, reading, changing: identity, versions, patch types, defaults, refusals and how they are worded."""

from __future__ import annotations

import pytest

from tests.contract.client import APPLY, JSON_PATCH, MERGE, STRATEGIC, Client, config_map, deployment

WEB = "deployments.apps/v1"


async def test_identity_is_given_by_the_server(api: Client) -> None:
    wanted = config_map(a="1")
    wanted["metadata"] |= {"uid": "x", "creationTimestamp": "2001-01-01T00:00:00Z"}
    made = (await api.create("configmaps", wanted)).ok()
    metadata = made["metadata"]
    assert metadata["uid"] != "x"
    assert "generation" not in metadata
    assert not metadata["creationTimestamp"].startswith("2001")
    assert metadata["namespace"] == api.namespace
    assert int(metadata["resourceVersion"]) > 0


async def test_generate_name(api: Client) -> None:
    wanted = config_map()
    wanted["metadata"] = {"generateName": "made-"}
    made = (await api.create("configmaps", wanted)).ok()
    assert made["metadata"]["name"].startswith("made-")
    assert len(made["metadata"]["name"]) == 10


async def test_namespace_must_exist(api: Client) -> None:
    path = "/api/v1/namespaces/absent-ns/configmaps"
    answer = await api.call("POST", path, config_map())
    assert answer.refused(404, "NotFound") == 'namespaces "absent-ns" not found'
    answer = await api.call("PATCH", f"{path}/cm", config_map(), APPLY, fieldManager="one")
    assert answer.refused(404, "NotFound") == 'namespaces "absent-ns" not found'
    assert answer.body["details"] == {"name": "absent-ns", "kind": "namespaces"}


async def test_not_found_and_already_exists(api: Client) -> None:
    answer = await api.get(api.path(WEB, "web"))
    assert answer.refused(404, "NotFound") == 'deployments.apps "web" not found'
    assert answer.body["details"] == {"name": "web", "group": "apps", "kind": "deployments"}
    (await api.create("configmaps", config_map())).ok()
    answer = await api.create("configmaps", config_map())
    assert answer.refused(409, "AlreadyExists") == 'configmaps "cm" already exists'


async def test_unknown_paths(api: Client) -> None:
    assert (await api.get("/apis/nobody.example/v1/things")).body == "404 page not found\n"
    message = (await api.get(api.path("widgets"))).refused(404, "NotFound")
    assert message == "the server could not find the requested resource"
    (await api.call("POST", api.path("configmaps", "x"), config_map())).refused(405, "MethodNotAllowed")


async def test_bad_bodies(api: Client) -> None:
    (await api.create("configmaps", b'{"apiVersion": "v1"')).refused(400, "BadRequest")
    (await api.call("POST", api.path("configmaps"), b"{}", "text/plain")).refused(415, "UnsupportedMediaType")
    (await api.create("configmaps", config_map())).ok()
    (await api.call("PATCH", api.path("configmaps", "cm"), b"{}", "text/plain")).refused(415, "UnsupportedMediaType")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    (await api.create("configmaps", secret)).refused(400, "BadRequest")
    elsewhere = config_map()
    elsewhere["metadata"] |= {"name": "x", "namespace": "other"}
    message = (await api.create("configmaps", elsewhere)).refused(400, "BadRequest")
    assert message == "the namespace of the provided object does not match the namespace sent on the request"
    versioned = config_map()
    versioned["metadata"] |= {"name": "x", "resourceVersion": "5"}
    assert "resourceVersion should not be set" in (await api.create("configmaps", versioned)).body["message"]


async def test_too_large(api: Client) -> None:
    answer = await api.create("configmaps", config_map(a="x" * (4 << 20)))
    assert answer.code == 413
    message = (await api.create("configmaps", config_map(a="x" * ((1 << 20) + 1)))).refused(422, "Invalid")
    assert "Too long" in message


async def test_wrong_types(api: Client) -> None:
    wanted = config_map()
    wanted["data"] = {"a": 1}
    message = (await api.create("configmaps", wanted)).refused(400, "BadRequest")
    assert message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field '
        "ConfigMap.data of type string"
    )
    message = (await api.create(WEB, deployment(replicas="3"))).refused(400, "BadRequest")
    assert message == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    )


async def test_unknown_fields(api: Client) -> None:
    wanted = {**config_map(), "dat": {}}
    wanted["metadata"] = {"name": "cm", "foo": 1}
    message = (await api.create("configmaps", wanted, fieldValidation="Strict")).refused(400, "BadRequest")
    assert message.endswith('strict decoding error: unknown field "metadata.foo", unknown field "dat"')
    warned = await api.create("configmaps", wanted, fieldValidation="Warn")
    assert warned.headers.getall("Warning") == [
        '299 - "unknown field \\"metadata.foo\\""',
        '299 - "unknown field \\"dat\\""',
    ]
    assert "dat" not in warned.ok()
    nested = deployment()
    nested["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    message = (await api.create(WEB, nested, fieldValidation="Strict")).refused(400, "BadRequest")
    assert message.endswith('strict decoding error: unknown field "spec.template.spec.containers[0].imag"')
    double = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"a":"1","a":"2"}}'
    message = (await api.create("configmaps", double, fieldValidation="Strict")).refused(400, "BadRequest")
    assert message.endswith('strict decoding error: duplicate field "data.a"')


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dot.", "x" * 254])
async def test_names(api: Client, name: str) -> None:
    answer = await api.create("configmaps", config_map(name))
    answer.refused(422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "metadata.name"


async def test_labels_are_validated(api: Client) -> None:
    wanted = config_map()
    wanted["metadata"]["labels"] = {"a b": "x"}
    assert "name part must consist of alphanumeric" in (await api.create("configmaps", wanted)).refused(422, "Invalid")
    wanted["metadata"]["labels"] = {"a": "no spaces"}
    assert "a valid label must be an empty string" in (await api.create("configmaps", wanted)).refused(422, "Invalid")


async def test_optimistic_concurrency(api: Client) -> None:
    first = (await api.create("configmaps", config_map(a="1"))).ok()
    path = api.path("configmaps", "cm")
    second = (await api.call("PUT", path, {**first, "data": {"a": "2"}})).ok()
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    message = (await api.call("PUT", path, {**first, "data": {"a": "3"}})).refused(409, "Conflict")
    assert message == (
        'Operation cannot be fulfilled on configmaps "cm": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    third = (await api.call("PUT", path, config_map(a="4"))).ok()
    assert third["metadata"]["uid"] == first["metadata"]["uid"]
    unchanged = (await api.call("PUT", path, config_map(a="4"))).ok()
    assert unchanged["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]
    (await api.call("PUT", api.path("configmaps", "absent"), config_map("absent"))).refused(404, "NotFound")


async def test_patches(api: Client) -> None:
    (await api.create("configmaps", config_map(a="1", b="2"))).ok()
    merged = (await api.patch("configmaps", "cm", {"data": {"a": None, "c": "3"}}, MERGE)).ok()
    assert merged["data"] == {"b": "2", "c": "3"}
    operations = [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/c"}]
    assert (await api.patch("configmaps", "cm", operations, JSON_PATCH)).ok()["data"] == {"b": "2"}
    wrong = [{"op": "test", "path": "/data/b", "value": "9"}]
    (await api.patch("configmaps", "cm", wrong, JSON_PATCH)).refused(422, "Invalid")
    absent = [{"op": "remove", "path": "/data/nope"}]
    (await api.patch("configmaps", "cm", absent, JSON_PATCH)).refused(422, "Invalid")


async def test_strategic_merge(api: Client) -> None:
    (await api.create(WEB, deployment(paused=True, replicas=0))).ok()
    patch = {
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "side", "image": "busybox:1"}, {"name": "main", "image": "nginx:2"}]}
            }
        }
    }
    after = (await api.patch(WEB, "web", patch, STRATEGIC)).ok()
    assert {c["name"]: c["image"] for c in after["spec"]["template"]["spec"]["containers"]} == {
        "main": "nginx:2", "side": "busybox:1",
    }  # fmt: skip
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}
    after = (await api.patch(WEB, "web", patch, STRATEGIC)).ok()
    assert [c["name"] for c in after["spec"]["template"]["spec"]["containers"]] == ["main"]


async def test_defaults_of_a_deployment(api: Client) -> None:
    wanted = deployment(paused=True)
    container = wanted["spec"]["template"]["spec"]["containers"][0]
    container["livenessProbe"] = {"httpGet": {"port": 80}}
    container["env"] = [{"name": "EMPTY", "value": ""}]
    container["volumeMounts"] = [{"name": "v", "mountPath": "/v", "readOnly": False}]
    wanted["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "x"}}]
    spec = (await api.create(WEB, wanted)).ok()["spec"]
    assert spec == {
        "paused": True, "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "main", "image": "nginx:1", "imagePullPolicy": "IfNotPresent",
                        "env": [{"name": "EMPTY"}],
                        "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {},
                        "livenessProbe": {
                            "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
                            "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                        },
                        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    }
                ],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
                "volumes": [{"name": "v", "configMap": {"name": "x", "defaultMode": 420}}],
            },
        },
    }  # fmt: skip


def _object(api_version: str, kind: str, name: str = "x", **rest: object) -> dict[str, object]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}


POD = {"containers": [{"name": "c", "image": "busybox"}]}
DEFAULTED = {
    "service": (
        "services", _object("v1", "Service", spec={"ports": [{"port": 80}], "selector": {"a": "b"}}),
        {
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"a": "b"},
            "sessionAffinity": "None", "type": "ClusterIP",
        },
    ),
    "job": (
        "jobs.batch/v1",
        _object("batch/v1", "Job", spec={"suspend": True, "template": {"spec": {**POD, "restartPolicy": "Never"}}}),
        {
            "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1, "suspend": True,
            "podReplacementPolicy": "TerminatingOrFailed", "manualSelector": False,
        },
    ),
    "cronjob": (
        "cronjobs.batch/v1",
        _object(
            "batch/v1", "CronJob",
            spec={"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}}},
        ),
        {"concurrencyPolicy": "Allow", "failedJobsHistoryLimit": 1, "successfulJobsHistoryLimit": 3, "suspend": False},
    ),
    "statefulset": (
        "statefulsets.apps/v1",
        _object(
            "apps/v1", "StatefulSet",
            spec={
                "replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "serviceName": "s",
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
            },
        ),
        {
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10, "serviceName": "s",
            "updateStrategy": {"rollingUpdate": {"partition": 0}, "type": "RollingUpdate"},
        },
    ),
    "daemonset": (
        "daemonsets.apps/v1",
        _object(
            "apps/v1", "DaemonSet",
            spec={
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {**POD, "nodeSelector": {"none": "such"}}},
            },
        ),
        {
            "revisionHistoryLimit": 10,
            "updateStrategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}, "type": "RollingUpdate"},
        },
    ),
    "networkpolicy": (
        "networkpolicies.networking.k8s.io/v1",
        _object(
            "networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}
        ),
        {"ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}], "podSelector": {}, "policyTypes": ["Ingress"]},
    ),
    "autoscaler": (
        "horizontalpodautoscalers.autoscaling/v2",
        _object(
            "autoscaling/v2", "HorizontalPodAutoscaler",
            spec={"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "x", "apiVersion": "apps/v1"}},
        ),
        {
            "minReplicas": 1,
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80, "type": "Utilization"}}}
            ],
        },
    ),
    "claim": (
        "persistentvolumeclaims",
        _object(
            "v1", "PersistentVolumeClaim",
            spec={
                "accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                "resources": {"requests": {"storage": "1024Mi"}},
            },
        ),
        {"volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DEFAULTED))
async def test_defaults(api: Client, name: str) -> None:
    resource, wanted, expected = DEFAULTED[name]
    spec = (await api.create(resource, wanted, dryRun="All")).ok()["spec"]
    assert {k: spec.get(k) for k in expected} == expected


async def test_secrets_are_encoded(api: Client) -> None:
    wanted = _object("v1", "Secret", data={"a": "MQ=="}, stringData={"b": "2"})
    made = (await api.create("secrets", wanted)).ok()
    assert made["type"] == "Opaque"
    assert made["data"] == {"a": "MQ==", "b": "Mg=="}
    assert "stringData" not in made
    bad = await api.create("secrets", _object("v1", "Secret", "y", data={"a": "not base64!"}))
    assert "illegal base64 data at input byte 3" in bad.refused(400, "BadRequest")


async def test_cluster_ip_stays(api: Client) -> None:
    wanted = _object("v1", "Service", spec={"ports": [{"port": 80}], "selector": {"a": "b"}})
    made = (await api.apply("services", wanted)).ok()
    assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]]
    assert made["status"] == {"loadBalancer": {}}
    wanted["spec"] = {"ports": [{"port": 81}], "selector": {"a": "b"}}
    after = (await api.apply("services", wanted)).ok()
    assert after["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    replaced = (await api.call("PUT", api.path("services", "x"), wanted)).ok()
    assert replaced["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    message = (await api.patch("services", "x", {"spec": {"clusterIP": "10.96.99.99", "clusterIPs": None}})).refused(
        422, "Invalid"
    )
    assert "spec.clusterIPs[0]: Invalid value" in message


async def test_generation_counts_changes_of_intent(api: Client) -> None:
    made = (await api.create(WEB, deployment(paused=True, replicas=0))).ok()
    assert made["metadata"]["generation"] == 1
    after = (await api.patch(WEB, "web", {"metadata": {"labels": {"x": "y"}}})).ok()
    assert after["metadata"]["generation"] == 1
    after = (await api.patch(WEB, "web", {"spec": {"minReadySeconds": 3}})).ok()
    assert after["metadata"]["generation"] == 2
    after = (await api.patch(WEB, "web", {"status": {"replicas": 5}})).ok()
    assert after["metadata"]["generation"] == 2


INVALID = {
    "deployment without selector": (
        WEB, _object("apps/v1", "Deployment", spec={"template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}}),
        ["spec.selector", "spec.template.metadata.labels"],
    ),
    "deployment with other labels": (
        WEB,
        _object(
            "apps/v1", "Deployment",
            spec={"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}},
        ),
        ["spec.template.metadata.labels"],
    ),
    "no containers": ("pods", _object("v1", "Pod", spec={}), ["spec.containers"]),
    "container without image": (
        "pods", _object("v1", "Pod", spec={"containers": [{"name": "c"}]}), ["spec.containers[0].image"],
    ),
    "mount of nothing": (
        "pods",
        _object(
            "v1", "Pod",
            spec={"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
        ),
        ["spec.containers[0].volumeMounts[0].name"],
    ),
    "two containers of one name": (
        "pods", _object("v1", "Pod", spec={"containers": [{"name": "c", "image": "i"}] * 2}), ["spec.containers[1].name"],
    ),
    "job that restarts always": (
        "jobs.batch/v1", _object("batch/v1", "Job", spec={"template": {"spec": POD}}),
        ["spec.template.spec.restartPolicy"],
    ),
    "service without ports": ("services", _object("v1", "Service", spec={"selector": {"a": "b"}}), ["spec.ports"]),
    "service with unnamed ports": (
        "services", _object("v1", "Service", spec={"ports": [{"port": 1}, {"port": 2}]}),
        ["spec.ports[0].name", "spec.ports[1].name"],
    ),
    "config map with a bad key": ("configmaps", _object("v1", "ConfigMap", data={"a b": "1"}), ["data[a b]"]),
    "ingress without rules": (
        "ingresses.networking.k8s.io/v1", _object("networking.k8s.io/v1", "Ingress", spec={}), ["spec"],
    ),
    "ingress without path type": (
        "ingresses.networking.k8s.io/v1",
        _object(
            "networking.k8s.io/v1", "Ingress",
            spec={"rules": [{"http": {"paths": [{"path": "/", "backend": {"service": {"name": "s", "port": {"number": 1}}}}]}}]},
        ),
        ["spec.rules[0].http.paths[0].pathType"],
    ),
    "role binding to nothing": (
        "rolebindings.rbac.authorization.k8s.io/v1",
        _object("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef={"kind": "Nothing", "name": "x"}),
        ["roleRef.kind"],
    ),
    "cron job without schedule": (
        "cronjobs.batch/v1",
        _object(
            "batch/v1", "CronJob",
            spec={"schedule": "often", "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}}},
        ),
        ["spec.schedule"],
    ),
    "claim without size": (
        "persistentvolumeclaims", _object("v1", "PersistentVolumeClaim", spec={"accessModes": ["ReadWriteOnce"]}),
        ["spec.resources[storage]"],
    ),
    "tls secret without key": (
        "secrets", _object("v1", "Secret", type="kubernetes.io/tls", data={"tls.crt": ""}), ["data[tls.key]"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(INVALID))
async def test_invalid(api: Client, name: str) -> None:
    resource, wanted, fields = INVALID[name]
    answer = await api.create(resource, wanted)
    message = answer.refused(422, "Invalid")
    causes = answer.body["details"]["causes"]
    assert [c["field"] for c in causes] == fields
    assert all(f"{c['field']}: {c['message']}" in message for c in causes)


async def test_immutable_fields(api: Client) -> None:
    (await api.create(WEB, deployment(paused=True, replicas=0))).ok()
    patch = {
        "spec": {"selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}}}
    }
    answer = await api.patch(WEB, "web", patch)
    message = answer.refused(422, "Invalid")
    assert message == (
        'Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable'
    )
    frozen = {**config_map(a="1"), "immutable": True}
    (await api.create("configmaps", frozen)).ok()
    message = (await api.patch("configmaps", "cm", {"data": {"a": "2"}})).refused(422, "Invalid")
    assert message == 'ConfigMap "cm" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    job = _object("batch/v1", "Job", spec={"suspend": False, "template": {"spec": {**POD, "restartPolicy": "Never"}}})
    (await api.create("jobs.batch/v1", job)).ok()
    change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}}
    answer = await api.patch("jobs.batch/v1", "x", change)
    answer.refused(422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "spec.template"
    assert "field is immutable" in answer.body["message"]


async def test_stateful_set_can_change_little(api: Client) -> None:
    _, wanted, _ = DEFAULTED["statefulset"]
    (await api.create("statefulsets.apps/v1", wanted)).ok()
    (await api.patch("statefulsets.apps/v1", "x", {"spec": {"minReadySeconds": 1}})).ok()
    message = (await api.patch("statefulsets.apps/v1", "x", {"spec": {"serviceName": "t"}})).refused(422, "Invalid")
    assert message.startswith(
        "StatefulSet.apps \"x\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas'"
    )


async def test_scale(api: Client) -> None:
    (await api.create(WEB, deployment(paused=True, replicas=0))).ok()
    path = api.path(WEB, "web", "scale")
    scale = (await api.get(path)).ok()
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {})
    scale["spec"] = {"replicas": 2}
    del scale["metadata"]["resourceVersion"]
    assert (await api.call("PUT", path, scale)).ok()["spec"] == {"replicas": 2}
    assert (await api.get(api.path(WEB, "web"))).ok()["spec"]["replicas"] == 2
    assert (await api.call("PATCH", path, {"spec": {"replicas": 0}}, MERGE)).ok()["spec"] == {}


async def test_lists(api: Client) -> None:
    for index in range(5):
        wanted = config_map(f"cm-{index}", a="1")
        wanted["metadata"]["labels"] = {"n": str(index), "even": "yes" if index % 2 == 0 else "no"}
        (await api.create("configmaps", wanted)).ok()
    path = api.path("configmaps")

    async def names(**query: str) -> list[str]:
        body = (await api.get(path, **query)).ok()
        return [i["metadata"]["name"] for i in body["items"] if i["metadata"]["name"].startswith("cm-")]

    whole = (await api.get(path)).ok()
    assert whole["kind"] == "ConfigMapList"
    assert all("kind" not in item and "apiVersion" not in item for item in whole["items"])
    assert await names() == ["cm-0", "cm-1", "cm-2", "cm-3", "cm-4"]
    assert await names(labelSelector="even=yes") == ["cm-0", "cm-2", "cm-4"]
    assert await names(labelSelector="n in (1,2),even!=no") == ["cm-2"]
    assert await names(labelSelector="n,n notin (0,1)") == ["cm-2", "cm-3", "cm-4"]
    assert await names(labelSelector="!n") == []
    assert await names(labelSelector="n>3") == ["cm-4"]
    assert await names(fieldSelector="metadata.name=cm-3") == ["cm-3"]
    (await api.get(path, labelSelector="a b c")).refused(400, "BadRequest")
    message = (await api.get(path, fieldSelector="foo=bar")).refused(400, "BadRequest")
    assert message == '"foo" is not a known field selector: only "metadata.name", "metadata.namespace"'


async def test_pages(api: Client) -> None:
    for index in range(5):
        (await api.create("secrets", _object("v1", "Secret", f"s-{index}"))).ok()
    path, seen, token = api.path("secrets"), [], ""
    for _ in range(3):
        page = (await api.get(path, limit="2", **({"continue": token} if token else {}))).ok()
        seen += [i["metadata"]["name"] for i in page["items"]]
        token = page["metadata"].get("continue", "")
    assert seen == [f"s-{i}" for i in range(5)]
    assert not token
    (await api.get(path, limit="2", **{"continue": "nonsense"})).refused(400, "BadRequest")


async def test_tables_and_partial_objects(api: Client) -> None:
    (await api.create("configmaps", config_map(a="1", b="2"))).ok()
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = (await api.get(api.path("configmaps", "cm"), headers_Accept=accept)).ok()
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["cm", 2]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    partial = (await api.get(api.path("configmaps"), headers_Accept=accept)).ok()
    assert partial["kind"] == "PartialObjectMetadataList"
    assert "data" not in next(i for i in partial["items"] if i["metadata"]["name"] == "cm")


async def test_only_the_token_opens(api: Client) -> None:
    answer = await api.get("/api/v1/namespaces", headers_Authorization="Bearer wrong")
    assert answer.refused(401, "Unauthorized") == "Unauthorized"
