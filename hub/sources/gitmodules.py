"""`.gitmodules`: which submodules a repository describes, and where they are. Pure.

The file is written by whoever writes the repository, so it is read narrowly: paths stay inside the repository,
addresses are those of Git servers, and nothing in it is run or expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hub.domain import urls
from hub.sources.objects import clean
from shared.errors import DocumentError
from shared.model import Place

FILE = ".gitmodules"
MAX_BYTES = 256 * 1024

_SECTION = re.compile(r'\s*\[\s*submodule\s+"(?P<name>(?:[^"\\]|\\.)*)"\s*\]\s*(?:[#;].*)?')
_OTHER_SECTION = re.compile(r"\s*\[[^\]]*\]\s*(?:[#;].*)?")
_SETTING = re.compile(r"\s*(?P<key>[A-Za-z][A-Za-z0-9-]*)\s*=\s*(?P<value>.*)")
_VALUE = re.compile(r'"(?P<quoted>(?:[^"\\]|\\["\\])*)"\s*(?:[#;].*)?|(?P<plain>[^"\\#;]*?)\s*(?:[#;].*)?')


@dataclass(frozen=True, slots=True)
class Described:
    """A submodule: where it stands in the tree, and the address as it is written."""

    path: str
    url: str


def read_gitmodules(data: bytes) -> tuple[Described, ...]:
    """The submodules that a file describes; entries without a path or an address are left out, as Git does.

    Raises:
        DocumentError: a line cannot be understood, or a path leads out of the repository.
    """
    if len(data) > MAX_BYTES:
        raise DocumentError(f"{len(data)} bytes are more than it may have", Place(FILE))
    return tuple(_described(data.decode(errors="replace")))


def _described(text: str) -> Iterator[Described]:
    found: dict[str, str] = {}
    inside = False
    for number, line in enumerate([*text.splitlines(), '[submodule ""]'], 1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        if (section := _SECTION.fullmatch(line)) or _OTHER_SECTION.fullmatch(line):
            if inside and found.get("path") and found.get("url"):
                yield Described("/".join(_inside(found["path"], number)), found["url"])
            found, inside = {}, section is not None
        elif (setting := _SETTING.fullmatch(line)) and (value := _VALUE.fullmatch(setting["value"])):
            quoted = value["quoted"]
            plain = value["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[setting["key"].lower()] = plain or ""
        elif inside:
            raise DocumentError("this line cannot be read", Place(FILE, number), "git config --file .gitmodules --list")


def _inside(path: str, number: int) -> list[str]:
    try:
        return clean(path)
    except DocumentError as error:
        raise DocumentError(error.message, Place(FILE, number), error.hint) from None


def address_of(module: Described, repository: str) -> str:
    """The address of a submodule. One that begins with `./` or `../` is relative to that of its repository, as in Git.

    Raises:
        DocumentError: it is no address of a Git server.
    """
    url = module.url.strip()
    if url.startswith(("./", "../")):
        url = _relative(repository, url)
    try:
        location = urls.parse(url)
    except DocumentError as error:
        raise DocumentError(f"the submodule {module.path}: {error.message}", Place(FILE), error.hint) from None
    if location.transport == "file":
        raise DocumentError(f"the submodule {module.path} leads to a folder of the hub's own machine", Place(FILE))
    return url


def _relative(repository: str, url: str) -> str:
    """As Git does it: each `../` takes away one step of the repository's own address."""
    scheme, separator, rest = repository.rstrip("/").rpartition("://")
    shown = f"the address {url!r} leads out of {urls.redact(repository)}"
    while url.startswith(("./", "../")):
        up, _, url = url.partition("/")
        if up == "..":
            above, _, last = rest.rpartition("/")
            host, colon, path = last.rpartition(":")
            if not above and colon and path and not separator:
                above = f"{host}:"  # host:path
            if not above:
                raise DocumentError(shown, Place(FILE))
            rest = above
    return f"{scheme}{separator}{rest}{'' if rest.endswith(':') else '/'}{url}"
