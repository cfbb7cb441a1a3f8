"""Files that SOPS has encrypted, by their format: YAML, JSON, dotenv, and anything else wrapped in JSON. Pure.

The format is that of the file's name, as SOPS has it. What was read of a file is a document like any other: values by
their keys, and SOPS' own part under `sops`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hub.domain.encoding import decode
from hub.domain.yamldoc import DEFAULT_LIMITS, Document, load_documents
from shared.errors import DocumentError
from shared.model import Place
from shared.sealed import SOPS, Format, is_sops

_FORMATS: Mapping[str, Format] = {"yaml": "yaml", "yml": "yaml", "json": "json", "env": "dotenv"}
_PREFIX = "sops_"
_RECIPIENT = re.compile(r"age__list_([0-9]{1,3})__map_(recipient|enc)")


def format_of(name: str) -> Format:
    """The format of a file of this name."""
    return _FORMATS.get(name.rpartition(".")[2], "binary")


def may_be_sops(data: bytes) -> bool:
    """Whether a file looks as if SOPS had encrypted it: cheap, for the many that it has not."""
    return b"ENC[AES256_GCM,data:" in data and b"sops" in data and b"lastmodified" in data


def read(data: bytes, name: str) -> list[Document]:
    """The documents of a file; of formats without documents there is one.

    Raises:
        DocumentError: it cannot be read.
    """
    if format_of(name) == "dotenv":
        text = decode(data, file=name, limit=DEFAULT_LIMITS.size)
        return [Document(name, 1, _read_dotenv(text, name))]
    return load_documents(data, file=name)


def read_sops(data: bytes, name: str) -> Document:
    """The one encrypted document of a file.

    Raises:
        DocumentError: there is none, or more than one.
    """
    documents = read(data, name)
    if len(documents) != 1 or not is_sops(documents[0].value):
        raise DocumentError("a file that is encrypted with SOPS as one document is wanted here", Place(name))
    return documents[0]


def _read_dotenv(text: str, name: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    about: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise DocumentError("a line without `=`", Place(name, number), "dotenv files hold KEY=value")
        if key.startswith(_PREFIX):
            about[key.removeprefix(_PREFIX)] = value.replace("\\n", "\n")
        else:
            values[key] = value.replace("\\n", "\n")
    return {**values, SOPS: _unflattened(about)} if about else values


def _unflattened(about: Mapping[str, str]) -> dict[str, Any]:
    """SOPS' own part, which dotenv has in lines of their own: `sops_age__list_0__map_recipient=age1…`."""
    result: dict[str, Any] = {}
    recipients: dict[int, dict[str, str]] = {}
    for key, value in about.items():
        found = _RECIPIENT.fullmatch(key)
        if found is not None:
            recipients.setdefault(int(found[1]), {})[found[2]] = value
        elif "__list_" in key:
            result[key.partition("__list_")[0]] = True  # named, where it is said what else a file is encrypted with
        else:
            result[key] = {"true": True, "false": False}.get(value, value)
    if recipients:
        result["age"] = [recipients[number] for number in sorted(recipients)]
    return result


def write_dotenv(document: Mapping[str, Any]) -> str:
    """The lines of a document of texts, SOPS' own part included."""
    return "".join(f"{key}={str(value).replace(chr(10), chr(92) + 'n')}\n" for key, value in _flat(document))


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((key, value) for key, value in document.items() if key != SOPS)
    for key, value in sorted(document.get(SOPS, {}).items()):
        if key == "age":
            for number, entry in enumerate(value):
                yield from ((f"{_PREFIX}age__list_{number}__map_{part}", entry[part]) for part in ("enc", "recipient"))
        else:
            yield (
                f"{_PREFIX}{key}",
                {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value,
            )
