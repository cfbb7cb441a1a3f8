"""Reading a request: which resource it means, in which form the answer is wanted, what its body says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from agent.sandbox import problems
from agent.sandbox.cluster import Cluster
from agent.sandbox.kinds import Kind
from agent.sandbox.problems import ApiError, bad_request

Object = dict[str, Any]
MAX_BODY = 3 * 1024 * 1024


@dataclass(slots=True)
class Target:
    """What a path names. `name` is empty for a collection, `namespace` for all of them."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_SUBRESOURCE_TYPES = {
    "scale": "io.k8s.api.autoscaling.v1.Scale",
    "eviction": "io.k8s.api.policy.v1.Eviction",
    "binding": "io.k8s.api.core.v1.Binding",
}


def definition(target: Target) -> str:
    """The name of the type that a protobuf body for this target has.

    Raises:
        ApiError: 415, custom resources are JSON only.
    """
    found = _SUBRESOURCE_TYPES.get(target.subresource, target.kind.definition)
    if not found:
        text = "the body of the request was in an unknown format - accepted media types include: application/json"
        raise ApiError(415, "UnsupportedMediaType", text)
    return found


class PageNotFound(Exception):
    """A path under which there is no API at all: the answer is plain text."""


def target(cluster: Cluster, segments: list[str]) -> Target | tuple[str, str]:
    """What `segments` (`["apis", "apps", "v1", …]`) name: a target, or (group, version) of a resource list.

    Raises:
        PageNotFound: no such group version.
        ApiError: 404, the group version has no such resource.
    """
    if segments[0] == "api":
        group, rest = "", segments[1:]
    else:
        group, rest = segments[1], segments[2:]
    version, rest = rest[0], rest[1:]
    if (group, version) not in {(g, v) for g, v, _ in cluster.kinds}:
        raise PageNotFound
    if not rest:
        return group, version
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    kind = cluster.kinds.get((group, version, rest[0]))
    if kind is None or (namespace and not kind.namespaced) or len(rest) > 3:
        raise problems.no_such_path()
    found = Target(kind, namespace, *rest[1:])
    if found.name and kind.namespaced and not namespace:
        raise problems.no_such_path()
    if found.subresource and found.subresource not in kind.subresources:
        raise problems.no_such_path()
    return found


@dataclass(slots=True)
class Form:
    """The wanted form of an answer: `object`, `Table`, `PartialObjectMetadata` or its list."""

    name: str = "object"
    version: str = "v1"


def form(accept: str) -> Form:
    """The first form in an Accept header that can be given.

    Raises:
        ApiError: 406, there is none.
    """
    if not accept:
        return Form()
    for choice in accept.split(","):
        media, *raw = choice.strip().split(";")
        parameters = dict(p.strip().split("=", 1) for p in raw if "=" in p)
        if media.strip() not in ("application/json", "*/*", "application/*"):
            continue
        wanted = parameters.get("as", "")
        if not wanted:
            return Form()
        if wanted in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList") and parameters.get("v") == "v1":
            return Form("PartialObjectMetadata" if wanted.startswith("Partial") else wanted)
    message = (
        "only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io"
    )
    raise ApiError(406, "NotAcceptable", message, details={})


class _Pairs(dict[str, Any]):
    """An object that remembers which of its keys came twice."""

    repeated: list[str]


def _pairs(items: list[tuple[str, Any]]) -> _Pairs:
    out = _Pairs(items)
    seen: set[str] = set()
    out.repeated = [key for key, _ in items if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    return out


def _repeated(value: Any, path: str) -> list[str]:
    out: list[str] = []
    if isinstance(value, _Pairs):
        out += [f"{path}{key}" for key in value.repeated]
        for key, item in value.items():
            out += _repeated(item, f"{path}{key}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            out += _repeated(item, f"{path[:-1]}[{index}].")
    return out


@dataclass(slots=True)
class Body:
    """A decoded body and the paths of keys that came twice (only looked for when asked)."""

    value: Any
    duplicates: list[str] = field(default_factory=list)


def body(raw: bytes, kind: Kind, *, applied: bool, strict: bool) -> Body:
    """Decodes JSON.

    Raises:
        ApiError: 400, it is no JSON. YAML is refused too, though a real server reads it: the sandbox has no YAML.
    """
    try:
        value = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        if applied:
            raise bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: {error}") from None
        text = raw[:33].decode("utf-8", "replace") + (" ..." if len(raw) > 33 else "")
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; "
            f"json parse error: {error} ({text})"
        ) from None
    duplicates = _repeated(json.loads(raw, object_pairs_hook=_pairs), "") if strict and raw else []
    return Body(value, duplicates)


def mapping(value: Any, what: str) -> Object:
    """`value`, which must be an object.

    Raises:
        ApiError: 400.
    """
    if not isinstance(value, dict):
        raise bad_request(f"the {what} must be a JSON object, not {type(value).__name__}")
    return value
