"""Encrypted files in a kustomization: Kustomize gets tokens to work with. Pure.

It would sort their fields, and put ciphertexts into Secrets as if they were passwords. What a generator reads as a file
is one token, what it reads as variables a token each, and an object is itself with tokens in its fields.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from hub.domain.locked import locked
from hub.domain.sealing import SealedDocument, sealed_document, sealed_object, tokenised
from hub.domain.sopsfiles import format_of, may_be_sops, read, read_sops
from hub.render.job import File
from hub.render.kustomize import references
from hub.render.kustomize.editing import Fields
from shared.errors import DocumentError
from shared.model import Place
from shared.sealed import is_sops, token

_GENERATORS = ("secretGenerator", "configMapGenerator")


class Tokens:
    """The files of one tree with tokens in place of secrets; `sealed` are the documents that the tokens stand for."""

    def __init__(self, kustomizations: Mapping[str, Fields], links: Iterable[tuple[str, str]]) -> None:
        """`kustomizations` are those of the tree by path, as are `links`."""
        self.sealed: list[SealedDocument] = []
        self._links = dict(links)
        self._files = set(self._sources(kustomizations, "files"))
        self._envs = {*self._sources(kustomizations, "envs"), *self._sources(kustomizations, "env")}

    def _sources(self, kustomizations: Mapping[str, Fields], field: str) -> Iterator[str]:
        for path, fields in kustomizations.items():
            for generator in (each for name in _GENERATORS for each in fields.get(name) or ()):
                for _, named in references.named(generator, field):
                    for text in named if isinstance(named, list) else [named]:
                        if isinstance(text, str):
                            source = references.source_path(text) if field == "files" else text
                            yield self._resolved(posixpath.normpath(posixpath.join(posixpath.dirname(path), source)))

    def _resolved(self, path: str) -> str:
        """Where a path leads, through links."""
        for _ in self._links:
            link = next((each for each in self._links if path == each or path.startswith(f"{each}/")), None)
            if link is None:
                break
            path = self._links[link] + path.removeprefix(link)
        return path

    def content(self, file: File) -> bytes:
        """What Kustomize reads of a file.

        Raises:
            DocumentError: nobody can decrypt it, or it is encrypted in a way that does not fit its use.
        """
        if (known := locked(file.data)) is not None:
            raise DocumentError(known[0], Place(file.name), known[1])
        if not may_be_sops(file.data):
            return file.data
        if file.path in self._files:
            return self._whole(file)
        if file.path in self._envs:
            return self._variables(file)
        return self._objects(file)

    def _whole(self, file: File) -> bytes:
        document = read_sops(file.data, file.name)
        sealed = self._add(sealed_document(document.value, Place(file.name), format_of(file.path)))
        return token(sealed.text).encode()

    def _variables(self, file: File) -> bytes:
        if format_of(file.path) != "dotenv":
            hint = "name it *.env, and encrypt it with SOPS anew"
            raise DocumentError("an encrypted file of variables that is not a dotenv file", Place(file.name), hint)
        document = read_sops(file.data, file.name)
        sealed = self._add(sealed_document(document.value, Place(file.name)))
        return "".join(f"{key}={value}\n" for key, value in tokenised(sealed).items()).encode()

    def _objects(self, file: File) -> bytes:
        written: list[bytes] = []
        for document in read(file.data, file.name):
            value: Any = document.value
            if is_sops(value):
                place = Place(file.name, document.line)
                whole = isinstance(value.get("kind"), str)
                value = tokenised(self._add(sealed_object(value, place) if whole else sealed_document(value, place)))
            written.append(orjson.dumps(value))
        return b"\n---\n".join(written)

    def _add(self, sealed: SealedDocument) -> SealedDocument:
        self.sealed.append(sealed)
        return sealed
