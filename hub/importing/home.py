"""Whether a repository that a definition names is the one it was read from.

Definitions name their own repository by its address. Here such sources are `repo: "."`, which means the same commit as
the document; anything else is fetched from where the definition says. A mirror or a copy has another address than the
one that is written down, so an address counts as this repository as well when it has the same last name (or this one
has no address on the network at all) and every path that definitions name in it exists here; that is said in a note.
Two repositories on the same host are never taken for each other: there the address can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hub.importing.files import Repository

_SCP = re.compile(r"(?:[^@/\s]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>(?!//).+)")
_URL = re.compile(r"(?:https?|ssh|git)://(?:[^@/]*@)?(?P<host>\[[^\]]+\]|[^:/]+)(?::\d+)?/(?P<path>.*)")
_HEADS = ("", "HEAD", "main", "master")


def normalized(url: str) -> tuple[str, str]:
    """(host, path) of a Git address, in lower case and without user, port and `.git`; no host for a local path."""
    text = url.strip().removeprefix("file://").rstrip("/")
    match = _URL.fullmatch(text) or (None if "://" in text else _SCP.fullmatch(text))
    host, path = (match["host"].lower(), match["path"]) if match else ("", text)
    path = path.strip("/").removesuffix(".git")
    return host, path.lower() if host else path


@dataclass(frozen=True, slots=True)
class Home:
    """This repository: the addresses it is known by, and the branch that is read (empty when it is not known)."""

    urls: tuple[str, ...] = ()
    branch: str = ""

    def certainly(self, url: str) -> bool:
        """Whether the address is one of its own."""
        return normalized(url) in {normalized(each) for each in self.urls}

    def perhaps(self, url: str) -> bool:
        """Whether the address may be that of an original of which this repository is a copy."""
        host, path = normalized(url)
        own = [normalized(each) for each in self.urls]
        if not host or self.certainly(url) or any(mine == host for mine, _ in own):
            return False
        names = {mine.rpartition("/")[2] for mine_host, mine in own if mine_host}
        return not names or path.rpartition("/")[2] in {name.lower() for name in names}


@dataclass(frozen=True, slots=True)
class Origins:
    """Which addresses mean this repository: those of its own, and those that were taken for it."""

    home: Home
    taken: frozenset[str] = frozenset()

    def here(self, url: str) -> bool:
        """Whether the address means this repository."""
        return url in ("", ".") or self.home.certainly(url) or url in self.taken

    def source(self, url: str, ref: str) -> dict[str, str]:
        """`repo` and `ref` of a source, without those that are the default."""
        if not self.here(url):
            return {"repo": url, **({"ref": ref} if ref not in ("", "HEAD") else {})}
        branch = ref.removeprefix("refs/heads/")
        known = {"", "HEAD", self.home.branch}
        # A copy need not have the original's branches under their names; a repository's own branch is meant as said.
        followed = branch in known or (url in self.taken and branch in _HEADS)
        return {} if followed else {"ref": ref}


def origins(home: Home, named: Iterable[tuple[str, str]], tree: Repository) -> Origins:
    """Decides for every address that definitions name.

    Args:
        home: this repository.
        named: (address, path) pairs of all sources; a path of the root proves nothing.
        tree: what exists here.
    """
    paths: dict[str, set[str]] = {}
    for url, path in named:
        if home.perhaps(url):
            paths.setdefault(url, set()).add(path.strip("/").removeprefix("./").strip("/"))
    taken = {
        url
        for url, found in paths.items()
        if found - {"", "."} and all(path in ("", ".") or tree.kind(path) for path in found)
    }
    return Origins(home, frozenset(taken))
