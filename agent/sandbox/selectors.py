"""Label and field selectors of list, watch and deletecollection requests, and of workloads."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agent.sandbox.problems import bad_request

Labels = dict[str, str]
Matcher = Callable[[Labels], bool]
FieldMatcher = Callable[[dict[str, Any]], bool]

_REQUIREMENT = re.compile(
    r"^\s*(?:(?P<absent>!)\s*(?P<key0>[^\s!=,()]+)"
    r"|(?P<key1>[^\s!=,()]+)\s+(?P<op1>in|notin)\s*\((?P<values>[^)]*)\)"
    r"|(?P<key2>[^\s!=,()<>]+)\s*(?P<op2>==|!=|=|>|<)\s*(?P<value>[^\s,()=!]*)"
    r"|(?P<key3>[^\s!=,()]+))\s*$"
)


def _split(text: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    parts.append(current)
    return parts


def labels(text: str) -> Matcher | None:
    """The matcher of a `labelSelector`; None when everything matches.

    Raises:
        ApiError: 400, it cannot be parsed.
    """
    if not text.strip():
        return None
    tests = [_requirement(part) for part in _split(text)]
    return lambda given: all(test(given) for test in tests)


def _requirement(part: str) -> Matcher:
    match = _REQUIREMENT.match(part)
    if match is None:
        words = part.split()
        found = words[1] if len(words) > 1 else part.strip()
        raise bad_request(f"unable to parse requirement: found '{found}', expected: in, notin, =, ==, !=, gt, lt")
    if match["absent"]:
        return lambda given, key=match["key0"]: key not in given  # type: ignore[misc]
    if match["op1"]:
        values = {v.strip() for v in match["values"].split(",")}
        return _among(match["key1"], values, wanted=match["op1"] == "in")
    if match["op2"] in (">", "<"):
        return _compared(match["key2"], match["value"], match["op2"])
    if match["op2"]:
        return _among(match["key2"], {match["value"]}, wanted=match["op2"] != "!=")
    return lambda given, key=match["key3"]: key in given  # type: ignore[misc]


def _among(key: str, values: set[str], *, wanted: bool) -> Matcher:
    if wanted:
        return lambda given: key in given and given[key] in values
    return lambda given: given.get(key) not in values


def _compared(key: str, value: str, operator: str) -> Matcher:
    def test(given: Labels) -> bool:
        try:
            left, right = int(given[key]), int(value)
        except (KeyError, ValueError):
            return False
        return left > right if operator == ">" else left < right

    return test


FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase",
        "status.podIP", "status.nominatedNodeName", "spec.hostNetwork",
    ),
    ("", "events"): (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("apps", "replicasets"): ("status.replicas",),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
}  # fmt: skip
"""Fields that can be selected by beside name and namespace, by (group, plural)."""


def fields(text: str, storage: tuple[str, str], selectable: tuple[str, ...] = ()) -> FieldMatcher | None:
    """The matcher of a `fieldSelector`; None when everything matches. It is given decoded objects.

    Raises:
        ApiError: 400, it names a field that cannot be selected by.
    """
    if not text.strip():
        return None
    tests = []
    for part in text.split(","):
        match = re.match(r"^\s*([^=!\s]+)\s*(==|!=|=)\s*(.*?)\s*$", part)
        if match is None:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        known = ("metadata.name", "metadata.namespace", *FIELDS.get(storage, ()), *selectable)
        if match[1] not in known:
            if storage in FIELDS:
                raise bad_request(f"field label not supported: {match[1]}")
            raise bad_request(f'"{match[1]}" is not a known field selector: only "metadata.name", "metadata.namespace"')
        tests.append((match[1].split("."), match[3], match[2] != "!="))
    return lambda obj: all((_text_at(obj, path) == value) is wanted for path, value, wanted in tests)


def _text_at(obj: Any, path: list[str]) -> str:
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return "" if obj is None else str(obj)


def matches(selector: dict[str, Any] | None, given: Labels) -> bool:
    """Whether labels match a `LabelSelector` (matchLabels, matchExpressions)."""
    if selector is None:
        return False
    if any(given.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or ():
        key, operator, values = term["key"], term["operator"], term.get("values") or ()
        met = {
            "In": key in given and given.get(key) in values,
            "NotIn": given.get(key) not in values,
            "Exists": key in given,
            "DoesNotExist": key not in given,
        }
        if not met.get(operator, False):
            return False
    return True
