"""The patch types that are not server-side apply: JSON patch, JSON merge patch, strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from agent.sandbox.problems import ApiError, bad_request
from agent.sandbox.schema import Node


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge_patch(out.get(name), value)
    return out


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902.

    Raises:
        ApiError: 400 for a malformed patch, 422 when it does not fit the object.
    """
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    target = copy.deepcopy(target)
    for operation in operations:
        target = _one(target, operation)
    return target


def _mismatch(text: str) -> ApiError:
    return ApiError(
        422, "Invalid", f"the server rejected our request due to an error in our request: {text}", details={}
    )


def _one(target: Any, operation: dict[str, Any]) -> Any:
    name, path = operation.get("op"), _pointer(operation.get("path", ""))
    if name == "test":
        if _at(target, path) != operation.get("value"):
            raise _mismatch(f"testing value {operation.get('path')} failed")
        return target
    if name in ("move", "copy"):
        source = _pointer(operation.get("from", ""))
        value = copy.deepcopy(_at(target, source))
        if name == "move":
            target = _removed(target, source)
        return _added(target, path, value)
    if name == "add":
        return _added(target, path, operation.get("value"))
    if name == "replace":
        _at(target, path)
        return _added(_removed(target, path), path, operation.get("value")) if path else operation.get("value")
    if name == "remove":
        return _removed(target, path)
    raise bad_request(f"Unexpected kind: {name}")


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _at(target: Any, path: list[str]) -> Any:
    for part in path:
        try:
            target = target[int(part)] if isinstance(target, list) else target[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _mismatch(f"nonexistent path /{'/'.join(path)}") from None
    return target


def _added(target: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _at(target, path[:-1])
    if isinstance(parent, list):
        try:
            index = len(parent) if path[-1] == "-" else int(path[-1])
        except ValueError:
            raise _mismatch(f"invalid index {path[-1]}") from None
        if not 0 <= index <= len(parent):
            raise _mismatch(f"index out of bounds: {index}")
        parent.insert(index, value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _mismatch(f"nonexistent path /{'/'.join(path)}")
    return target


def _removed(target: Any, path: list[str]) -> Any:
    _at(target, path)
    parent = _at(target, path[:-1])
    if isinstance(parent, list):
        del parent[int(path[-1])]
    else:
        del parent[path[-1]]
    return target


def strategic_merge(target: Any, patch: Any, node: Node) -> Any:
    """Kubernetes' own merge: lists merge by the merge key of their type, `$patch` and `$…` directives steer.

    Raises:
        ApiError: 400, an item lacks its merge key or a directive is unknown.
    """
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    if directive == "delete":
        return {}
    target = target if isinstance(target, dict) else {}
    out = dict(target)
    retained = patch.get("$retainKeys")
    if isinstance(retained, list):
        out = {k: v for k, v in out.items() if k in retained}
    for name, value in patch.items():
        if name.startswith(("$deleteFromPrimitiveList/", "$setElementOrder/")) or name in ("$patch", "$retainKeys"):
            continue
        if value is None:
            out.pop(name, None)
        elif isinstance(value, list):
            out[name] = _merged_list(out.get(name) or [], value, node.child(name))
        else:
            out[name] = strategic_merge(out.get(name), value, node.child(name))
    _directives(out, patch, target, node)
    return out


def _directives(out: dict[str, Any], patch: dict[str, Any], before: dict[str, Any], node: Node) -> None:
    for name, value in patch.items():
        directive, _, field = name.partition("/")
        if directive == "$deleteFromPrimitiveList" and isinstance(out.get(field), list):
            out[field] = [item for item in out[field] if item not in value]
    for name, value in patch.items():
        directive, _, field = name.partition("/")
        if directive == "$setElementOrder" and isinstance(out.get(field), list):
            out[field] = _ordered(out[field], value, before.get(field) or [], node.child(field).merge_key)


def _identity(item: Any, key: str) -> Any:
    return item.get(key) if key and isinstance(item, dict) else item


def _ordered(merged: list[Any], wanted: list[Any], before: list[Any], key: str) -> list[Any]:
    """`merged` with the items that `wanted` names in its order.

    The others keep theirs, and go in where `before` had them in front of the next wanted one.
    """
    rank = {repr(_identity(item, key)): index for index, item in enumerate(wanted)}
    known = {repr(_identity(item, key)): index for index, item in enumerate(before)}

    def name(item: Any) -> str:
        return repr(_identity(item, key))

    named = sorted((item for item in merged if name(item) in rank), key=lambda item: rank[name(item)])
    others = [item for item in merged if name(item) not in rank]
    others.sort(key=lambda item: known.get(name(item), len(known)))
    out: list[Any] = []
    while named and others:
        left, right = known.get(name(others[0])), known.get(name(named[0]))
        first = left is not None and right is not None and left < right
        out.append((others if first else named).pop(0))
    return out + named + others


def _merged_list(target: list[Any], patch: list[Any], node: Node) -> list[Any]:
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and item.get("$patch") == "replace")]
    if "merge" not in node.strategy:
        return patch
    if not node.merge_key:
        return _ordered(target + [item for item in patch if item not in target], patch, target, "")
    out = list(target)
    for item in patch:
        if not isinstance(item, dict) or node.merge_key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {node.merge_key}")
        identity = item[node.merge_key]
        place = next((i for i, old in enumerate(out) if _identity(old, node.merge_key) == identity), None)
        if item.get("$patch") == "delete":
            out = [old for old in out if _identity(old, node.merge_key) != identity]
        elif place is None:
            out.append(strategic_merge({}, item, node.items()))
        else:
            out[place] = strategic_merge(out[place], item, node.items())
    kept = [item for item in patch if "$patch" not in item]
    return _ordered(out, kept, target, node.merge_key)
