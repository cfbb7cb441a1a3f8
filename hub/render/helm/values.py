"""A chart's values as `helm --values a --values b` merges them, with tokens in place of what is encrypted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from hub.domain.sealing import SealedDocument, sealed_document, tokenised
from hub.domain.yamldoc import Document, load_documents
from hub.render.job import File
from shared.errors import DocumentError
from shared.model import Place
from shared.sealed import dotted, is_encrypted, is_sops, leaves


@dataclass(frozen=True, slots=True)
class Combined:
    """Values, and the encrypted documents whose secrets are tokens in them."""

    values: dict[str, Any]
    sealed: tuple[SealedDocument, ...]


def combined(files: Iterable[File], values: dict[str, Any], secret: Collection[str] = ()) -> Combined:
    """The values of each file in order, then `values`. The documents of one file are merged too.

    Files whose path is in `secret` have to be encrypted; others may be.

    Raises:
        DocumentError: a file is no YAML, not a map, or not encrypted as it should be.
    """
    result: dict[str, Any] = {}
    sealed: list[SealedDocument] = []
    for file in files:
        for document in load_documents(file.data, file=file.name):
            place = Place(document.file, document.line)
            if not isinstance(document.value, dict):
                raise DocumentError("a file of values is a map", place)
            if is_sops(document.value):
                sealed.append(_sealed(document, place))
                result = merged(result, tokenised(sealed[-1]))
            elif file.path in secret:
                raise DocumentError(
                    "secretValues names it, and it is not encrypted", place, f"yardarm secret encrypt {file.name}"
                )
            else:
                result = merged(result, document.value)
    return Combined(merged(result, values), tuple(sealed))


def _sealed(document: Document, place: Place) -> SealedDocument:
    for path, value in leaves(document.value):
        if is_encrypted(value) and value.endswith(",type:bool]"):
            raise DocumentError(
                f"{dotted(path)} is true or false, and encrypted: a template would take it for true whatever it is",
                place,
                "leave it as it is and encrypt what is secret, with --encrypted-regex '^(password|token)$' or the like",
            )
    return sealed_document(document.value, place)


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Maps are merged, anything else of `over` wins; null stays null, which takes a chart's default away later."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result
