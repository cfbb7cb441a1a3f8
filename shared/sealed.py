"""Encrypted objects as they travel from Git to a cluster: what they look like, and where in them the secrets are. Pure.

There are two forms. A SOPS document is an object with a map `sops`, passed on exactly as it was written, since its
signature (the MAC) covers the order of its fields. Where something had to be made of it (a namespace set by Kustomize,
a Secret rendered from a chart's values), the object holds tokens in place of secrets, and under `yardarm.dev/sealed`
the documents that hold them and the fields they go into. Only the agent can open either.

Of SOPS' format this knows the shape, https://getsops.io/docs/#encryption-protocol; decrypting is for `shared.sops`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec
import orjson

from shared.errors import InvalidMessage
from shared.model import Manifest, Value

SOPS = "sops"
SEALED = "yardarm.dev/sealed"
"""The field of an object whose secrets are still in the documents it holds."""

Path = tuple[str | int, ...]
"""Steps into a document: keys, and indices of lists."""
Format = Literal["yaml", "json", "dotenv", "binary"]
"""How a whole decrypted file is written."""

DEEPEST = 120
"""Nested maps and lists that a document may have; the hub's reader takes no more either."""

_TOKEN = "yardarm-sealed-"  # noqa: S105 - what stands in for a secret
TOKEN = re.compile(_TOKEN + "[0-9a-f]{32}")
"""What stands for a secret until the agent puts it in. Its `-` keeps it from being taken for base64."""
ALTERED = re.compile(_TOKEN, re.IGNORECASE)
"""What is left of one that a template has changed."""

_ENCRYPTED = re.compile(r"ENC\[AES256_GCM,data:[^,\]]*,iv:[^,\]]+,tag:[^,\]]+,type:[a-z]+\]")


class Fill(Value, frozen=True):
    """One field to put a secret into, and which.

    `at` leads to a text in the object that holds `token`, as it is or (`encoding` base64) once it is decoded. `value`
    leads to the secret in the document of that number; with a `whole` format it is the whole file instead.
    """

    at: Path
    token: str
    document: int
    value: Path = ()
    encoding: Literal["text", "base64"] = "text"
    whole: Format | None = None


class Seal(Value, frozen=True):
    """What an object holds under `yardarm.dev/sealed`. Documents are JSON texts, so that nobody reorders them."""

    documents: tuple[str, ...]
    fills: tuple[Fill, ...]


def is_sops(document: Any) -> bool:
    """Whether it is a document that SOPS has encrypted."""
    return isinstance(document, Mapping) and isinstance(document.get(SOPS), Mapping)


def is_sealed(manifest: Mapping[str, Any]) -> bool:
    """Whether an object holds secrets that only the agent can read."""
    return SEALED in manifest or is_sops(manifest)


def is_encrypted(value: Any) -> bool:
    """Whether a value is one of SOPS' ciphertexts."""
    return isinstance(value, str) and _ENCRYPTED.fullmatch(value) is not None


def encrypted(document: Mapping[str, Any]) -> list[Path]:
    """Where a SOPS document holds ciphertexts, in its order."""
    return [path for path, value in leaves(document) if is_encrypted(value)]


def leaves(document: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Every value of a document that is no map or list, in order, with its path; without SOPS' own part.

    Raises:
        InvalidMessage: it is nested too deep.
    """
    for key, value in document.items():
        if key != SOPS:
            yield from _leaves(value, (key,))


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if len(path) > DEEPEST:
        raise InvalidMessage(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def mapped(document: Mapping[str, Any], change: Callable[[Path, Any], Any]) -> dict[str, Any]:
    """The document without SOPS' own part, every value that is no map or list changed, in its order.

    Raises:
        InvalidMessage: it is nested too deep.
    """
    return {key: _mapped(value, (key,), change) for key, value in document.items() if key != SOPS}


def _mapped(value: Any, path: Path, change: Callable[[Path, Any], Any]) -> Any:
    if len(path) > DEEPEST:
        raise InvalidMessage(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        return {key: _mapped(item, (*path, key), change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, (*path, index), change) for index, item in enumerate(value)]
    return change(path, value)


def token(document: str, path: Path = ()) -> str:
    """What stands for a secret of a document (its JSON), or for the whole file: the same wherever it is rendered.

    It follows from the ciphertext, so that what a chart or Kustomize makes of it (a checksum, a name's suffix) changes
    whenever the secret is encrypted anew.
    """
    named = orjson.dumps([document, list(path)])
    return _TOKEN + hashlib.blake2b(named, digest_size=16).hexdigest()


def read_seal(manifest: Mapping[str, Any]) -> Seal:
    """What an object holds under `yardarm.dev/sealed`.

    Raises:
        InvalidMessage: it is not what the hub writes there.
    """
    try:
        seal = msgspec.convert(manifest[SEALED], Seal)
    except (KeyError, msgspec.ValidationError) as error:
        raise InvalidMessage(f"{SEALED} cannot be read: {error}") from error
    for fill in seal.fills:
        if not 0 <= fill.document < len(seal.documents) or not fill.at or TOKEN.fullmatch(fill.token) is None:
            raise InvalidMessage(f"{SEALED} cannot be read: a fill of {'.'.join(map(str, fill.at))} is none")
    return seal


def with_seal(manifest: Manifest, seal: Seal) -> Manifest:
    """The object with its secrets sealed in it."""
    return {**manifest, SEALED: msgspec.to_builtins(seal)}


def without_seal(manifest: Manifest) -> Manifest:
    """The object without what only the agent understands of it."""
    return (
        {key: value for key, value in manifest.items() if key not in (SOPS, SEALED)}
        if is_sealed(manifest)
        else manifest
    )


def recipients(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The age recipients that a SOPS document is encrypted for."""
    listed = document[SOPS].get("age") if is_sops(document) else None
    entries = listed if isinstance(listed, list) else []
    return tuple(
        each["recipient"] for each in entries if isinstance(each, Mapping) and isinstance(each.get("recipient"), str)
    )


def dotted(path: Path) -> str:
    """A path as people write it: `data.password`, `spec.users[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
