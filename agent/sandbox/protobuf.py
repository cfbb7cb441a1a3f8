"""Reads the protobuf bodies that kubectl sends for its typed commands (`kubectl create …`, `drain`, `auth can-i`).

Answers are JSON always: clients that send protobuf accept it. Field numbers are in the data file as `x-pb`.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from typing import Any

import orjson

from agent.sandbox import schema
from agent.sandbox.problems import bad_request
from agent.sandbox.schema import Node

MAGIC = b"k8s\x00"
Object = dict[str, Any]
Fields = dict[int, Any]
"""Field number -> (json name, type), or the fields of a message that JSON has inlined."""

_FIELDS: dict[str, Fields] = {}


def decode(raw: bytes, definition: str) -> Object:
    """The object in a body with Kubernetes' envelope.

    Raises:
        ApiError: 400, it is no such body.
    """
    if not raw.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(_parts(raw[len(MAGIC) :]))
        head = dict(_parts(envelope.get(1, b"")))
        body = _message(envelope.get(2, b""), schema.builtin().definition(definition))
    except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise bad_request(f"the protobuf body cannot be decoded as {definition}: {error!r}") from None
    return {"apiVersion": head.get(1, b"").decode(), "kind": head.get(2, b"").decode(), **body}


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _parts(raw: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield tag >> 3, value - (1 << 64) if value >> 63 else value
        elif wire == 2:
            size, at = _varint(raw, at)
            yield tag >> 3, raw[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire}")


def _fields(node: Node) -> Fields:
    found = _FIELDS.get(node.name)
    if found is None:
        found = {}
        for name, prop in node.schema.get("properties", {}).items():
            place = found
            *outer, last = prop.get("x-pb") or [0]
            for number in outer:
                place = place.setdefault(number, {})
            place[last] = (name, node.fields[name])
        _FIELDS[node.name] = found
    return found


def _message(raw: bytes, node: Node) -> Object:
    out: Object = {}
    _into(out, raw, _fields(node))
    return out


def _into(out: Object, raw: bytes, fields: Fields) -> None:
    for number, value in _parts(raw):
        known = fields.get(number)
        if isinstance(known, dict):
            _into(out, value, known)
        elif known is not None:
            name, node = known
            if node.kind == "list":
                out.setdefault(name, []).append(_value(value, node.items()))
            elif node.kind == "map" and not node.fields and node.element is not None:
                entry = dict(_parts(value))
                out.setdefault(name, {})[entry.get(1, b"").decode()] = _value(entry.get(2, b""), node.element)
            else:
                out[name] = _value(value, node)


def _value(value: Any, node: Node) -> Any:
    if node.kind == "any":
        return orjson.loads(dict(_parts(value)).get(1, b"null"))
    if node.kind == "map":
        return _message(value, node)
    if node.type == "quantity":
        return dict(_parts(value)).get(1, b"").decode()
    if node.type == "int-or-string":
        parts = dict(_parts(value))
        return parts.get(3, b"").decode() if parts.get(1) else parts.get(2, 0)
    if node.type == "boolean":
        return bool(value)
    if node.type == "string" and isinstance(value, bytes):
        return _text(value, node)
    return value


def _text(value: bytes, node: Node) -> str | None:
    if node.schema.get("format") == "byte":
        return base64.b64encode(value).decode()
    if node.name.endswith("Time"):
        seconds = dict(_parts(value)).get(1)
        if seconds is None:
            return None
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.decode()
