"""What the API server fills in: defaults of the built-in kinds, written on every create and update.

Only what the defaulting functions of Kubernetes set; allocation (cluster IPs, node ports) and admission are in
`strategies`. Functions change the object they are given.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def fill(into: Object, values: Object) -> None:
    """Sets what is not set."""
    for name, value in values.items():
        if name not in into:
            into[name] = value


def _probe(probe: Object) -> None:
    fill(probe, {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    _handler(probe)


def _handler(handler: Object) -> None:
    if "httpGet" in handler:
        fill(handler["httpGet"], {"path": "/", "scheme": "HTTP"})
    if "grpc" in handler:
        fill(handler["grpc"], {"service": ""})


def _container(container: Object) -> None:
    image = container.get("image", "")
    name = image.rsplit("/", 1)[-1]
    floating = "@" not in name and (":" not in name or name.endswith(":latest"))
    fill(
        container,
        {
            "imagePullPolicy": "Always" if floating else "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        },
    )
    for port in container.get("ports") or ():
        fill(port, {"protocol": "TCP"})
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _probe(container[probe])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _handler(hook)
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            fill(reference, {"apiVersion": "v1"})


def _downward(items: list[Object] | None) -> None:
    for item in items or ():
        if "fieldRef" in item:
            fill(item["fieldRef"], {"apiVersion": "v1"})


def _volume(volume: Object) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            fill(volume[source], {"defaultMode": 420})
    if "hostPath" in volume:
        fill(volume["hostPath"], {"type": ""})
    _downward(volume.get("downwardAPI", {}).get("items"))
    for source in volume.get("projected", {}).get("sources") or ():
        _downward(source.get("downwardAPI", {}).get("items"))
        if "serviceAccountToken" in source:
            fill(source["serviceAccountToken"], {"expirationSeconds": 3600})
    if "ephemeral" in volume:
        _claim_spec(volume["ephemeral"].get("volumeClaimTemplate", {}).get("spec", {}))


def pod_spec(spec: Object) -> None:
    """Defaults of a pod, in a template or on its own."""
    fill(
        spec,
        {
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
            "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
        },
    )  # fmt: skip
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif "serviceAccount" in spec:
        spec["serviceAccountName"] = spec["serviceAccount"]
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(group) or ():
            _container(container)
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    fill(port, {"hostPort": port.get("containerPort", 0)})
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _template(owner: Object) -> None:
    template = owner.get("template")
    if template is not None:
        pod_spec(template.setdefault("spec", {}))


def _pod(obj: Object) -> None:
    spec = obj["spec"]
    pod_spec(spec)
    fill(spec, {"enableServiceLinks": True})
    for container in (spec.get("containers") or []) + (spec.get("initContainers") or []):
        resources = container.get("resources") or {}
        limits = resources.get("limits")
        if limits:
            resources["requests"] = {**limits, **(resources.get("requests") or {})}
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _deployment(obj: Object) -> None:
    spec = obj["spec"]
    fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {}})
    strategy = spec["strategy"]
    fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(strategy.setdefault("rollingUpdate", {}), {"maxUnavailable": "25%", "maxSurge": "25%"})
    _template(spec)


def _replica_set(obj: Object) -> None:
    fill(obj["spec"], {"replicas": 1})
    _template(obj["spec"])


def _replication_controller(obj: Object) -> None:
    labels = (obj["spec"].get("template") or {}).get("metadata", {}).get("labels")
    if labels:
        if not obj["spec"].get("selector"):
            obj["spec"]["selector"] = dict(labels)
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
    fill(obj["spec"], {"replicas": 1})
    _template(obj["spec"])


def _stateful_set(obj: Object) -> None:
    spec = obj["spec"]
    fill(spec, {"replicas": 1, "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10, "updateStrategy": {}})
    strategy = spec["updateStrategy"]
    fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(strategy.setdefault("rollingUpdate", {}), {"partition": 0})
    fill(spec.setdefault("persistentVolumeClaimRetentionPolicy", {}), {"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        _claim(claim)
    _template(spec)


def _daemon_set(obj: Object) -> None:
    spec = obj["spec"]
    fill(spec, {"revisionHistoryLimit": 10, "updateStrategy": {}})
    strategy = spec["updateStrategy"]
    fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(strategy.setdefault("rollingUpdate", {}), {"maxUnavailable": 1, "maxSurge": 0})
    _template(spec)
    obj["metadata"].setdefault("annotations", {}).setdefault(TEMPLATE_GENERATION, "1")


def _job(obj: Object) -> None:
    spec = obj["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    fill(
        spec,
        {
            "parallelism": 1, "manualSelector": False, "backoffLimit": 6, "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "TerminatingOrFailed",
        },
    )  # fmt: skip
    if "podFailurePolicy" in spec:
        spec["podReplacementPolicy"] = "Failed"
    _template(spec)


def _cron_job(obj: Object) -> None:
    fill(
        obj["spec"],
        {
            "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
        },
    )  # fmt: skip
    _template(obj["spec"].get("jobTemplate", {}).get("spec", {}))


def _service(obj: Object) -> None:
    spec = obj["spec"]
    fill(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "ClientIP":
        fill(spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}), {"timeoutSeconds": 10800})
    kind = spec["type"]
    for port in spec.get("ports") or ():
        fill(port, {"protocol": "TCP"})
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port", 0)
    if kind in ("NodePort", "LoadBalancer"):
        fill(spec, {"externalTrafficPolicy": "Cluster"})
    if kind != "ExternalName":
        fill(spec, {"internalTrafficPolicy": "Cluster"})
    if kind == "LoadBalancer":
        fill(spec, {"allocateLoadBalancerNodePorts": True})


def _secret(obj: Object) -> None:
    fill(obj, {"type": "Opaque"})
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _claim_spec(spec: Object) -> None:
    fill(spec, {"volumeMode": "Filesystem"})


def _claim(obj: Object) -> None:
    _claim_spec(obj.setdefault("spec", {}))
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _volume_object(obj: Object) -> None:
    fill(obj["spec"], {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    if "hostPath" in obj["spec"]:
        fill(obj["spec"]["hostPath"], {"type": ""})
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _storage_class(obj: Object) -> None:
    fill(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def _namespace(obj: Object) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _network_policy(obj: Object) -> None:
    spec = obj["spec"]
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for rule in (spec.get("ingress") or []) + (spec.get("egress") or []):
        for port in rule.get("ports") or ():
            fill(port, {"protocol": "TCP"})


def _autoscaler(obj: Object) -> None:
    spec = obj["spec"]
    fill(spec, {"minReplicas": 1})
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if "behavior" in spec:
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        down, up = spec["behavior"].setdefault("scaleDown", {}), spec["behavior"].setdefault("scaleUp", {})
        fill(down, {"policies": [percent], "selectPolicy": "Max"})
        policies = [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent]
        fill(up, {"stabilizationWindowSeconds": 0, "policies": policies, "selectPolicy": "Max"})


RBAC = "rbac.authorization.k8s.io"


def _binding(obj: Object) -> None:
    if not obj.get("roleRef", {}).get("apiGroup"):
        obj.setdefault("roleRef", {})["apiGroup"] = RBAC
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            fill(subject, {"apiGroup": RBAC})


def _webhooks(obj: Object) -> None:
    for hook in obj.get("webhooks") or ():
        fill(
            hook,
            {
                "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
                "timeoutSeconds": 10,
            },
        )  # fmt: skip
        if obj.get("kind") == "MutatingWebhookConfiguration":
            fill(hook, {"reinvocationPolicy": "Never"})
        for rule in hook.get("rules") or ():
            fill(rule, {"scope": "*"})
        if "service" in hook.get("clientConfig", {}):
            fill(hook["clientConfig"]["service"], {"port": 443})


def _definition(obj: Object) -> None:
    names = obj["spec"].setdefault("names", {})
    kind = names.get("kind", "")
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = kind + "List"
    fill(obj["spec"], {"conversion": {"strategy": "None"}})


def _api_service(obj: Object) -> None:
    if "service" in obj["spec"]:
        fill(obj["spec"]["service"], {"port": 443})


def _priority_class(obj: Object) -> None:
    fill(obj, {"preemptionPolicy": "PreemptLowerPriority"})


def _slice(obj: Object) -> None:
    for port in obj.get("ports") or ():
        fill(port, {"name": "", "protocol": "TCP"})


def _driver(obj: Object) -> None:
    fill(
        obj["spec"],
        {
            "attachRequired": True, "podInfoOnMount": False, "storageCapacity": False, "requiresRepublish": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType", "seLinuxMount": False,
        },
    )  # fmt: skip
    if not obj["spec"].get("volumeLifecycleModes"):
        obj["spec"]["volumeLifecycleModes"] = ["Persistent"]


def _ingress_class(obj: Object) -> None:
    if "parameters" in obj["spec"]:
        fill(obj["spec"]["parameters"], {"scope": "Cluster"})


def _limit_range(obj: Object) -> None:
    for limit in obj["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            limits = {**(limit.get("max") or {}), **(limit.get("default") or {})}
            if limits:
                limit["default"] = limits
                wanted = {**(limit.get("min") or {}), **(limit.get("defaultRequest") or {})}
                limit["defaultRequest"] = {**limits, **wanted}


def _policy(obj: Object) -> None:
    spec = obj["spec"]
    fill(spec, {"failurePolicy": "Fail"})
    _match(spec.get("matchConstraints"))


def _policy_binding(obj: Object) -> None:
    _match(obj["spec"].get("matchResources"))


def _match(constraints: Object | None) -> None:
    if constraints is not None:
        fill(constraints, {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}})
        for rule in constraints.get("resourceRules") or ():
            fill(rule, {"scope": "*"})


def _endpoints(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            fill(port, {"protocol": "TCP"})


BY_RESOURCE: dict[tuple[str, str], Callable[[Object], None]] = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "secrets"): _secret,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume_object,
    ("", "namespaces"): _namespace,
    ("", "endpoints"): _endpoints,
    ("", "limitranges"): _limit_range,
    ("discovery.k8s.io", "endpointslices"): _slice,
    ("storage.k8s.io", "csidrivers"): _driver,
    ("networking.k8s.io", "ingressclasses"): _ingress_class,
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): _policy,
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): _policy_binding,
    ("", "replicationcontrollers"): _replication_controller,
    ("", "podtemplates"): _template,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler,
    (RBAC, "rolebindings"): _binding,
    (RBAC, "clusterrolebindings"): _binding,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    ("scheduling.k8s.io", "priorityclasses"): _priority_class,
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): _webhooks,
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): _webhooks,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
    ("apiregistration.k8s.io", "apiservices"): _api_service,
}
"""(group, plural) -> its defaults."""
