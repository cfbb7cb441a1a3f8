"""Encrypted secrets on their way through the hub, which cannot read them: tokens in their place, and back. Pure.

A SOPS document cannot go through a chart, Kustomize or a patch: its signature covers every field. So what goes through
is the document with a token for each ciphertext, and what comes out gets the ciphertexts back, sealed for the agent
(`shared.sealed`). A token that came where nobody should read a secret is refused here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import DocumentError, InvalidMessage
from shared.model import Manifest, Place, Value
from shared.sealed import (
    ALTERED,
    SOPS,
    TOKEN,
    Fill,
    Format,
    Path,
    Seal,
    dotted,
    encrypted,
    is_encrypted,
    leaves,
    mapped,
    token,
    with_seal,
)

HINT = "sops --encrypt --encrypted-regex '^(data|stringData)$', or yardarm secret encrypt"
_OPEN = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
"""What the hub has to know of an object."""


class SealedDocument(Value, frozen=True):
    """A SOPS document, as the JSON of what was read. `name` is its file. With a `whole` format it is one secret."""

    text: str
    name: str
    whole: Format | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The document, in its order."""
        read: dict[str, Any] = orjson.loads(self.text)
        return read


@dataclass(frozen=True, slots=True)
class Origin:
    """A secret that a token stands for."""

    source: SealedDocument
    path: Path


Origins = Mapping[str, Origin]
"""Secrets by their tokens."""


def sealed_document(document: Mapping[str, Any], place: Place, whole: Format | None = None) -> SealedDocument:
    """A SOPS document that was read.

    Raises:
        DocumentError: it is not fit to be sent to an agent.
    """
    try:
        text = orjson.dumps(document).decode()
        paths = encrypted(document)
    except (orjson.JSONEncodeError, InvalidMessage) as error:
        raise DocumentError(f"an encrypted document: {error}", place) from None
    if not isinstance(document[SOPS].get("mac"), str):
        raise DocumentError("an encrypted document without a MAC: nobody can tell whether it was changed", place, HINT)
    if not isinstance(document[SOPS].get("age"), list) or not document[SOPS]["age"]:
        message = "an encrypted document that no cluster can open: it is encrypted for no age key"
        raise DocumentError(message, place, "yardarm secret recipients lists those of the clusters")
    open_ones = _forgotten(document, frozenset(paths))
    if open_ones:
        hint = "encrypt the file anew: sops --encrypt --in-place"
        raise DocumentError(
            f"{dotted(open_ones[0])} is not encrypted, and by the file's own rules should be", place, hint
        )
    return SealedDocument(text, place.file, whole)


def sealed_object(manifest: Manifest, place: Place) -> SealedDocument:
    """As `sealed_document`, of a Kubernetes object.

    Raises:
        DocumentError: its name or kind is encrypted too, or as there.
    """
    closed = next((path for path in _OPEN if is_encrypted(_at(manifest, path))), None)
    if closed is not None:
        raise DocumentError(f"{dotted(closed)} is encrypted: encrypt only what is secret", place, HINT)
    return sealed_document(manifest, place)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _forgotten(document: Mapping[str, Any], closed: frozenset[Path]) -> list[Path]:
    """Values that the document's rule would have encrypted. SOPS itself refuses these."""
    rule = document[SOPS].get("encrypted_regex")
    try:
        pattern = re.compile(rule) if isinstance(rule, str) and rule else None
    except re.error:
        return []  # Go knows other expressions; the MAC holds all the same
    if pattern is None:
        return []
    return [
        path
        for path, value in leaves(document)
        if value not in (None, "")
        and path not in closed
        and any(isinstance(step, str) and pattern.search(step) for step in path)
    ]


def tokenised(sealed: SealedDocument) -> dict[str, Any]:
    """The document with tokens in place of ciphertexts, without SOPS' part."""
    return mapped(sealed.document, lambda path, value: token(sealed.text, path) if is_encrypted(value) else value)


def origins(documents: Iterable[SealedDocument]) -> dict[str, Origin]:
    """Every secret of these documents by the token that stands for it."""
    found = {}
    for sealed in documents:
        if sealed.whole is not None:
            found[token(sealed.text)] = Origin(sealed, ())
        else:
            found |= {token(sealed.text, path): Origin(sealed, path) for path in encrypted(sealed.document)}
    return found


def with_secrets(manifest: Manifest, known: Origins) -> Manifest:
    """The object with the secrets sealed in it whose tokens it holds; as it is when it holds none.

    Raises:
        DocumentError: a secret is where it must not be, or a template has changed its token.
    """
    documents: list[str] = []
    fills: list[Fill] = []
    for at, text, encoding in _texts(manifest):
        for name in _tokens(text, at, known):
            origin = known[name]
            if not _may_hold(manifest, at, origin):
                raise _misplaced(manifest, at, origin)
            if origin.source.text not in documents:
                documents.append(origin.source.text)
            number = documents.index(origin.source.text)
            fills.append(Fill(at, name, number, origin.path, encoding, origin.source.whole))
    return with_seal(manifest, Seal(tuple(documents), tuple(fills))) if fills else manifest


def held(manifest: Manifest) -> set[str]:
    """The tokens in an object, as they are."""
    return {name for _, value in leaves(manifest) if isinstance(value, str) for name in TOKEN.findall(value)}


def _texts(manifest: Manifest) -> Iterator[tuple[Path, str, Any]]:
    """Every text of an object: with its path, and whether it is in base64 there."""
    secret = _is_secret(manifest)
    for path, value in leaves(manifest):
        for step in path:
            if isinstance(step, str) and ALTERED.search(step):
                raise DocumentError(f"a secret would be the name of a field, {dotted(path[:-1]) or 'at the top'}")
        if not isinstance(value, str):
            continue
        yield path, value, "text"
        if secret and path[0] == "data" and len(path) == 2 and not ALTERED.search(value):
            try:
                yield path, base64.b64decode(value, validate=True).decode("latin-1"), "base64"
            except (binascii.Error, ValueError):
                continue


def _tokens(text: str, at: Path, known: Origins) -> list[str]:
    if not ALTERED.search(text):
        return []
    found = list(dict.fromkeys(TOKEN.findall(text)))
    if ALTERED.search(TOKEN.sub("", text)) or any(name not in known for name in found):
        raise DocumentError(
            f"{dotted(at)} holds a secret that a template has changed: the hub cannot do that with what it cannot read",
            hint="take a secret as it is, or in base64 (b64enc); upper, trunc, sha256sum and the like need its value",
        )
    return found


def _is_secret(manifest: Manifest) -> bool:
    return manifest.get("kind") == "Secret" and manifest.get("apiVersion") == "v1"


def _may_hold(manifest: Manifest, at: Path, origin: Origin) -> bool:
    """In a Secret's values, or where the encrypted document itself had it."""
    if _is_secret(manifest) and len(at) == 2 and at[0] in ("data", "stringData"):
        return True
    if origin.source.whole is not None:
        return False
    document = origin.source.document
    return at == origin.path and manifest.get("kind") == document.get("kind")


def _misplaced(manifest: Manifest, at: Path, origin: Origin) -> DocumentError:
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else ""
    what = f"{dotted(origin.path)} of {origin.source.name}" if origin.path else origin.source.name
    return DocumentError(
        f"the secret {what} would be in {manifest.get('kind')} {name}, {dotted(at)}, for everybody to read",
        hint="only `data` and `stringData` of a Secret may hold it: refer to such a Secret from there",
    )
