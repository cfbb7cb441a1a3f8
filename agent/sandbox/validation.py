"""Refusals of built-in kinds: the mistakes people make most, with the words of the real API server.

Each rule is a function of the new object and the old one (None on creation) that returns causes. What no rule says is
accepted; `typed` has already judged names and types of fields.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from agent.sandbox import selectors
from agent.sandbox.problems import Cause, bad_value, cause, required, unsupported

Object = dict[str, Any]

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
KEY = re.compile(r"[-._a-zA-Z0-9]+")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
IMMUTABLE = "field is immutable"

LABEL_NAMES = {("", "namespaces"), ("", "replicationcontrollers")}
PATH_NAMES = {
    ("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"), ("rbac.authorization.k8s.io", "clusterrolebindings"),
}  # fmt: skip


def name_problem(storage: tuple[str, str], name: str, field: str = "metadata.name") -> list[Cause]:
    """Whether an object of this resource may be called so."""
    if storage in PATH_NAMES:
        if name in (".", "..") or "/" in name or "%" in name:
            return [bad_value(field, name, "may not contain '/'" if "/" in name else f"may not be '{name}'")]
        return []
    if storage == ("", "services"):
        return [] if DNS1035.fullmatch(name) and len(name) <= 63 else [bad_value(field, name, _DNS1035_TEXT)]
    if storage in LABEL_NAMES:
        if len(name) > 63:
            return [bad_value(field, name, "must be no more than 63 bytes")]
        return [] if LABEL.fullmatch(name) else [bad_value(field, name, _LABEL_TEXT)]
    if len(name) > 253:
        return [bad_value(field, name, "must be no more than 253 bytes")]
    return [] if SUBDOMAIN.fullmatch(name) else [bad_value(field, name, _SUBDOMAIN_TEXT)]


def metadata(obj: Object, storage: tuple[str, str]) -> list[Cause]:
    """Names, labels, annotations, finalizers and owners of any object."""
    meta = obj["metadata"]
    out = name_problem(storage, meta["name"])
    out += labels(meta.get("labels") or {}, "metadata.labels")
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        out += _qualified(key.lower(), "metadata.annotations", key)
        size += len(key.encode()) + len(value.encode())
    if size > 256 * 1024:
        out.append(cause("FieldValueTooLong", "metadata.annotations", "Too long: may not be more than 262144 bytes"))
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        out += [
            required(f"metadata.ownerReferences[{index}].{field}", "must not be empty")
            for field in ("apiVersion", "kind", "name", "uid")
            if not owner.get(field)
        ]
    for index, name in enumerate(meta.get("finalizers") or ()):
        if "/" not in name and name not in ("foregroundDeletion", "orphan", "kubernetes"):
            text = "name is neither a standard finalizer name nor is it fully qualified"
            out.append(bad_value(f"metadata.finalizers[{index}]", name, text))
    return out


def labels(given: dict[str, str], field: str) -> list[Cause]:
    """Keys and values of labels."""
    out = []
    for key, value in given.items():
        out += _qualified(key, field, key)
        if value and (not QUALIFIED.fullmatch(value)):
            out.append(bad_value(field, value, _VALUE_TEXT))
        elif len(value) > 63:
            out.append(bad_value(field, value, "must be no more than 63 bytes"))
    return out


def _qualified(key: str, field: str, shown: str) -> list[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not SUBDOMAIN.fullmatch(prefix):
        return [bad_value(field, shown, "prefix part " + _SUBDOMAIN_TEXT)]
    if not name:
        return [bad_value(field, shown, "name part must be non-empty"), bad_value(field, shown, _NAME_PART_TEXT)]
    if len(name) > 63:
        return [bad_value(field, shown, "name part must be no more than 63 bytes")]
    return [] if QUALIFIED.fullmatch(name) else [bad_value(field, shown, _NAME_PART_TEXT)]


def _immutable(new: Object, old: Object | None, *fields: str) -> list[Cause]:
    if old is None:
        return []
    return [
        bad_value(f"spec.{name}", new["spec"].get(name), IMMUTABLE)
        for name in fields
        if new["spec"].get(name) != old["spec"].get(name)
    ]


def pod_spec(spec: Object, field: str) -> list[Cause]:
    """Containers, volumes and mounts of a pod."""
    out = []
    containers = spec.get("containers")
    if not containers:
        out.append(required(f"{field}.containers"))
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            here = f"{field}.{group}[{index}]"
            out += _container(container, here, volumes)
            name = container.get("name", "")
            if name in names:
                out.append(cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{name}"'))
            names.add(name)
    seen: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        name = volume.get("name", "")
        if not LABEL.fullmatch(name) or len(name) > 63:
            here = f"{field}.volumes[{index}].name"
            out.append(bad_value(here, name, _LABEL_TEXT) if name else required(here))
        if name in seen:
            text = f'Duplicate value: "{name}"'
            out.append(cause("FieldValueDuplicate", f"{field}.volumes[{index}].name", text))
        seen.add(name)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        out.append(unsupported(f"{field}.restartPolicy", spec.get("restartPolicy"), ["Always", "OnFailure", "Never"]))
    return out


def _container(container: Object, here: str, volumes: set[Any]) -> list[Cause]:
    out = []
    name = container.get("name", "")
    if not name:
        out.append(required(f"{here}.name"))
    elif not LABEL.fullmatch(name) or len(name) > 63:
        out.append(bad_value(f"{here}.name", name, _LABEL_TEXT))
    if not container.get("image"):
        out.append(required(f"{here}.image"))
    elif container["image"] != container["image"].strip():
        out.append(bad_value(f"{here}.image", container["image"], "must not have leading or trailing whitespace"))
    if container.get("imagePullPolicy") not in ("Always", "IfNotPresent", "Never"):
        allowed = ["Always", "IfNotPresent", "Never"]
        out.append(unsupported(f"{here}.imagePullPolicy", container.get("imagePullPolicy"), allowed))
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        if not 0 < number < 65536:
            field = f"{here}.ports[{index}].containerPort"
            out.append(required(field) if number == 0 else bad_value(field, number, _PORT))
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            out.append(unsupported(f"{here}.ports[{index}].protocol", port.get("protocol"), ["SCTP", "TCP", "UDP"]))
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            out.append(required(f"{here}.env[{index}].name"))
        if variable.get("value") and variable.get("valueFrom"):
            text = "may not be specified when `value` is not empty"
            out.append(bad_value(f"{here}.env[{index}].valueFrom", "", text))
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            text = f'Not found: "{mount.get("name", "")}"'
            out.append(cause("FieldValueNotFound", f"{here}.volumeMounts[{index}].name", text))
        if not mount.get("mountPath"):
            out.append(required(f"{here}.volumeMounts[{index}].mountPath"))
    return out


_PORT = "must be between 1 and 65535, inclusive"


def _template(spec: Object, *, restart: tuple[str, ...] = ("Always",)) -> list[Cause]:
    template = spec.get("template") or {}
    out = labels(template.get("metadata", {}).get("labels") or {}, "spec.template.labels")
    out += pod_spec(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy in ("Always", "OnFailure", "Never") and policy not in restart:
        out.append(unsupported("spec.template.spec.restartPolicy", policy, list(restart)))
    return out


def _selector(spec: Object) -> list[Cause]:
    selector = spec.get("selector")
    if selector is None:
        out = [required("spec.selector")]
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        out = [bad_value("spec.selector", selector, "empty selector is invalid for deployment")]
    else:
        out = []
    given = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if selector is None or not selectors.matches(selector, given or {}):
        out.append(bad_value("spec.template.metadata.labels", given, "`selector` does not match template `labels`"))
    return out


def _not_negative(spec: Object, *names: str) -> list[Cause]:
    return [
        bad_value(f"spec.{name}", spec[name], "must be greater than or equal to 0")
        for name in names
        if isinstance(spec.get(name), int) and spec[name] < 0
    ]


def _deployment(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    out = _not_negative(spec, "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    out += _selector(spec)
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        text = "may not be specified when strategy `type` is 'Recreate'"
        out.append(cause("FieldValueForbidden", "spec.strategy.rollingUpdate", f"Forbidden: {text}"))
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        out.append(unsupported("spec.strategy.type", strategy.get("type"), ["Recreate", "RollingUpdate"]))
    return out + _template(spec) + _immutable(new, old, "selector")


def _replica_set(new: Object, old: Object | None) -> list[Cause]:
    return (
        _not_negative(new["spec"], "replicas")
        + _selector(new["spec"])
        + _template(new["spec"])
        + _immutable(new, old, "selector")
    )


def _daemon_set(new: Object, old: Object | None) -> list[Cause]:
    return _selector(new["spec"]) + _template(new["spec"]) + _immutable(new, old, "selector")


STATEFUL_MUTABLE = {
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
}  # fmt: skip


def _stateful_set(new: Object, old: Object | None) -> list[Cause]:
    out = _not_negative(new["spec"], "replicas") + _selector(new["spec"]) + _template(new["spec"])
    if old is not None and _frozen(new) != _frozen(old):
        text = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        out.append(cause("FieldValueForbidden", "spec", f"Forbidden: {text}"))
    return out


def _frozen(obj: Object) -> Object:
    kept = {k: v for k, v in obj["spec"].items() if k not in STATEFUL_MUTABLE}
    if kept.get("volumeClaimTemplates"):
        kept["volumeClaimTemplates"] = [
            {k: v for k, v in claim.items() if k != "status"} for claim in kept["volumeClaimTemplates"]
        ]
    return kept


def _job(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    out = _not_negative(spec, "parallelism", "completions", "backoffLimit")
    out += _template(spec, restart=("OnFailure", "Never"))
    if (spec.get("template", {}).get("spec") or {}).get("restartPolicy") == "Always":
        text = 'Required value: valid values: "OnFailure", "Never"'
        out = [c for c in out if c.get("field") != "spec.template.spec.restartPolicy"]
        out.append(cause("FieldValueRequired", "spec.template.spec.restartPolicy", text))
    if old is not None:
        out += _immutable(new, old, "selector", "completionMode")
        if not old["spec"].get("suspend"):
            out += _immutable(new, old, "template")
        if spec.get("completionMode") != "Indexed":
            out += _immutable(new, old, "completions")
    return out


def _cron_job(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    out = []
    if not spec.get("schedule"):
        out.append(required("spec.schedule"))
    elif not spec["schedule"].startswith("@") and len(spec["schedule"].split()) != 5:
        count = len(spec["schedule"].split())
        text = f"expected exactly 5 fields, found {count}: [{' '.join(spec['schedule'].split())}]"
        out.append(bad_value("spec.schedule", spec["schedule"], text))
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        allowed = ["Allow", "Forbid", "Replace"]
        out.append(unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), allowed))
    inner = spec.get("jobTemplate", {}).get("spec", {}).get("template", {}).get("spec") or {}
    return out + pod_spec(inner, "spec.jobTemplate.spec.template.spec")


def _pod(new: Object, old: Object | None) -> list[Cause]:
    out = pod_spec(new["spec"], "spec")
    if old is not None and _pod_frozen(new) != _pod_frozen(old):
        text = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        out.append(cause("FieldValueForbidden", "spec", f"Forbidden: {text}"))
    return out


def _pod_frozen(obj: Object) -> Object:
    spec = {k: v for k, v in obj["spec"].items() if k not in ("activeDeadlineSeconds", "tolerations", "nodeName")}
    for group in ("containers", "initContainers"):
        if group in spec:
            spec[group] = [{k: v for k, v in c.items() if k != "image"} for c in spec[group]]
    return spec


def _service(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    out = []
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and spec.get("type") != "ExternalName":
        out.append(required("spec.ports"))
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    ports = spec.get("ports") or ()
    for index, port in enumerate(ports):
        here = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            out.append(required(f"{here}.name"))
        elif port.get("name") in names:
            out.append(cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{port["name"]}"'))
        names.add(port.get("name", ""))
        if not 0 < port.get("port", 0) < 65536:
            out.append(bad_value(f"{here}.port", port.get("port", 0), _PORT))
        pair = (port.get("port"), port.get("protocol"))
        if pair in pairs:
            out.append(cause("FieldValueDuplicate", here, f'Duplicate value: {{"port":{pair[0]}}}'))
        pairs.add(pair)
    if spec.get("type") not in ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"):
        allowed = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
        out.append(unsupported("spec.type", spec.get("type"), allowed))
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        out.append(required("spec.externalName"))
    if old is not None and old["spec"].get("type") != "ExternalName" and spec.get("type") != "ExternalName":
        before = old["spec"].get("clusterIPs") or []
        after = spec.get("clusterIPs") or []
        if before and after[:1] != before[:1]:
            text = "may not change once set"
            out.append(bad_value("spec.clusterIPs[0]", after[:1] or None, text))
    return out


def _keys(new: Object, *names: str) -> list[Cause]:
    out = []
    for field in names:
        for key in new.get(field) or ():
            if not KEY.fullmatch(key):
                out.append(bad_value(f"{field}[{key}]", key, _KEY_TEXT))
    return out


def _sizes(new: Object) -> list[Cause]:
    total = sum(
        len(v) for field in ("data", "binaryData") for v in (new.get(field) or {}).values() if isinstance(v, str)
    )
    return [cause("FieldValueTooLong", "", "Too long: may not be more than 1048576 bytes")] if total > 1 << 20 else []


def _frozen_data(new: Object, old: Object | None) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    text = "field is immutable when `immutable` is set"
    out = []
    if not new.get("immutable"):
        out.append(cause("FieldValueForbidden", "immutable", f"Forbidden: {text}"))
    out += [
        cause("FieldValueForbidden", name, f"Forbidden: {text}")
        for name in ("data", "binaryData")
        if (new.get(name) or {}) != (old.get(name) or {})
    ]
    return out


def _config_map(new: Object, old: Object | None) -> list[Cause]:
    return _keys(new, "data", "binaryData") + _sizes(new) + _frozen_data(new, old)


def _secret(new: Object, old: Object | None) -> list[Cause]:
    out = _keys(new, "data") + _sizes(new) + _frozen_data(new, old)
    if old is not None and new.get("type") != old.get("type"):
        out.append(bad_value("type", new.get("type"), IMMUTABLE))
    needed = {"kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockerconfigjson": (".dockerconfigjson",)}
    out += [
        required(f"data[{key}]") for key in needed.get(new.get("type", ""), ()) if key not in (new.get("data") or {})
    ]
    return out


def undecodable(data: Object) -> str:
    """The first value of a Secret's data that is not base64, as Go reports it; empty when all are."""
    for value in data.values():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            place = next((i for i, c in enumerate(value) if not (c.isalnum() or c in "+/=")), len(value))
            return f"illegal base64 data at input byte {place}"
    return ""


def _ingress(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    out = []
    if not spec.get("rules") and not spec.get("defaultBackend"):
        text = "either `defaultBackend` or `rules` must be specified"
        out.append(bad_value("spec", [], text))
    for i, rule in enumerate(spec.get("rules") or ()):
        for j, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            here = f"spec.rules[{i}].http.paths[{j}]"
            if not path.get("pathType"):
                out.append(required(f"{here}.pathType", "pathType must be specified"))
            if path.get("pathType") in ("Exact", "Prefix") and not str(path.get("path", "")).startswith("/"):
                out.append(bad_value(f"{here}.path", path.get("path", ""), "must be an absolute path"))
            if not (path.get("backend") or {}).get("service") and not (path.get("backend") or {}).get("resource"):
                out.append(required(f"{here}.backend", "port name or number is required"))
    return out


def _claim(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    out = []
    if not spec.get("accessModes"):
        out.append(required("spec.accessModes", "at least 1 access mode is required"))
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        out.append(required("spec.resources[storage]"))
    if old is not None:
        ignore = ("resources", "volumeName", "volumeAttributesClassName")
        before = {k: v for k, v in old["spec"].items() if k not in ignore}
        after = {k: v for k, v in spec.items() if k not in ignore}
        if before != after:
            text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
            out.append(cause("FieldValueForbidden", "spec", f"Forbidden: {text}"))
    return out


def _role(new: Object, old: Object | None) -> list[Cause]:
    out = []
    for index, rule in enumerate(new.get("rules") or ()):
        if not rule.get("verbs"):
            out.append(required(f"rules[{index}].verbs", "verbs must contain at least one value"))
        if not rule.get("nonResourceURLs"):
            if not rule.get("apiGroups"):
                out.append(required(f"rules[{index}].apiGroups", "resource rules must supply at least one api group"))
            if not rule.get("resources"):
                out.append(required(f"rules[{index}].resources", "resource rules must supply at least one resource"))
    return out


def _binding(new: Object, old: Object | None) -> list[Cause]:
    reference = new.get("roleRef") or {}
    out = [required(f"roleRef.{name}") for name in ("name",) if not reference.get(name)]
    if reference.get("kind") not in ("Role", "ClusterRole"):
        out.append(unsupported("roleRef.kind", reference.get("kind", ""), ["Role", "ClusterRole"]))
    if old is not None and reference != old.get("roleRef"):
        out.append(bad_value("roleRef", reference, "cannot change roleRef"))
    return out


def _storage_class(new: Object, old: Object | None) -> list[Cause]:
    out = [] if new.get("provisioner") else [required("provisioner")]
    for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if old is not None and new.get(name) != old.get(name):
            text = (
                "updates to parameters are forbidden." if name == "parameters" else f"updates to {name} are forbidden."
            )
            out.append(cause("FieldValueForbidden", name, f"Forbidden: {text}"))
    return out


def _autoscaler(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    out = []
    if not (spec.get("scaleTargetRef") or {}).get("name"):
        out.append(required("spec.scaleTargetRef.name"))
    if spec.get("maxReplicas", 0) < 1:
        out.append(bad_value("spec.maxReplicas", spec.get("maxReplicas", 0), "must be greater than 0"))
    elif spec["maxReplicas"] < spec.get("minReplicas", 1):
        text = "must be greater than or equal to `minReplicas`"
        out.append(bad_value("spec.maxReplicas", spec["maxReplicas"], text))
    return out


def _priority_class(new: Object, old: Object | None) -> list[Cause]:
    if old is not None and new.get("value") != old.get("value"):
        return [cause("FieldValueForbidden", "value", "Forbidden: may not be changed in an update.")]
    return []


Rule = Callable[[Object, Object | None], list[Cause]]
_RBAC = "rbac.authorization.k8s.io"
RULES: dict[tuple[str, str], Rule] = {
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "daemonsets"): _daemon_set,
    ("apps", "statefulsets"): _stateful_set,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "configmaps"): _config_map,
    ("", "secrets"): _secret,
    ("", "persistentvolumeclaims"): _claim,
    ("networking.k8s.io", "ingresses"): _ingress,
    (_RBAC, "roles"): _role,
    (_RBAC, "clusterroles"): _role,
    (_RBAC, "rolebindings"): _binding,
    (_RBAC, "clusterrolebindings"): _binding,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    ("scheduling.k8s.io", "priorityclasses"): _priority_class,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler,
}
"""(group, plural) -> its rule."""
