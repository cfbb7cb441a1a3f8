"""Objects whose secrets were decrypted here: what is applied, and how to speak of it without giving them away. Pure.

Decrypted values live in memory, from where they go to the API server and nowhere else. What is kept, reported or logged
of such an object is its sealed form, names of fields, and `(secret)`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import orjson

from agent.domain.writing import yaml_of
from shared.diff import SECRET, Difference, is_secret, masked_difference, veiled
from shared.errors import InvalidMessage
from shared.manifests import ref_of
from shared.model import Manifest, Value
from shared.sealed import SEALED, Fill, Path, Seal, dotted

SHORTEST = 3
"""Characters of a secret that is looked for in texts: anything shorter is in any text."""


class Unsealed(Value, frozen=True):
    """An object as the hub sent it and as it is applied. `hidden` are the fields of `manifest` that hold secrets."""

    sealed: Manifest
    manifest: Manifest
    hidden: tuple[Path, ...]

    def __repr__(self) -> str:
        return f"Unsealed({ref_of(self.sealed)})"


class Unreadable(Value, frozen=True):
    """A sealed object that could not be opened, and why. `for_want_of_a_key`: it may be when another key is there."""

    sealed: Manifest
    reason: str
    for_want_of_a_key: bool = False


def filled(manifest: Manifest, seal: Seal, opened: Sequence[Mapping[str, Any]]) -> Unsealed:
    """The object with its secrets put in, from its documents as they were decrypted.

    Raises:
        InvalidMessage: a field or a value is not where it should be, or a value cannot be put there.
    """
    result: Any = {key: value for key, value in manifest.items() if key != SEALED}
    for fill in seal.fills:
        try:
            result = _replaced(result, fill.at, lambda text, fill=fill: _put(text, fill, opened[fill.document]))
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidMessage(f"{dotted(fill.at)} is not there to put a secret into: {error!r}") from None
    return Unsealed(manifest, result, tuple(dict.fromkeys(fill.at for fill in seal.fills)))


def _replaced(value: Any, path: Path, change: Any) -> Any:
    if not path:
        return change(value)
    step, rest = path[0], path[1:]
    if isinstance(value, list):
        return [_replaced(item, rest, change) if index == step else item for index, item in enumerate(value)]
    return {**value, step: _replaced(value[step], rest, change)}


def _put(text: Any, fill: Fill, document: Mapping[str, Any]) -> Any:
    secret = _whole(document, fill) if fill.whole is not None else _at(document, fill.value)
    if fill.encoding == "base64":
        plain = base64.b64decode(text).replace(fill.token.encode(), _bytes(secret, fill))
        return base64.b64encode(plain).decode()
    if text == fill.token:
        return _text(secret, fill) if isinstance(secret, bytes) else secret
    return str(text).replace(fill.token, _text(_bytes(secret, fill), fill))


def _at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def _bytes(secret: Any, fill: Fill) -> bytes:
    match secret:
        case bytes():
            return secret
        case bool():
            return b"true" if secret else b"false"
        case str() | int() | float():
            return str(secret).encode()
        case _:
            raise InvalidMessage(f"what goes into {dotted(fill.at)} is no text")


def _text(secret: bytes, fill: Fill) -> str:
    try:
        return secret.decode()
    except UnicodeDecodeError:
        raise InvalidMessage(f"what goes into {dotted(fill.at)} is no text: it needs a field of `data`") from None


def _whole(document: Mapping[str, Any], fill: Fill) -> bytes:
    match fill.whole:
        case "binary":
            return _bytes(document.get("data"), fill)
        case "dotenv":
            lines = (f"{key}={_text(_bytes(value, fill), fill)}" for key, value in document.items())
            return "".join(line.replace("\n", "\\n") + "\n" for line in lines).encode()
        case "yaml":
            return yaml_of(document).encode()
        case _:
            return orjson.dumps(document, option=orjson.OPT_INDENT_2)


# --- speaking of it -----------------------------------------------------------------------------------------------


def shown(difference: Difference, live: Manifest, hidden: Collection[Path]) -> Difference:
    """A difference fit to be told: of a Secret, and in, at or around the fields of any object that hold secrets."""
    if is_secret(live):
        difference = masked_difference(difference)
    steps = difference.steps
    for path in hidden:
        # Lists are hidden whole: their items are named by what is in them.
        keys = list(takewhile(lambda step: isinstance(step, str), path))
        if all(step.text == key for step, key in zip(steps, keys, strict=False)):
            return Difference(steps[: len(keys)], veiled(difference.want), veiled(difference.have))
    return difference


def scrubbed(text: str, manifest: Manifest, hidden: Collection[Path]) -> str:
    """What somebody said of an object (an API server quotes what it refuses), without its secrets."""
    for secret in sorted(_secrets(manifest, hidden), key=len, reverse=True) if hidden else ():
        text = text.replace(secret, SECRET)
    return text


def _secrets(manifest: Manifest, hidden: Collection[Path]) -> set[str]:
    found: set[str] = set()
    for path in hidden:
        try:
            value = _at(manifest, path)
        except (KeyError, IndexError, TypeError):
            continue
        found.update(_spellings(str(value)))
        if path[0] == "data" and is_secret(manifest) and isinstance(value, str):
            try:
                found.update(_spellings(base64.b64decode(value, validate=True).decode()))
            except (binascii.Error, UnicodeDecodeError, ValueError):
                continue
    return {text for text in found if len(text) >= SHORTEST}


def _spellings(text: str) -> Iterator[str]:
    """As it is, line by line, and as JSON and Go quote it."""
    for part in (text, *(line.strip() for line in text.splitlines())):
        yield part
        yield orjson.dumps(part).decode()[1:-1]
