"""Submodules: kept in the mirror of the repository that has them, so that its trees have no gap where one stands.

A submodule is fetched from its own address into the same object database, below refs of the mirror's own. Which commit
of it counts is pinned by the tree that has it: what a commit holds never changes. Runs on the mirror's thread that
fetches.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import FetchPrune

from hub.domain import urls
from hub.sources import access
from hub.sources.access import Callbacks, Credentials, Limits
from hub.sources.gitmodules import FILE, MAX_BYTES, Described, address_of, read_gitmodules
from hub.sources.objects import OURS, SUBMODULE, TREE, Objects
from shared.errors import DocumentError, Unavailable
from shared.model import Place

MOST = 100
"""Submodules that one commit may have, those of submodules included."""

KEPT = f"{OURS}modules/"


@dataclass(frozen=True, slots=True)
class Reach:
    """How submodules are reached, by their address: what to show, and why a host and port may not be connected to."""

    credentials: Callable[[str], Credentials]
    refusal: Callable[[str, int], str]


class Modules:
    """The submodules of one repository."""

    def __init__(self, address: str, reach: Reach, limits: Limits, stop: threading.Event) -> None:
        self._address = address
        self._reach = reach
        self._limits = limits
        self._stop = stop

    def complete(self, repository: pygit2.Repository, commit: str) -> None:
        """Has everything that a commit needs of its submodules, and of theirs.

        Raises:
            DocumentError: `.gitmodules` cannot be used.
            Unavailable: a submodule cannot be read, or has no such commit.
        """
        objects = Objects(Path(repository.path), self._limits)
        waiting, seen = [(self._address, commit)], {commit}
        while waiting:
            address, holder = waiting.pop()
            for module, pinned in _pinned(objects, holder):
                if pinned in seen:
                    continue
                if len(seen) > MOST:
                    raise DocumentError(f"more than {MOST} submodules", Place(FILE))
                seen.add(pinned)
                url = address_of(module, address)
                if not objects.has(pinned):
                    self._fetch(repository, module, url, pinned)
                    objects = Objects(Path(repository.path), self._limits)
                waiting.append((url, pinned))

    def _fetch(self, repository: pygit2.Repository, module: Described, url: str, pinned: str) -> None:
        location = urls.parse(url)
        shown = f"the submodule {module.path}: {urls.redact(location.url)}"
        refusal = self._reach.refusal(location.host, location.port)
        if refusal:
            raise Unavailable(f"{shown} cannot be read: {refusal}")
        below = f"{KEPT}{hashlib.sha256(location.url.encode()).hexdigest()[:16]}/"
        remote = repository.remotes.create_anonymous(location.url)
        credentials = self._reach.credentials(url)

        def fetch(*specs: str) -> None:
            callbacks = Callbacks(location, credentials, self._limits, self._stop)
            remote.fetch(list(specs), callbacks=callbacks, prune=FetchPrune.NO_PRUNE, proxy=True)

        try:
            fetch(f"+refs/heads/*:{below}heads/*", f"+refs/tags/*:{below}tags/*")
            if pinned not in repository:
                # What no branch has any more is still given out by most servers, to those who name it.
                with contextlib.suppress(pygit2.GitError, KeyError):
                    fetch(f"+{pinned}:{below}pinned/{pinned}")
        except Unavailable as error:
            raise Unavailable(f"{shown} cannot be read: {error}") from None
        except (pygit2.GitError, ValueError, KeyError, OSError) as error:
            raise Unavailable(f"the submodule {module.path}: {access.explain(location, error)}") from None
        if pinned not in repository:
            raise Unavailable(f"{shown} has no commit {pinned[:12]}: it was never pushed there, or is gone")
        repository.references.create(f"{below}pinned/{pinned}", pinned, force=True)


def _pinned(objects: Objects, commit: str) -> Iterator[tuple[Described, str]]:
    """The submodules that a commit describes and has, each with the commit of it that is pinned."""
    root = objects.tree_of(commit)
    file = objects.child(root, FILE)
    if file is None or not file.is_file:
        return
    if objects.size(file.oid) > MAX_BYTES:
        raise DocumentError(f"more than {MAX_BYTES} bytes", Place(FILE))
    for module in read_gitmodules(objects.blob(file.oid)):
        found, tree = None, root
        for name in module.path.split("/"):
            found = objects.child(tree, name)
            if found is None or found.mode != TREE:
                break
            tree = found.oid
        if found is not None and found.mode == SUBMODULE and found.path == module.path.rpartition("/")[2]:
            yield module, found.oid
