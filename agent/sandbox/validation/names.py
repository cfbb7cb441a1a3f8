"""Names, labels, annotations, finalizers and owners: what is judged on every object."""

from __future__ import annotations

import re
from typing import Any

from agent.sandbox.problems import Cause, bad_value, cause, required

Object = dict[str, Any]

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT = (
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

LABEL_NAMES = {("", "namespaces"), ("", "replicationcontrollers")}
PATH_NAMES = {
    ("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"), ("rbac.authorization.k8s.io", "clusterrolebindings"),
}  # fmt: skip

_FINALIZERS = ("foregroundDeletion", "orphan", "kubernetes", "customresourcecleanup.apiextensions.k8s.io")


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
        return [] if LABEL.fullmatch(name) else [bad_value(field, name, LABEL_TEXT)]
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
        if "/" not in name and name not in _FINALIZERS:
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
