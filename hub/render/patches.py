"""The patches of overrides: which objects they are for, and JSON 6902. Strategic merge is next door. Pure.

Targets are those of Kustomize: group, version, kind, name and namespace are anchored regular expressions, selectors are
those of kubectl. Like Kustomize, a patch that matches nothing is an error: a misspelt name must not pass silently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hub.domain.yamldoc import load_documents
from hub.render import strategic
from hub.render.job import Patch, Target
from shared.errors import DocumentError
from shared.model import Manifest, Problem

if TYPE_CHECKING:
    from hub.render.plain import Found

_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<absent_key>[^\s,!=()]+)|(?P<key>[^\s,!=()]+)\s*"
    r"(?:(?P<op>==?|!=)\s*(?P<value>[^\s,!=()]*)|(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|\Z)"
)


def apply_patches(found: list[Found], patches: Sequence[Patch], problems: list[Problem]) -> list[Found]:
    """`found` with all patches applied in order; what is wrong with a patch is added to `problems`."""
    for patch in patches:
        try:
            for change in _changes(patch):
                found = _apply(found, patch, change)
        except DocumentError as error:
            hint = error.hint
            problems.append(Problem("error", f"{patch.origin}: {error.message}", error.place, hint))
    return found


def _changes(patch: Patch) -> list[dict[str, Any] | list[Any]]:
    """The patch decoded: one or, as YAML text, several."""
    if not isinstance(patch.patch, str):
        return [patch.patch]
    values = [document.value for document in load_documents(patch.patch, file=patch.origin)]
    if not values or not all(isinstance(value, dict | list) for value in values):
        raise DocumentError("the patch is neither a map (strategic merge) nor a list of operations (JSON 6902)")
    return values


def _apply(found: list[Found], patch: Patch, change: dict[str, Any] | list[Any]) -> list[Found]:
    target = patch.target or _own_target(change)
    selects = _Selector(target)
    if not any(selects.matches(each.manifest) for each in found):
        raise DocumentError(f"matches no object: {_shown(target)}", hint="check kind, name and labels of its target")
    result: list[Found] = []
    for each in found:
        if not selects.matches(each.manifest):
            result.append(each)
        elif (changed := _changed(each.manifest, change)) is not None:
            result.append(replace(each, manifest=changed))
    return result


def _own_target(change: dict[str, Any] | list[Any]) -> Target:
    """A strategic merge without a target names its object like an object does."""
    metadata = change.get("metadata") if isinstance(change, dict) else None
    if not isinstance(change, dict) or not isinstance(metadata, dict) or not metadata.get("name"):
        raise DocumentError("names no object", hint="give it a target, or kind and metadata.name in the patch")
    group, _, version = str(change.get("apiVersion", "")).rpartition("/")
    parts = (group, version, change.get("kind"), metadata["name"], metadata.get("namespace"))
    return Target(*(re.escape(str(part or "")) for part in parts))


def _changed(manifest: Manifest, change: dict[str, Any] | list[Any]) -> Manifest | None:
    try:
        if isinstance(change, list):
            return json6902(manifest, change)
        group = str(manifest.get("apiVersion", "")).rpartition("/")[0]
        named = (
            {**change, "metadata": {**change["metadata"]}} if isinstance(change.get("metadata"), dict) else {**change}
        )
        # With a target the patch may carry any name; the object keeps its own identity.
        for field in ("apiVersion", "kind"):
            named.pop(field, None)
        for field in ("name", "namespace"):
            named.get("metadata", {}).pop(field, None)
        return strategic.merge(manifest, named, built_in=group in strategic.BUILT_IN_GROUPS)
    except DocumentError as error:
        metadata = manifest.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else ""
        raise DocumentError(f"{manifest.get('kind')} {name}: {error.message}", error.place, error.hint) from None


class _Selector:
    """A target, compiled."""

    def __init__(self, target: Target) -> None:
        self._parts = [
            (part, _regex(getattr(target, part)))
            for part in ("group", "version", "kind", "name", "namespace")
            if getattr(target, part)
        ]
        self._labels = _requirements(target.label_selector)
        self._annotations = _requirements(target.annotation_selector)

    def matches(self, manifest: Manifest) -> bool:
        metadata = manifest.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        group, _, version = str(manifest.get("apiVersion", "")).rpartition("/")
        have = {
            "group": group,
            "version": version,
            "kind": manifest.get("kind"),
            "name": metadata.get("name"),
            "namespace": metadata.get("namespace"),
        }
        return (
            all(pattern.fullmatch(str(have[part] or "")) for part, pattern in self._parts)
            and _holds(self._labels, metadata.get("labels"))
            and _holds(self._annotations, metadata.get("annotations"))
        )


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise DocumentError(f"{text!r} in its target is not a regular expression: {error}") from None


_Requirement = tuple[str, bool, frozenset[str] | None]
"""(key, wanted, values): the key is (not) there, or its value is (not) one of the values."""


def _requirements(selector: str) -> list[_Requirement]:
    found: list[_Requirement] = []
    at = 0
    while at < len(selector.rstrip()):
        term = _REQUIREMENT.match(selector, at)
        if term is None or term.end() == at:
            raise DocumentError(
                f"{selector!r} is not a label selector", hint="as kubectl -l takes it: a=b,c!=d,e in (f,g)"
            )
        at = term.end()
        if term["absent"]:
            found.append((term["absent_key"], False, None))
        elif term["set"]:
            values = frozenset(value.strip() for value in term["values"].split(","))
            found.append((term["key"], term["set"] == "in", values))
        elif term["op"]:
            found.append((term["key"], term["op"] != "!=", frozenset({term["value"]})))
        else:
            found.append((term["key"], True, None))
    return found


def _holds(requirements: list[_Requirement], have: object) -> bool:
    labels = have if isinstance(have, dict) else {}
    return all(
        ((key in labels) if values is None else (key in labels and str(labels[key]) in values)) == wanted
        for key, wanted, values in requirements
    )


def _shown(target: Target) -> str:
    parts = {
        "group": target.group,
        "version": target.version,
        "kind": target.kind,
        "name": target.name,
        "namespace": target.namespace,
        "labels": target.label_selector,
        "annotations": target.annotation_selector,
    }
    return ", ".join(f"{name} {value!r}" for name, value in parts.items() if value) or "everything"


def json6902(manifest: Manifest, operations: list[Any]) -> Manifest:
    """`manifest` after the operations; the argument is not changed.

    Raises:
        DocumentError: an operation is malformed, does not find its place, or a `test` fails.
    """
    # The parts on the way are copied before they are written to: YAML aliases may share them with other objects.
    document: Any = {"": manifest}
    for number, operation in enumerate(operations):
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            shown = operation.get("path", "") if isinstance(operation, dict) else operation
            raise DocumentError(
                f"operation {number + 1} on {shown!r}: {error.args[0] if error.args else error}"
            ) from None
    result = document.get("")
    if not isinstance(result, dict):
        raise DocumentError("the patch leaves no object")
    return result


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict):
        raise TypeError("an operation is a map with op and path")
    name, path = operation.get("op"), _steps(operation.get("path"))
    if name in ("add", "replace", "test") and "value" not in operation:
        raise ValueError(f"{name} needs a value")
    match name:
        case "add":
            return _write(document, path, operation["value"], insert=True)
        case "replace":
            return _replace(document, path, operation["value"])
        case "remove":
            return _remove(document, path)
        case "test":
            return _test(document, path, operation["value"])
        case "copy":
            return _write(document, path, _read(document, _steps(operation.get("from"))), insert=True)
        case "move":
            return _move(document, path, _steps(operation.get("from")))
        case _:
            raise ValueError(f"op {name!r} is not one of add, remove, replace, move, copy, test")


def _replace(document: Any, path: list[str], value: Any) -> Any:
    _read(document, path)
    return _write(document, path, value, insert=False)


def _test(document: Any, path: list[str], value: Any) -> Any:
    have = _read(document, path)
    if have != value:
        raise ValueError(f"the test fails: there is {have!r}")
    return document


def _move(document: Any, path: list[str], source: list[str]) -> Any:
    if path[: len(source)] == source and path != source:
        raise ValueError("cannot be moved into itself")
    return _write(_remove(document, source), path, _read(document, source), insert=True)


def _steps(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise ValueError(f"{pointer!r} is not a JSON pointer like /spec/replicas")
    return [""] + [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _read(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[_index(document, step)]
    return document


def _index(parent: Any, step: str) -> Any:
    """The key of an existing member."""
    if isinstance(parent, dict):
        if step not in parent:
            raise KeyError(f"there is no {step!r}")
        return step
    if isinstance(parent, list):
        if not (step.isascii() and step.isdigit()) or int(step) >= len(parent):
            raise IndexError(f"there is no item {step!r} in a list of {len(parent)}")
        return int(step)
    raise TypeError(f"there is nothing below a {type(parent).__name__}")


def _write(document: Any, steps: list[str], value: Any, *, insert: bool) -> Any:
    step, rest = steps[0], steps[1:]
    copied = document.copy() if isinstance(document, dict | list) else document
    if rest:
        key = _index(copied, step)
        copied[key] = _write(copied[key], rest, value, insert=insert)
    elif isinstance(copied, list) and insert:
        if step != "-" and (not step.isdigit() or int(step) > len(copied)):
            raise IndexError(f"there is no place {step!r} in a list of {len(copied)}")
        copied.insert(len(copied) if step == "-" else int(step), value)
    elif isinstance(copied, dict):
        copied[step] = value
    else:
        copied[_index(copied, step)] = value
    return copied


def _remove(document: Any, steps: list[str]) -> Any:
    copied = document.copy() if isinstance(document, dict | list) else document
    key = _index(copied, steps[0])
    if len(steps) == 1:
        del copied[key]
    else:
        copied[key] = _remove(copied[key], steps[1:])
    return copied
