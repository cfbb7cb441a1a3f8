"""What decoding does to an object: unknown fields, wrong types, values that vanish when empty.

`decoded` is for built-in kinds and does what Go's decoder does; `pruned` is for custom resources; `applied` is the
strict reading that server-side apply gives its configuration. None of them judges values: see `validation`.
"""

from __future__ import annotations

from typing import Any

from agent.sandbox import fields, quantity
from agent.sandbox.problems import ApiError, bad_request
from agent.sandbox.schema import ANY, Node, empty

_GO_TYPES = {"string": "string", "integer": "int32", "boolean": "bool", "number": "float64"}
_VALUE_NAMES = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}


def _type_error(kind: str, struct: str, path: str, value: Any, wanted: str) -> ApiError:
    found = _VALUE_NAMES.get(type(value), "null")
    if wanted == "string" and found in ("number", "bool"):
        found = found if found == "bool" else "number"
    return bad_request(
        f"cannot be handled as a {kind}: json: cannot unmarshal {found} into Go struct field {struct}.{path} of type "
        f"{wanted}"
    )


class Decoder:
    """Decodes one built-in object. `unknown` collects the dotted paths of fields that the type does not have."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.unknown: list[str] = []

    def decoded(self, obj: dict[str, Any], node: Node) -> dict[str, Any]:
        """The object as it is stored.

        Raises:
            ApiError: 400, a value has the wrong type.
        """
        out: dict[str, Any] = self._map(obj, node, "", self.kind)
        return out

    def _value(self, value: Any, node: Node, path: str, struct: str) -> Any:
        if node.kind == "any":
            return value
        if node.kind == "map":
            if not isinstance(value, dict):
                wanted = node.name.rsplit(".", 1)[-1] or "map[string]string"
                raise _type_error(self.kind, struct, path, value, wanted)
            return self._map(value, node, path, struct)
        if node.kind == "list":
            return self._list(value, node, path, struct)
        return self._scalar(value, node, path, struct)

    def _map(self, value: dict[str, Any], node: Node, path: str, struct: str) -> dict[str, Any]:
        if not node.fields and not node.zero:
            element = node.element
            if element is None:
                return value if node is ANY else self._nothing(value, path)
            return {
                name: self._value(item, element, path, struct) if item is not None else _blank(element)
                for name, item in value.items()
            }
        struct = node.name.rsplit(".", 1)[-1] or struct
        out: dict[str, Any] = {}
        omit = node.omit
        for name, item in value.items():
            child = node.fields.get(name)
            if child is None:
                self.unknown.append(f"{path}.{name}" if path else name)
                continue
            if item is None:
                continue
            decoded = self._value(item, child, f"{path}.{name}" if path else name, struct)
            if name in omit and not decoded and (decoded in ("", 0, False) or child.kind != "map" or not child.fields):
                continue
            out[name] = decoded
        for name, zero in node.zero.items():
            if name not in out:
                child = node.fields[name]
                out[name] = empty(child) if zero == {} and child.kind == "map" else zero
        return out

    def _nothing(self, value: dict[str, Any], path: str) -> dict[str, Any]:
        self.unknown += [f"{path}.{name}" for name in value]
        return {}

    def _list(self, value: Any, node: Node, path: str, struct: str) -> list[Any]:
        if not isinstance(value, list):
            raise _type_error(self.kind, struct, path, value, f"[]{_go_name(node.items())}")
        return [
            self._value(item, node.items(), f"{path}[{index}]", struct) if item is not None else _blank(node.items())
            for index, item in enumerate(value)
        ]

    def _scalar(self, value: Any, node: Node, path: str, struct: str) -> Any:
        kind = node.type
        if kind == "string":
            if not isinstance(value, str):
                raise _type_error(self.kind, struct, _plain(path), value, "string")
        elif kind == "integer":
            if isinstance(value, float) and value.is_integer():
                return int(value)
            if isinstance(value, bool) or not isinstance(value, int):
                wanted = "int64" if node.schema.get("format") == "int64" else "int32"
                raise _type_error(self.kind, struct, _plain(path), value, wanted)
        elif kind == "boolean":
            if not isinstance(value, bool):
                raise _type_error(self.kind, struct, _plain(path), value, "bool")
        elif kind == "quantity":
            return self._quantity(value)
        elif kind == "int-or-string" and not isinstance(value, int | str):
            raise _type_error(self.kind, struct, _plain(path), value, "intstr.IntOrString")
        return value

    def _quantity(self, value: Any) -> str:
        try:
            return quantity.canonical(value if isinstance(value, str) else str(value))
        except ValueError as error:
            raise bad_request(f"cannot be handled as a {self.kind}: {error}") from None


def _plain(path: str) -> str:
    out = ""
    for part in path.split("["):
        out += part.partition("]")[2] if "]" in part else part
    return out


def _blank(node: Node) -> Any:
    return {"string": "", "integer": 0, "boolean": False}.get(node.type) if node.kind == "scalar" else empty(node)


def _go_name(node: Node) -> str:
    return node.name.rsplit(".", 1)[-1] or _GO_TYPES.get(node.type, "string")


def pruned(value: Any, node: Node, unknown: list[str], path: str = "") -> Any:
    """A custom resource without the fields its schema does not know; their paths go to `unknown`."""
    if isinstance(value, dict) and node.kind == "map":
        out = {}
        for name, item in value.items():
            here = f"{path}.{name}" if path else name
            child = node.fields.get(name) or node.element
            if child is None and node.embedded and name in ("apiVersion", "kind", "metadata"):
                child = ANY
            if child is None:
                unknown.append(here)
            elif item is not None or child.schema.get("nullable") or child.kind == "any":
                out[name] = pruned(item, child, unknown, here)
        return out
    if isinstance(value, list) and node.kind == "list":
        return [pruned(item, node.items(), unknown, f"{path}[{i}]") for i, item in enumerate(value)]
    return value


def defaulted(value: Any, node: Node) -> Any:
    """A custom resource with the defaults of its schema."""
    if isinstance(value, dict) and node.kind == "map":
        out = dict(value)
        for name, child in node.fields.items():
            if name not in out and "default" in child.schema and name not in ("apiVersion", "kind", "metadata"):
                out[name] = child.schema["default"]
        return {name: defaulted(item, node.child(name)) if name != "metadata" else item for name, item in out.items()}
    if isinstance(value, list) and node.kind == "list":
        return [defaulted(item, node.items()) for item in value]
    return value


def applied_problems(value: Any, node: Node, path: str = "") -> list[str]:
    """Why a configuration cannot be applied: `.spec.foo: field not declared in schema`, duplicates, wrong types."""
    if value is None or node.kind == "any":
        return []
    if node.kind == "map":
        return _map_problems(value, node, path)
    if node.kind == "list":
        return _list_problems(value, node, path)
    wanted = node.type
    if wanted == "string" and not isinstance(value, str):
        return [f"{path}: expected string, got &value.valueUnstructured{{Value:{_go_value(value)}}}"]
    if wanted in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, int | float)):
        return [f"{path}: expected numeric (int or float), got {_kind_name(value)}"]
    if wanted == "boolean" and not isinstance(value, bool):
        return [f"{path}: expected boolean, got {_kind_name(value)}"]
    return []


def _go_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind_name(value: Any) -> str:
    return {str: "string", bool: "boolean", int: "int", float: "float", dict: "map", list: "list"}[type(value)]


def _map_problems(value: Any, node: Node, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: expected map, got &{{{value}}}"]
    out = []
    for name, item in value.items():
        child = node.fields.get(name) or node.element
        if child is None:
            out.append(f"{path}.{name}: field not declared in schema")
        else:
            out += applied_problems(item, child, f"{path}.{name}")
    return out


def _list_problems(value: Any, node: Node, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: expected list, got &{{{value}}}"]
    out, seen = [], set()
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        if node.associative:
            try:
                element = fields.item_element(node, item)
            except ValueError as error:
                out.append(f"{path}: element {index}: {error}")
                continue
            here = path + fields.path_text((element,))
            if element in seen:
                out.append(f"{path}: duplicate entries for key {fields.path_text((element,))}")
            seen.add(element)
        out += applied_problems(item, node.items(), here)
    return out
