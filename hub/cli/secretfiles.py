"""Files encrypted, and encrypted anew for others: text in, text out. What is decrypted on the way is never written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hub.domain.sopsfiles import format_of, read, write_dotenv
from hub.domain.yamltext import to_yaml
from shared.diff import is_secret
from shared.errors import DocumentError
from shared.model import Place
from shared.sealed import is_sops, recipients
from shared.sops.ages import Identities
from shared.sops.closing import SECRET_FIELDS, closed, closed_anew
from shared.sops.errors import NotOpened

Document = dict[str, Any]


def encrypted(data: bytes, name: str, whom: Sequence[str], now: float, rule: str) -> str:
    """A file with its secrets encrypted for `whom`: of a Secret its values, of other objects nothing without a `rule`.

    Of anything else (values of a chart, variables, a file of any kind) everything, or what is below a key that the
    `rule` matches. `now` is in unix seconds.

    Raises:
        DocumentError: it cannot be read, is encrypted already, or there is nothing to encrypt.
    """
    if format_of(name) == "binary":
        return _written([_checked(lambda: closed({"data": _bytes(data)}, whom, now, encrypted_regex=rule), name)], name)

    def one(document: Document) -> Document | None:
        if is_sops(document):
            raise NotOpened("it is encrypted already: edit it with `sops`")
        if is_secret(document):
            return closed(document, whom, now, encrypted_regex=rule or SECRET_FIELDS)
        if isinstance(document.get("kind"), str) and not rule:
            return None
        return closed(document, whom, now, encrypted_regex=rule)

    return _each(data, name, one, "there is no Secret in it: say what to encrypt of another object with --regex")


def rotated(data: bytes, name: str, whom: Sequence[str], identities: Identities, now: float) -> str:
    """A file encrypted anew with new keys, for `whom` or, when that is empty, for whom it was.

    Raises:
        DocumentError: it cannot be read, is not encrypted, or cannot be opened with `identities`.
    """

    def one(document: Document) -> Document | None:
        if not is_sops(document):
            return None
        return closed_anew(document, identities, whom or recipients(document), now)

    return _each(data, name, one, "nothing in it is encrypted with SOPS")


def _bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _each(data: bytes, name: str, change: Callable[[Document], Document | None], nothing: str) -> str:
    changed = False
    documents: list[Document] = []
    for found in read(data, name):
        value = found.value
        if not isinstance(value, dict):
            raise DocumentError("a document that is encrypted is a map", Place(name, found.line))
        result = _checked(partial(change, value), name, found.line)
        changed = changed or result is not None
        documents.append(value if result is None else result)
    if not changed:
        raise DocumentError(nothing, Place(name))
    return _written(documents, name)


def _checked(work: Callable[[], Any], name: str, line: int = 0) -> Any:
    try:
        return work()
    except NotOpened as error:
        raise DocumentError(str(error), Place(name, line)) from None


def _written(documents: Sequence[Document], name: str) -> str:
    match format_of(name):
        case "dotenv":
            return write_dotenv(documents[0])
        case "yaml":
            return "---\n".join(to_yaml(document) for document in documents)
        case _:
            return json.dumps(documents[0], indent=2, ensure_ascii=False) + "\n"
