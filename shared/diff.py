"""Structural comparison of two Kubernetes objects: what differs, where, and without giving secrets away.

Paths are JSON pointers whose list steps name the item where items have an identity of their own:
`/spec/template/spec/containers/name=app/image`. It compares what it is given: which fields may differ without meaning
anything (defaults, quantities) is for the server's dry run to say, not for this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.model import Manifest

SECRET = "(secret)"  # noqa: S105 - a stand-in
SECRET_DIFFERS = "(secret, differs)"  # noqa: S105 - a stand-in
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own copy of the whole object, Secret values included."""

IDENTITIES: tuple[tuple[str, ...], ...] = (
    ("name",),
    ("containerPort", "protocol"),
    ("port", "protocol"),
    ("mountPath",),
    ("devicePath",),
    ("topologyKey", "whenUnsatisfiable"),
    ("key",),
    ("type",),
    ("ip",),
    ("uid",),
    ("host",),
    ("path",),
)
"""What tells list items apart, tried in order. All items of both lists must have it, each its own."""


@dataclass(frozen=True)
class Step:
    """One step into an object. `names` are all the spellings an ignore pointer may use for it."""

    text: str
    names: frozenset[str]
    want_index: int | None = None
    have_index: int | None = None


@dataclass(frozen=True)
class Difference:
    """A field that differs; None on a side where it is missing (null and missing are one to Kubernetes)."""

    steps: tuple[Step, ...]
    want: Any
    have: Any

    @property
    def path(self) -> str:
        """JSON pointer; empty for the whole tree."""
        return "".join("/" + escape(step.text) for step in self.steps)


Pointer = tuple[str, ...]
"""A parsed ignore pointer; `*` stands for any one step."""


def parse_pointer(text: str) -> Pointer:
    """`/spec/ports/*/nodePort` → its steps, unescaped. The empty pointer is the whole object."""
    if not text.strip("/"):
        return ()
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.removeprefix("/").split("/"))


def escape(step: str) -> str:
    """A step as it is written in a pointer."""
    return step.replace("~", "~0").replace("/", "~1")


def covers(pointer: Pointer, steps: Sequence[Step]) -> bool:
    """Whether `steps` lead to what `pointer` names, or into it."""
    return len(pointer) <= len(steps) and all(_hits(part, step) for part, step in zip(pointer, steps, strict=False))


def diff(want: Any, have: Any, ignore: Iterable[str] = ()) -> list[Difference]:
    """All differences outside `ignore` (JSON pointers), in the order of the fields of `want`, then of `have`."""
    found: list[Difference] = []
    _compare(want, have, (), tuple(parse_pointer(text) for text in ignore), found)
    return found


def same(left: Any, right: Any) -> bool:
    """Equality as Kubernetes has it: `true` is not 1, 1 is 1.0, and null in a map is as good as missing."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return all(same(left.get(key), right.get(key)) for key in left.keys() | right.keys())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def is_secret(manifest: Manifest) -> bool:
    """Whether it is a core Secret."""
    return manifest.get("kind") == "Secret" and manifest.get("apiVersion") == "v1"


def masked(manifest: Manifest) -> Manifest:
    """The manifest, fit to be shown: values of a Secret replaced, its keys kept. Others come back as they are."""
    return _masked(manifest, manifest)


def masked_pair(want: Manifest, have: Manifest) -> tuple[Manifest, Manifest]:
    """Both sides, fit to be shown: a value that differs from `want` reads `(secret, differs)` in `have`."""
    return masked(want), _masked(have, want)


def masked_difference(difference: Difference) -> Difference:
    """A difference between two Secrets, fit to be shown."""
    texts = [step.text for step in difference.steps]
    hidden = texts[:1] in (["data"], ["stringData"]) or texts == ["metadata", "annotations", LAST_APPLIED]
    want, have = difference.want, difference.have
    if hidden:
        return Difference(difference.steps, veiled(want), veiled(have))
    inner = {"kind": "Secret", "apiVersion": "v1"}
    if not texts:
        return Difference((), *(masked({**inner, **side}) if isinstance(side, dict) else side for side in (want, have)))
    if texts in (["metadata"], ["metadata", "annotations"]):
        return Difference(difference.steps, _without_last_applied(want), _without_last_applied(have))
    return difference


def veiled(value: Any) -> Any:
    """A secret value, fit to be shown: of a map the keys stay."""
    if value is None:
        return None
    return dict.fromkeys(value, SECRET) if isinstance(value, Mapping) else SECRET


def _without_last_applied(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    shown = {key: item for key, item in value.items() if key != LAST_APPLIED}
    if "annotations" in shown:
        shown["annotations"] = _without_last_applied(shown["annotations"])
    return shown


def _masked(manifest: Manifest, reference: Manifest) -> Manifest:
    if not is_secret(manifest):
        return manifest
    shown = dict(manifest)
    for part in ("data", "stringData"):
        values = manifest.get(part)
        if isinstance(values, Mapping):
            other = reference.get(part)
            known = other if isinstance(other, Mapping) else {}
            shown[part] = {
                key: SECRET if key in known and same(value, known[key]) else SECRET_DIFFERS
                for key, value in values.items()
            }
        elif values is not None:
            shown[part] = SECRET
    if isinstance(manifest.get("metadata"), Mapping):
        shown["metadata"] = _without_last_applied(manifest["metadata"])
    return shown


def _hits(part: str, step: Step) -> bool:
    return part == "*" or part in step.names


def _compare(
    want: Any, have: Any, steps: tuple[Step, ...], ignore: tuple[Pointer, ...], found: list[Difference]
) -> None:
    if () in ignore:
        return
    if isinstance(want, Mapping) and isinstance(have, Mapping):
        _compare_maps(want, have, steps, ignore, found)
    elif isinstance(want, list) and isinstance(have, list) and (keys := _keyed(want, have)) is not None:
        _compare_items(want, have, keys, steps, ignore, found)
    elif isinstance(want, list) and isinstance(have, list) and ignore and len(want) == len(have):
        for index, (left, right) in enumerate(zip(want, have, strict=True)):
            step = Step(str(index), frozenset({str(index)}), index, index)
            _compare(left, right, (*steps, step), _deeper(ignore, step), found)
    elif not same(want, have):
        left, right = _pruned(want, ignore), _pruned(have, ignore)
        emptied = (want is None and not right and right != have) or (have is None and not left and left != want)
        if not emptied and not same(left, right):
            found.append(Difference(steps, left, right))


def _compare_maps(
    want: Mapping[str, Any],
    have: Mapping[str, Any],
    steps: tuple[Step, ...],
    ignore: tuple[Pointer, ...],
    found: list[Difference],
) -> None:
    for key in [*want, *(key for key in have if key not in want)]:
        step = Step(key, frozenset({key}))
        _compare(want.get(key), have.get(key), (*steps, step), _deeper(ignore, step), found)


def _compare_items(
    want: list[Any],
    have: list[Any],
    keys: tuple[str, ...],
    steps: tuple[Step, ...],
    ignore: tuple[Pointer, ...],
    found: list[Difference],
) -> None:
    left = {_identity(item, keys): index for index, item in enumerate(want)}
    right = {_identity(item, keys): index for index, item in enumerate(have)}
    for identity in [*left, *(key for key in right if key not in left)]:
        a, b = left.get(identity), right.get(identity)
        step = _item_step(keys, identity, a, b)
        old, new = (None if a is None else want[a]), (None if b is None else have[b])
        _compare(old, new, (*steps, step), _deeper(ignore, step), found)
    common_left = [identity for identity in left if identity in right]
    common_right = [identity for identity in right if identity in left]
    if common_left != common_right:
        order = [
            [_item_step(keys, identity, None, None).text for identity in side] for side in (common_left, common_right)
        ]
        found.append(Difference(steps, *order))


def _item_step(keys: tuple[str, ...], identity: tuple[Any, ...], a: int | None, b: int | None) -> Step:
    text = ",".join(f"{key}={value}" for key, value in zip(keys, identity, strict=True))
    names = {text, str(identity[0]), *(str(index) for index in (a, b) if index is not None)}
    return Step(text, frozenset(names), a, b)


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in keys)


def _keyed(want: list[Any], have: list[Any]) -> tuple[str, ...] | None:
    """The fields that tell the items of both lists apart, None when nothing does."""
    items = [*want, *have]
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    for keys in IDENTITIES:
        if _identifies(keys, items) and all(
            len({_identity(item, keys) for item in side}) == len(side) for side in (want, have)
        ):
            return keys
    return None


def _identifies(keys: tuple[str, ...], items: list[Any]) -> bool:
    """Whether every item has the first key, and scalars where it has the others."""
    scalars = (str, int)
    return not any(isinstance(item.get(key), bool) for key in keys for item in items) and all(
        isinstance(item.get(keys[0]), scalars)
        and all(isinstance(item.get(key), (*scalars, type(None))) for key in keys[1:])
        for item in items
    )


def _deeper(ignore: tuple[Pointer, ...], step: Step) -> tuple[Pointer, ...]:
    return tuple(pointer[1:] for pointer in ignore if pointer and _hits(pointer[0], step))


def _pruned(value: Any, ignore: tuple[Pointer, ...]) -> Any:
    """What is left of a value that only one side has, when parts of it are ignored."""
    if not ignore:
        return value
    if () in ignore:
        return None
    if isinstance(value, Mapping):
        kept = {}
        for key, item in value.items():
            inner = _deeper(ignore, Step(key, frozenset({key})))
            left = _pruned(item, inner)
            if () not in inner and not (left != item and left in (None, {}, [])):
                kept[key] = left
        return kept
    return value
