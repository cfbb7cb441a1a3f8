"""Everything that is no workload: services, configuration, storage, access."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from agent.sandbox.problems import Cause, bad_value, cause, required, unsupported
from agent.sandbox.validation.pods import PORT
from agent.sandbox.validation.workloads import IMMUTABLE

Object = dict[str, Any]
KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def service(new: Object, old: Object | None) -> list[Cause]:
    """A Service."""
    spec = new["spec"]
    out = []
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and spec.get("type") != "ExternalName":
        out.append(required("spec.ports"))
    out += _service_ports(spec.get("ports") or [])
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


def _service_ports(ports: list[Object]) -> list[Cause]:
    out: list[Cause] = []
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        here = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            out.append(required(f"{here}.name"))
        elif port.get("name") in names:
            out.append(cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{port["name"]}"'))
        names.add(port.get("name", ""))
        if not 0 < port.get("port", 0) < 65536:
            out.append(bad_value(f"{here}.port", port.get("port", 0), PORT))
        pair = (port.get("port"), port.get("protocol"))
        if pair in pairs:
            out.append(cause("FieldValueDuplicate", here, f'Duplicate value: {{"port":{pair[0]}}}'))
        pairs.add(pair)
    return out


def _keys(new: Object, *names: str) -> list[Cause]:
    out = []
    for field in names:
        bad = [key for key in new.get(field) or () if not KEY.fullmatch(key)]
        out += [bad_value(f"{field}[{key}]", key, _KEY_TEXT) for key in bad]
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


def config_map(new: Object, old: Object | None) -> list[Cause]:
    """A ConfigMap."""
    return _keys(new, "data", "binaryData") + _sizes(new) + _frozen_data(new, old)


def secret(new: Object, old: Object | None) -> list[Cause]:
    """A Secret."""
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


def ingress(new: Object, _: Object | None) -> list[Cause]:
    """An Ingress."""
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


def claim(new: Object, old: Object | None) -> list[Cause]:
    """A PersistentVolumeClaim."""
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
            text = (
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
                "claims"
            )
            out.append(cause("FieldValueForbidden", "spec", f"Forbidden: {text}"))
    return out


def role(new: Object, _: Object | None) -> list[Cause]:
    """A Role or ClusterRole."""
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


def binding(new: Object, old: Object | None) -> list[Cause]:
    """A RoleBinding or ClusterRoleBinding."""
    reference = new.get("roleRef") or {}
    out = [required(f"roleRef.{name}") for name in ("name",) if not reference.get(name)]
    if reference.get("kind") not in ("Role", "ClusterRole"):
        out.append(unsupported("roleRef.kind", reference.get("kind", ""), ["Role", "ClusterRole"]))
    for index, subject in enumerate(new.get("subjects") or ()):
        here = f"subjects[{index}]"
        if subject.get("kind") not in ("ServiceAccount", "User", "Group"):
            choice = '"ServiceAccount", "User", "Group"'
            text = f'Unsupported value: "{subject.get("kind", "")}": supported values: {choice}'
            out.append(cause("FieldValueNotSupported", f"{here}.kind", text))
        if not subject.get("name"):
            out.append(required(f"{here}.name"))
    if old is not None and reference != old.get("roleRef"):
        out.append(bad_value("roleRef", reference, "cannot change roleRef"))
    return out


def storage_class(new: Object, old: Object | None) -> list[Cause]:
    """A StorageClass."""
    out = [] if new.get("provisioner") else [required("provisioner")]
    for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if old is not None and new.get(name) != old.get(name):
            text = (
                "updates to parameters are forbidden." if name == "parameters" else f"updates to {name} are forbidden."
            )
            out.append(cause("FieldValueForbidden", name, f"Forbidden: {text}"))
    return out


def autoscaler(new: Object, _: Object | None) -> list[Cause]:
    """A HorizontalPodAutoscaler."""
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


def priority_class(new: Object, old: Object | None) -> list[Cause]:
    """A PriorityClass."""
    if old is not None and new.get("value") != old.get("value"):
        return [cause("FieldValueForbidden", "value", "Forbidden: may not be changed in an update.")]
    return []


def volume(new: Object, _: Object | None) -> list[Cause]:
    """A PersistentVolume."""
    spec = new["spec"]
    out = [required(f"spec.{name}") for name in ("accessModes", "capacity") if not spec.get(name)]
    known = (
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
        "storageClassName", "volumeAttributesClassName", "volumeMode",
    )  # fmt: skip
    if not any(name not in known for name in spec):
        out.append(required("spec", "must specify a volume type"))
    return out


def lease(new: Object, _: Object | None) -> list[Cause]:
    """A Lease."""
    seconds = new["spec"].get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        return [bad_value("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
    return []


def network_policy(new: Object, _: Object | None) -> list[Cause]:
    """A NetworkPolicy."""
    return [
        required(f"spec.{way}[{i}].{end}[{j}]", "must specify a peer")
        for way, end in (("ingress", "from"), ("egress", "to"))
        for i, rule in enumerate(new["spec"].get(way) or ())
        for j, peer in enumerate(rule.get(end) or ())
        if not peer
    ]


def runtime_class(new: Object, _: Object | None) -> list[Cause]:
    """A RuntimeClass."""
    return [] if new.get("handler") else [required("handler")]
