"""Sets of fields, in the form in which `managedFields` writes them, and what is computed with them.

A set is a tree of path elements: `f:name` for a field, `k:{…}` for an item of an associative list, `v:…` for an item
of a set. A branch that is itself a member holds `.`; an empty branch is a member without members below it. The root
`{}` is the empty set. Sets are treated as immutable: operations share parts of their operands.
"""

from __future__ import annotations

from typing import Any

import orjson

from agent.sandbox.schema import Node

FieldSet = dict[str, Any]
MISSING: Any = object()
"""What a path that is not there holds; `None` is a null that is there."""


def is_member(branch: FieldSet) -> bool:
    """Whether the path that leads to `branch` is itself in the set."""
    return not branch or "." in branch


def _below(branch: FieldSet) -> FieldSet:
    if "." in branch:
        return {k: v for k, v in branch.items() if k != "."}
    return branch


def _branch(children: FieldSet, *, member: bool) -> FieldSet | None:
    if not children:
        return {} if member else None
    return {".": {}, **children} if member else children


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of either."""
    if not a or not b:
        return a or b
    out = dict(a)
    for element, branch in b.items():
        mine = out.get(element)
        if mine is None:
            out[element] = branch
        elif mine != branch and element != ".":
            joined = union(_below(mine), _below(branch))
            out[element] = _branch(joined, member=is_member(mine) or is_member(branch))
    return out


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of `a` that are not in `b`."""
    if not b:
        return a
    out = {}
    for element, branch in a.items():
        other = b.get(element)
        if other is None:
            out[element] = branch
            continue
        rest = _branch(
            difference(_below(branch), _below(other)), member=is_member(branch) and not is_member(other)
        )  # fmt: skip
        if rest is not None:
            out[element] = rest
    return out


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of both."""
    out = {}
    for element, branch in a.items():
        other = b.get(element)
        if other is None:
            continue
        both = _branch(intersection(_below(branch), _below(other)), member=is_member(branch) and is_member(other))
        if both is not None:
            out[element] = both
    return out


def without_subtrees(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of `a` that neither are members of `b` nor lie below one."""
    out = {}
    for element, branch in a.items():
        other = b.get(element)
        if other is None:
            out[element] = branch
        elif not is_member(other):
            rest = _branch(without_subtrees(_below(branch), other), member=is_member(branch))
            if rest is not None:
                out[element] = rest
    return out


def insert(into: FieldSet, path: list[str]) -> None:
    """Makes `path` a member, in place; only for sets under construction."""
    for element in path[:-1]:
        branch = into.get(element)
        if branch is None:
            branch = into[element] = {"": {}}
        elif not branch:
            branch["."] = {}
        into = branch
    branch = into.get(path[-1])
    if branch is None:
        into[path[-1]] = {}
    elif branch:
        branch["."] = {}


def _settle(tree: FieldSet) -> FieldSet:
    """Removes the marks that `insert` leaves on branches that are no members."""
    return {k: _settle(v) for k, v in tree.items() if k != ""}


def paths(tree: FieldSet, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every member as a path: those of one level before those below them, each level sorted."""
    elements = sorted(element for element in tree if element != ".")
    out = [(*prefix, element) for element in elements if is_member(tree[element])]
    for element in elements:
        out += paths(tree[element], (*prefix, element))
    return out


def path_text(path: tuple[str, ...]) -> str:
    """A path as messages show it: `.spec.containers[name="c"].image`."""
    text = ""
    for element in path:
        tag, _, rest = element.partition(":")
        if tag == "f":
            text += f".{rest}"
        elif tag == "k":
            pairs = orjson.loads(rest)
            text += "[" + ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in sorted(pairs.items())) + "]"
        else:
            text += f"[={rest}]"
    return text


def item_element(node: Node, item: Any) -> str:
    """The path element of an item of an associative list.

    Raises:
        ValueError: the item has none of the keys.
    """
    if node.is_set:
        return "v:" + orjson.dumps(item).decode()
    if not isinstance(item, dict):
        raise ValueError("associative list with keys may not have non-map elements")  # noqa: TRY004 - as the docstring says
    key = {}
    for name in node.keys:
        value = item.get(name)
        if value is None:
            value = node.key_defaults.get(name)
        if value is not None:
            key[name] = value
    if not key:
        raise ValueError(
            "associative list with keys has an element that omits key field "
            + ", ".join(f'"{k}"' for k in node.keys)
            + (" (and doesn't have default value)" if len(node.keys) == 1 else "")
        )
    return "k:" + orjson.dumps(key, option=orjson.OPT_SORT_KEYS).decode()


def of(value: Any, node: Node) -> FieldSet:
    """All fields of an applied object."""
    return _of(value, node)[0]


def _of(value: Any, node: Node) -> tuple[FieldSet, bool]:
    if node.atomic:
        return {}, True
    if isinstance(value, dict) and node.kind in ("map", "any"):
        return _of_map(value, node), False
    if isinstance(value, list) and node.kind == "list":
        return _of_list(value, node), False
    return {}, value is not None or node.kind == "scalar"


def _of_map(value: dict[str, Any], node: Node) -> FieldSet:
    out = {}
    known = node.fields
    for name, item in value.items():
        children, member = _of(item, node.child(name))
        branch = _branch(children, member=member or item is None or item == {} or name not in known)
        if branch is not None:
            out["f:" + name] = branch
    return out


def _of_list(value: list[Any], node: Node) -> FieldSet:
    out: FieldSet = {}
    seen = set()
    for item in value:
        element = item_element(node, item)
        if element in seen:
            out[element] = {}
            continue
        seen.add(element)
        children, _ = _of(item, node.items())
        out[element] = _branch(children, member=True)
    return out


def with_named_members(tree: FieldSet, node: Node) -> FieldSet:
    """The set with every known field on the way to a member made a member too."""
    out = {}
    for element, branch in tree.items():
        child = node.child(element[2:]) if element[:2] == "f:" else node.items()
        below = with_named_members(branch, child) if branch else branch
        if below and "." not in below and element[:2] == "f:" and element[2:] in node.fields:
            below = {".": {}, **below}
        out[element] = below
    return out


class Comparison:
    """What changed between two objects: fields added, modified and removed."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self, old: Any, new: Any, node: Node) -> None:
        self.added: FieldSet = {}
        self.modified: FieldSet = {}
        self.removed: FieldSet = {}
        self._walk(old, new, node, [])
        self.added, self.modified, self.removed = map(_settle, (self.added, self.modified, self.removed))

    def excluding(self, ignored: FieldSet) -> Comparison:
        """Without the `ignored` subtrees."""
        if ignored:
            self.added = without_subtrees(self.added, ignored)
            self.modified = without_subtrees(self.modified, ignored)
            self.removed = without_subtrees(self.removed, ignored)
        return self

    def _walk(self, old: Any, new: Any, node: Node, path: list[str]) -> None:
        if old is not MISSING and new is not MISSING and old == new:
            return
        present = old if new is MISSING or new is None else new
        if not node.atomic and (old or new) and path_worthy(present, node):
            if isinstance(present, dict):
                self._walk_map(old, new, node, path)
                leaf = False
            elif node.associative:
                self._walk_list(old, new, node, path)
                leaf = False
            else:
                leaf = True
        else:
            leaf = True
        if path:
            self._note(old, new, path, leaf=leaf)

    def _note(self, old: Any, new: Any, path: list[str], *, leaf: bool) -> None:
        if old is MISSING:
            insert(self.added, path)
        elif new is MISSING:
            insert(self.removed, path)
        elif leaf:
            insert(self.modified, path)

    def _walk_map(self, old: Any, new: Any, node: Node, path: list[str]) -> None:
        left = old if isinstance(old, dict) else {}
        right = new if isinstance(new, dict) else {}
        for name in {**left, **right}:
            self._walk(left.get(name, MISSING), right.get(name, MISSING), node.child(name), [*path, "f:" + name])

    def _walk_list(self, old: Any, new: Any, node: Node, path: list[str]) -> None:
        left, right = _indexed(old, node), _indexed(new, node)
        for element in {**left, **right}:
            before, after = left.get(element, []), right.get(element, [])
            here = [*path, element]
            if len(before) <= 1 and len(after) <= 1:
                self._walk(before[0] if before else MISSING, after[0] if after else MISSING, node.items(), here)
            elif len(before) > 1 and len(after) > 1:
                if before != after:
                    insert(self.modified, here)
            elif len(before) > 1:
                if after:
                    self._walk(MISSING, after[0], node.items(), here)
                insert(self.removed, here)
            else:
                if before:
                    self._walk(before[0], MISSING, node.items(), here)
                insert(self.added, here)


def path_worthy(value: Any, node: Node) -> bool:
    """Whether a value of this type is made of parts (and is not empty)."""
    return (isinstance(value, dict) and node.kind in ("map", "any")) or (
        isinstance(value, list) and node.kind == "list"
    )


def _indexed(value: Any, node: Node) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for item in value if isinstance(value, list) else ():
        try:
            out.setdefault(item_element(node, item), []).append(item)
        except ValueError:
            continue
    return out


def remove(value: Any, gone: FieldSet, node: Node) -> Any:
    """`value` without the fields in `gone`. A container that loses its last part stays, empty."""
    if node.atomic or not value:
        return value
    if isinstance(value, dict):
        kept = {}
        for name, item in value.items():
            branch = gone.get("f:" + name)
            if branch is None:
                kept[name] = item
            elif not is_member(branch):
                kept[name] = remove(item, branch, node.child(name))
        return kept
    if isinstance(value, list) and node.associative:
        items = []
        for item in value:
            branch = gone.get(item_element(node, item))
            if branch is None:
                items.append(item)
            elif not is_member(branch):
                items.append(remove(item, branch, node.items()))
        return items
    return value
