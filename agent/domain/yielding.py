"""Leaving fields to their other owners: what to drop from a manifest so that applying it takes nothing from them.

Server-side apply takes a field the moment we send it, so the only way not to fight over one is not to send it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.domain.ownership import Fields, child, has_key, is_set, item_keys, set_values
from shared.diff import Pointer, same
from shared.model import Manifest

_GONE = object()


def yielded(
    manifest: Manifest, live: Manifest, pointer: Pointer, rivals: Sequence[Fields], mine: Fields | None
) -> Manifest:
    """`manifest` without the fields in `pointer` that `rivals` (managedFields of others) own in `live`.

    Only single fields go: of a map that both we and others write, our part stays. In a list or map that the server
    replaces as a whole nothing can be left out; if all of it is to be yielded it goes, else the live value takes the
    place of the part.
    """
    kept = _yield(manifest, live, pointer, list(rivals), mine)
    return kept if isinstance(kept, dict) else manifest


def _yield(want: Any, have: Any, pointer: Pointer, rivals: Sequence[Fields], mine: Fields | None) -> Any:
    if not rivals or have is None:
        return want
    if isinstance(want, Mapping | list) and want and (mine or not any(not fields for fields in rivals)):
        if isinstance(want, Mapping):
            return _yield_map(want, have, pointer, rivals, mine) if isinstance(have, Mapping) else want
        return _yield_list(want, have, pointer, rivals, mine) if isinstance(have, list) else want
    return _GONE if not pointer else _substituted(want, have, pointer)


def _yield_map(
    want: Mapping[str, Any], have: Mapping[str, Any], pointer: Pointer, rivals: Sequence[Fields], mine: Fields | None
) -> Any:
    kept: dict[str, Any] = {}
    for key, value in want.items():
        result = value
        if not pointer or pointer[0] in ("*", key):
            inner = [part for fields in rivals if (part := child(fields, key)) is not None]
            result = _yield(value, have.get(key), pointer[1:], inner, child(mine, key))
        if result is not _GONE:
            kept[key] = result
    return kept or _GONE


def _yield_list(
    want: list[Any], have: list[Any], pointer: Pointer, rivals: Sequence[Fields], mine: Fields | None
) -> Any:
    if any(is_set(fields) for fields in rivals):
        theirs = [value for fields in rivals for value in set_values(fields)]
        return (
            want if pointer else [value for value in want if not any(same(value, other) for other in theirs)] or _GONE
        )
    kept = []
    for index, item in enumerate(want):
        result = item
        if (key := _key_of(item, have, rivals)) is not None and _names_item(pointer, key, index):
            inner = [part for fields in rivals for known, part in item_keys(fields) if same(known, key)]
            own = next((part for known, part in item_keys(mine) if same(known, key)), None)
            live = next(other for other in have if has_key(other, key))
            result = _yield_item(item, live, key, pointer[1:], inner, own)
        if result is not _GONE:
            kept.append(result)
    return kept or _GONE


def _yield_item(
    item: Mapping[str, Any],
    live: Mapping[str, Any],
    key: Mapping[str, Any],
    pointer: Pointer,
    rivals: Sequence[Fields],
    mine: Fields | None,
) -> Any:
    kept = _yield_map(item, live, pointer, rivals, mine)
    named = {name: item[name] for name in key if name in item}
    if kept is _GONE or kept.keys() <= named.keys():
        # All but its name is theirs. If all of it was to be yielded the item goes, else the name alone says nothing.
        return _GONE
    return {**named, **kept}


def _key_of(item: Any, have: list[Any], rivals: Sequence[Fields]) -> Mapping[str, Any] | None:
    """The key under which others own this item of ours; key fields we left out were defaulted in the live one."""
    for fields in rivals:
        for key, _ in item_keys(fields):
            given = {name: value for name, value in key.items() if isinstance(item, Mapping) and name in item}
            if given and has_key(item, given) and any(has_key(other, key) for other in have):
                return key
    return None


def _names_item(pointer: Pointer, key: Mapping[str, Any], index: int) -> bool:
    if not pointer or pointer[0] == "*":
        return True
    text = ",".join(f"{name}={value}" for name, value in key.items())
    return pointer[0] in (text, str(index), str(next(iter(key.values()))))


def _substituted(want: Any, have: Any, pointer: Pointer) -> Any:
    """`want` with the live value at `pointer`, for what can only be sent as a whole."""
    if not pointer:
        return have
    if isinstance(want, Mapping) and isinstance(have, Mapping):
        return {
            key: _substituted(value, have[key], pointer[1:]) if pointer[0] in ("*", key) and key in have else value
            for key, value in want.items()
        }
    if isinstance(want, list) and isinstance(have, list):
        return [
            _substituted(value, have[index], pointer[1:])
            if pointer[0] in ("*", str(index)) and index < len(have)
            else value
            for index, value in enumerate(want)
        ]
    return want
