"""Types of objects: what fields there are, how their lists merge, which of them vanish when empty.

One compiler reads both the OpenAPI definitions of the built-in kinds and the `openAPIV3Schema` of a
CustomResourceDefinition. A compiled `Node` is immutable after construction and shared by all clusters of the process.
"""

from __future__ import annotations

import functools
import importlib.resources
from typing import Any

import orjson

Definitions = dict[str, dict[str, Any]]


class Node:
    """One place in a type.

    kind        map (fields or one element type), list, scalar, or any (nothing is known: deduced from the value)
    atomic      merged and owned as a whole
    fields      of a map with known fields, by name; `element` is the type of other keys, None: there are none
    keys        of an associative list; `key_defaults` fill in for keys an item leaves out
    is_set      a list whose items are their own keys
    omit, zero  fields that vanish when they hold their zero value; fields that are always there, with that value
    """

    __slots__ = (
        "atomic", "element", "embedded", "fields", "is_set", "key_defaults", "keys", "kind", "merge_key", "name",
        "omit", "preserve", "required", "schema", "strategy", "type", "zero",
    )  # fmt: skip

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = ""
        self.atomic = False
        self.fields: dict[str, Node] = {}
        self.element: Node | None = None
        self.keys: tuple[str, ...] = ()
        self.key_defaults: dict[str, Any] = {}
        self.is_set = False
        self.type = ""
        self.omit: frozenset[str] = frozenset()
        self.zero: dict[str, Any] = {}
        self.required: tuple[str, ...] = ()
        self.merge_key = ""
        self.strategy = ""
        self.preserve = False
        self.embedded = False
        self.schema: dict[str, Any] = {}

    @property
    def associative(self) -> bool:
        """Whether items of this list are told apart by keys or value."""
        return self.is_set or bool(self.keys)

    def child(self, name: str) -> Node:
        """The type of field or key `name`."""
        return self.fields.get(name) or self.element or ANY

    def items(self) -> Node:
        """The type of a list's items."""
        return self.element or ANY


ANY = Node("any")
_LEAF_DEFINITIONS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
}
_OPAQUE = {
    "RawExtension",
    "JSON",
    "FieldsV1",
    "JSONSchemaPropsOrBool",
    "JSONSchemaPropsOrArray",
    "JSONSchemaPropsOrStringArray",
}


class Compiler:
    """Compiles definitions into nodes, each once; definitions may refer to each other in circles."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiled: dict[str, Node] = {}

    def definition(self, name: str) -> Node:
        """The node of a named definition."""
        node = self._compiled.get(name)
        if node is None:
            schema = self._definitions[name]
            node = Node("")
            self._compiled[name] = node
            node.name = name
            if name in _LEAF_DEFINITIONS:
                node.kind, node.type = "scalar", _LEAF_DEFINITIONS[name]
            elif name.rsplit(".", 1)[-1] in _OPAQUE:
                node.kind, node.atomic = "any", True
            else:
                self._fill(node, schema)
        return node

    def inline(self, schema: dict[str, Any]) -> Node:
        """The node of a schema that may be a reference to a definition."""
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            node = Node("")
            self._fill(node, schema)
            return node
        target = self.definition(reference.rsplit("/", 1)[-1])
        if schema.get("x-kubernetes-map-type") == "atomic" and not target.atomic:
            copy = Node(target.kind)
            for slot in Node.__slots__:
                setattr(copy, slot, getattr(target, slot))
            copy.atomic = True
            return copy
        return target

    def _fill(self, node: Node, schema: dict[str, Any]) -> None:
        node.schema = schema
        node.preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        node.embedded = bool(schema.get("x-kubernetes-embedded-resource"))
        kind = schema.get("type")
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            node.kind, node.type = "scalar", "int-or-string"
        elif kind == "array":
            self._fill_list(node, schema)
        elif kind == "object" or "properties" in schema:
            self._fill_map(node, schema)
        elif kind in ("string", "integer", "number", "boolean"):
            node.kind, node.type = "scalar", kind
        else:
            node.kind = "any"

    def _fill_list(self, node: Node, schema: dict[str, Any]) -> None:
        node.kind = "list"
        node.element = self.inline(schema.get("items") or {})
        node.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
        node.strategy = schema.get("x-kubernetes-patch-strategy", "")
        list_type = schema.get("x-kubernetes-list-type")
        if list_type == "map":
            node.keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
            properties = node.element.schema.get("properties", {})
            for key in node.keys:
                default = properties.get(key, {}).get("default")
                if default is not None:
                    node.key_defaults[key] = default
        elif list_type == "set":
            node.is_set = True
        else:
            node.atomic = True

    def _fill_map(self, node: Node, schema: dict[str, Any]) -> None:
        properties = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        node.kind = "map"
        node.atomic = schema.get("x-kubernetes-map-type") == "atomic"
        node.required = tuple(schema.get("required") or ())
        node.fields = {name: self.inline(sub) for name, sub in properties.items()}
        if isinstance(extra, dict):
            node.element = self.inline(extra)
        elif extra is True or node.preserve:
            node.element = ANY
        node.omit = frozenset(name for name, sub in properties.items() if sub.get("x-go") == "omit")
        node.zero = {
            name: _zero(node.fields[name], sub) for name, sub in properties.items() if sub.get("x-go") == "zero"
        }
        if "x-kubernetes-patch-strategy" in schema:
            node.strategy = schema["x-kubernetes-patch-strategy"]


def _zero(node: Node, schema: dict[str, Any]) -> Any:
    if schema.get("default") == {} or (schema.get("default") is None and node.kind == "map" and not node.element):
        return {}
    if node.kind == "scalar" and not schema.get("$ref", "").endswith("Time"):
        if node.type in ("quantity", "int-or-string"):
            return "0" if node.type == "quantity" else 0
        return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(node.type)
    return None


@functools.cache
def data() -> dict[str, Any]:
    """The data file: `version`, aggregated discovery `groups`, OpenAPI `definitions` of one Kubernetes version."""
    raw = importlib.resources.files("agent.sandbox").joinpath("data/kubernetes.json").read_bytes()
    loaded: dict[str, Any] = orjson.loads(raw)
    return loaded


@functools.cache
def builtin() -> Compiler:
    """The compiler over the built-in definitions."""
    return Compiler(data()["definitions"])


@functools.cache
def kinds() -> dict[tuple[str, str, str], str]:
    """(group, version, kind) -> definition name, for kinds that are stored."""
    found = {}
    for name, schema in data()["definitions"].items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            key = (gvk["group"], gvk["version"], gvk["kind"])
            if key not in found and len(schema["x-kubernetes-group-version-kind"]) == 1:
                found[key] = name
    return found


def custom(openapi: dict[str, Any] | None) -> Node:
    """The node of a custom resource: its schema with the metadata of every object."""
    compiler = builtin()
    node = Compiler(data()["definitions"]).inline(
        openapi or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    )
    if node.kind == "any":
        node = Node("map")
        node.element = ANY
        node.preserve = True
    string = Node("scalar")
    string.type = "string"
    meta = compiler.definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    node.fields = {**node.fields, "apiVersion": string, "kind": string, "metadata": meta}
    return node


def empty(node: Node) -> dict[str, Any]:
    """What a built-in object holds before anything is set: Go structs that are no pointers, and required fields."""
    out: dict[str, Any] = {}
    for name, value in node.zero.items():
        child = node.fields[name]
        out[name] = empty(child) if value == {} and child.kind == "map" else value
    return out
