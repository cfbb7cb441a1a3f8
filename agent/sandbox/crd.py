"""CustomResourceDefinitions: what makes one invalid, and what their schemas make of custom resources."""

from __future__ import annotations

import re
from typing import Any

from agent.sandbox.problems import Cause, bad_value, cause, required, shown, unsupported
from agent.sandbox.schema import Node

Object = dict[str, Any]


def definition(new: Object, old: Object | None) -> list[Cause]:
    """Why a CustomResourceDefinition is refused."""
    spec = new["spec"]
    out: list[Cause] = []
    names = spec.get("names") or {}
    expected = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if new["metadata"]["name"] != expected:
        text = 'must be spec.names.plural+"."+spec.group'
        out.append(bad_value("metadata.name", new["metadata"]["name"], text))
    out += [required(f"spec.{name}") for name in ("group", "scope") if not spec.get(name)]
    out += [required(f"spec.names.{name}") for name in ("plural", "kind") if not names.get(name)]
    versions = spec.get("versions") or []
    if not versions:
        out.append(required("spec.versions", "must specify at least one version"))
    elif sum(bool(v.get("storage")) for v in versions) != 1:
        out.append(
            bad_value("spec.versions", _brief(versions), "must have exactly one version marked as storage version")
        )
    out += _schemas(versions)
    if spec.get("scope") not in (None, "", "Cluster", "Namespaced"):
        out.append(unsupported("spec.scope", spec["scope"], ["Cluster", "Namespaced"]))
    if old is not None:
        out += [
            bad_value(f"spec.{name}", spec.get(name), "field is immutable")
            for name in ("group", "scope")
            if spec.get(name) != old["spec"].get(name)
        ]
    return out


def _schemas(versions: list[Object]) -> list[Cause]:
    out: list[Cause] = []
    alike = all(version.get("schema") == versions[0].get("schema") for version in versions)
    for index, version in enumerate(versions):
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        here = f"spec.versions[{index}].schema.openAPIV3Schema"
        if root is None:
            out.append(required(here, "schemas are required"))
            continue
        if index and alike:
            continue
        if alike:
            here = "spec.validation.openAPIV3Schema"  # one schema for all versions is judged at its old place
        if root.get("type") != "object":
            out.append(_typed_root(root, f"{here}.type"))
        out += _structural(root, here)
    return out


def _brief(versions: list[Object]) -> list[Object]:
    return [{k: v for k, v in version.items() if k in ("name", "served", "storage")} for version in versions]


def _typed_root(root: Object, field: str) -> Cause:
    if not root.get("type"):
        return required(field, "must not be empty at the root")
    return bad_value(field, root["type"], "must be object at the root")


def _structural(schema: Object, here: str) -> list[Cause]:
    out: list[Cause] = []
    for name, sub in (schema.get("properties") or {}).items():
        place = f"{here}.properties[{name}]"
        loose = sub.get("x-kubernetes-int-or-string") or sub.get("x-kubernetes-preserve-unknown-fields")
        if not sub.get("type") and not loose:
            out.append(required(f"{place}.type", "must not be empty for specified object fields"))
        out += _structural(sub, place)
    items = schema.get("items")
    if isinstance(items, dict):
        if (
            not items.get("type")
            and not items.get("x-kubernetes-int-or-string")
            and not items.get("x-kubernetes-preserve-unknown-fields")
        ):
            out.append(required(f"{here}.items.type", "must not be empty for specified array items"))
        out += _structural(items, f"{here}.items")
    return out


def resource(value: Any, node: Node, path: str = "") -> list[Cause]:
    """Why a custom resource does not fit its schema: types, required fields, enums, bounds, patterns."""
    schema = node.schema
    if value is None:
        if schema.get("nullable") or node.kind == "any":
            return []
        return [_wrong_type(path, "null", schema)]
    if not _has_type(value, node):
        return [_wrong_type(path, _name_of(value), schema)]
    out = [*_bounds(value, schema, path), *_sizes(value, schema, path)]
    if isinstance(value, dict) and node.kind == "map":
        out += [required(f"{path}.{name}" if path else name) for name in node.required if name not in value]
        for name, item in value.items():
            if path == "" and name in ("apiVersion", "kind", "metadata"):
                continue
            out += resource(item, node.child(name), f"{path}.{name}" if path else name)
    elif isinstance(value, list) and node.kind == "list":
        for index, item in enumerate(value):
            out += resource(item, node.items(), f"{path}[{index}]")
    return out


def _has_type(value: Any, node: Node) -> bool:
    if node.kind == "any":
        return True
    if node.kind in ("map", "list"):
        return isinstance(value, dict if node.kind == "map" else list)
    if isinstance(value, bool):
        return node.type == "boolean"
    allowed: dict[str, tuple[type, ...]] = {
        "string": (str,), "integer": (int,), "number": (int, float), "int-or-string": (int, str),
        "quantity": (str, int),
    }  # fmt: skip
    if node.type == "integer" and isinstance(value, float) and value.is_integer():
        return True
    return isinstance(value, allowed.get(node.type, ()))


def _name_of(value: Any) -> str:
    return {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}[type(value)]


def _wrong_type(path: str, found: str, schema: Object) -> Cause:
    wanted = schema.get("type", "")
    text = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return cause("FieldValueTypeInvalid", path, text)


def _bounds(value: Any, schema: Object, path: str) -> list[Cause]:
    out: list[Cause] = []
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        text = ", ".join(shown(a) for a in allowed)
        out.append(
            cause("FieldValueNotSupported", path, f"Unsupported value: {shown(value)}: supported values: {text}")
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            text = f"{path} in body should be greater than or equal to {schema['minimum']}"
            out.append(bad_value(path, value, text))
        if "maximum" in schema and value > schema["maximum"]:
            out.append(bad_value(path, value, f"{path} in body should be less than or equal to {schema['maximum']}"))
    return out


def _sizes(value: Any, schema: Object, path: str) -> list[Cause]:
    out: list[Cause] = []
    if isinstance(value, str):
        if "pattern" in schema and re.search(schema["pattern"], value) is None:
            out.append(bad_value(path, value, f"{path} in body should match '{schema['pattern']}'"))
        if len(value) > schema.get("maxLength", len(value)):
            out.append(cause("FieldValueTooLong", path, f"Too long: may not be more than {schema['maxLength']} bytes"))
        if len(value) < schema.get("minLength", 0):
            text = f"{path} in body should be at least {schema['minLength']} chars long"
            out.append(bad_value(path, value, text))
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            out.append(bad_value(path, len(value), f"{path} in body should have at least {schema['minItems']} items"))
        if len(value) > schema.get("maxItems", len(value)):
            out.append(
                cause(
                    "FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
                )
            )
    return out
