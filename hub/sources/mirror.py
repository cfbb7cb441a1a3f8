"""A bare mirror of one repository: fetched from anywhere libgit2 reaches, read without a checkout.

Two threads per mirror, each with a repository handle of its own: one fetches, one reads. So a remote that hangs does
not hold up rendering what is already here. What a remote once had stays readable: a branch deleted upstream keeps its
last commit, an unreachable, emptied or replaced repository changes nothing that was fetched.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pygit2
from pygit2.enums import FetchPrune, RepositoryOpenFlag

from hub.domain import urls
from hub.sources import access
from hub.sources.accepting import Acceptance, Accepted
from hub.sources.access import Credentials, Limits
from hub.sources.modules import Modules, Reach
from hub.sources.objects import HEAD, OURS, CommitInfo, Damaged, Objects
from hub.sources.pushing import Upstream
from hub.sources.serial import SerialThread
from shared.errors import Unavailable, YardarmError

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PACKS = 200
"""Pack files of one mirror; looking for an object in more of them gets slow."""

_REFSPECS = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a repository a person should hear of; not an error.

    `kind` is `rewritten` (history was replaced), `replaced` (by an unrelated history), `deleted` (a ref), `emptied`,
    or `recloned` (the mirror was damaged and made anew).
    """

    kind: str
    message: str
    ref: str = ""
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class Tips:
    """Where a repository's refs point, by full name, tags peeled to commits.

    `head` is the commit of its HEAD ('' when it has no commit), `default` the branch HEAD names ('' when detached).
    `gone` are refs the remote no longer has; their last commits are still in `refs`. `notices` belong to the fetch that
    returned them and are not part of equality with earlier tips.
    """

    head: str
    default: str
    refs: Mapping[str, str]
    gone: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()

    @property
    def empty(self) -> bool:
        """No commit has ever been seen."""
        return not self.refs and not self.head

    def same_as(self, other: Tips | None) -> bool:
        """Whether everything that can be resolved resolves alike."""
        return other is not None and self.head == other.head and self.refs == other.refs


def directory_name(address: str) -> str:
    """A file name for the mirror of `address`: equal addresses, equal names; nothing secret in it."""
    location = urls.parse(address)
    return hashlib.sha256(location.url.encode()).hexdigest()[:24]


class Mirror:
    """See the module. `directory` is created when missing and belongs to the mirror alone."""

    def __init__(
        self,
        url: str,
        directory: Path,
        credentials: Credentials | None = None,
        limits: Limits | None = None,
        allowed: Callable[[str, int], str] | None = None,
        acceptance: Acceptance | None = None,
        reach: Reach | None = None,
    ) -> None:
        """`allowed` says why a host and port may not be connected to, empty when they may; left out: all may.

        `acceptance` decides which commits count; left out: all do. `reach` is how submodules are reached; left out:
        they are not read.
        """
        self.location = urls.parse(url)
        self.name = urls.redact(self.location.url)
        """The address as it may be shown."""
        self.limits = limits or Limits()
        self._directory = directory
        self._credentials = credentials or Credentials()
        self._allowed = allowed
        self._acceptance = acceptance
        self._fetching = SerialThread(f"git-fetch {self.name}")
        self._reading = SerialThread(f"git-read {self.name}")
        self._fetch_lock = asyncio.Lock()
        self._stop = threading.Event()
        self._modules = Modules(url, reach, self.limits, self._stop) if reach is not None else None
        self._complete: set[str] = set()
        self._objects: Objects | None = None
        self._opened = 0
        self._current = 0
        self._damaged = False
        self._unlocked = False
        self._gone: frozenset[str] = frozenset()

    async def fetch(self) -> Tips:
        """Bring the mirror up to date. Asks for the refs first: without news nothing is transferred.

        Raises:
            Unavailable: the remote cannot be read; what was fetched before stays as it is.
        """
        async with self._fetch_lock:
            try:
                return await self._fetching.run(self._fetch)
            except access.Stopped:
                raise Unavailable(f"{self.name}: the mirror was closed") from None

    async def local(self) -> Tips | None:
        """The tips as of the last fetch, perhaps of an earlier process; None when there was none."""
        if not self._number():
            return None
        return await self.read(local_tips)

    async def read(self, call: Callable[[Objects], T]) -> T:
        """The result of `call`, which gets the repository's objects on the thread that reads.

        Raises:
            Unavailable: never fetched, or the mirror is damaged (the next fetch makes it anew).
            DocumentError: whatever `call` has to say about what people wrote.
        """
        return await self._reading.run(lambda: self._read(call))

    async def resolve(self, ref: str) -> str:
        """The commit to act upon for `ref`: '' or HEAD, branch, tag, commit, or a semver range over tags.

        Raises:
            DocumentError: there is no such ref, or nothing of it may be acted upon.
        """
        return (await self.accept(ref)).commit

    async def accept(self, ref: str) -> Accepted:
        """As `resolve`, with who signed the commit and what is wrong with a newer one."""
        if self._acceptance is None:
            return Accepted(await self.read(lambda objects: objects.resolve(ref)))
        acceptance = self._acceptance
        return await self.read(lambda objects: acceptance.accept(objects, ref))

    async def complete(self, commit: str) -> None:
        """Has the submodules of a commit, where they are read.

        Raises:
            DocumentError: what is written of them cannot be used.
            Unavailable: one cannot be read.
        """
        modules = self._modules
        if modules is None or commit in self._complete:
            return
        async with self._fetch_lock:
            await self._fetching.run(lambda: self._completed(modules, commit))
        await self._reading.run(self._forget)

    async def write(self, call: Callable[[Upstream], T]) -> T:
        """The result of `call`, which gets the repository as its remote has it now, to add to it.

        Nothing that is read here changes by it: what was pushed comes with the next fetch.

        Raises:
            Unavailable: never fetched, or the remote cannot be reached.
            DocumentError: it may not be written, or whatever `call` has to say.
        """
        async with self._fetch_lock:
            return await self._fetching.run(lambda: self._write(call))

    async def commit_info(self, sha: str) -> CommitInfo:
        """Author, subject, time and parents of a commit."""
        return await self.read(lambda objects: objects.commit(sha))

    def close(self) -> None:
        """Let both threads end; a fetch in progress is stopped at its next sign of life."""
        self._stop.set()
        self._fetching.close()
        self._reading.close()

    # -- on the thread that reads

    def _forget(self) -> None:
        """What was read may have a gap where there is a submodule now."""
        self._objects = None

    def _read(self, call: Callable[[Objects], T]) -> T:
        number = self._number()
        try:
            if not number:
                raise Unavailable(f"{self.name} has not been fetched yet")
            if self._objects is None or self._opened != number:
                path, submodules = self._directory / f"mirror-{number}", self._modules is not None
                self._opened, self._objects = number, Objects(path, self.limits, submodules=submodules)
            return call(self._objects)
        except OSError as error:
            raise Unavailable(f"the mirror of {self.name} cannot be read: {error}") from error
        except (Damaged, pygit2.GitError) as error:
            self._objects = None
            if self._number() != number:
                return self._read(call)  # a new repository took its place while it was read
            self._damaged = True
            raise Unavailable(
                f"the mirror of {self.name} is damaged, and made anew at the next fetch: {error}"
            ) from error

    # -- on the thread that fetches

    def _fetch(self) -> Tips:
        try:
            repository = self._open()
            if repository is not None and not self._damaged:
                with contextlib.suppress(Damaged):
                    return self._compacted(self._followed(repository), Path(repository.path))
                self._damaged = True
            return self._clone()
        except Unavailable as error:
            raise Unavailable(f"{self.name} cannot be read: {error}") from None
        except (pygit2.GitError, ValueError, KeyError, OSError) as error:
            raise access.explain(self.location, error) from None

    def _completed(self, modules: Modules, commit: str) -> None:
        repository = self._open()
        if repository is None:
            raise Unavailable(f"{self.name} has not been fetched yet")
        try:
            modules.complete(repository, commit)
        except Unavailable as error:
            raise Unavailable(f"{self.name}: {error}") from None
        self._complete.add(commit)

    def _write(self, call: Callable[[Upstream], T]) -> T:
        repository = self._open()
        if repository is None:
            raise Unavailable(f"{self.name} has not been fetched yet")
        self._check_egress()
        try:
            return call(
                Upstream(repository, self.location, self._credentials, self.limits, self._stop, self._acceptance)
            )
        except access.Stopped:
            raise Unavailable(f"{self.name}: the mirror was closed") from None
        except (pygit2.GitError, OSError) as error:
            raise access.explain(self.location, error, "written") from None

    def _number(self) -> int:
        """Which of the numbered repositories in the directory is in use: the newest; 0 when there is none."""
        if not self._current:
            names = (path.name.partition("-")[2] for path in self._directory.glob("mirror-*"))
            self._current = max((int(name) for name in names if name.isdigit()), default=0)
        return self._current

    def _open(self) -> pygit2.Repository | None:
        number = self._number()
        if not number:
            return None
        directory = self._directory / f"mirror-{number}"
        if not self._unlocked:
            # Nobody else writes here: locks and half-made mirrors are what a killed process left behind.
            for unfinished in self._directory.glob("new-*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            for lock in [*directory.glob("*.lock"), *directory.glob("refs/**/*.lock")]:
                lock.unlink(missing_ok=True)
            self._unlocked = True
        try:
            return pygit2.Repository(str(directory), RepositoryOpenFlag.NO_SEARCH)
        except pygit2.GitError as error:
            log.warning("a mirror cannot be opened", extra={"repository": self.name, "error": str(error)})
            self._damaged = True
            return None

    def _compacted(self, tips: Tips, directory: Path) -> Tips:
        """Every fetch leaves a pack, and libgit2 never tidies up: beyond some, all that is here goes into one."""
        if len(list(directory.glob("objects/pack/*.pack"))) <= MAX_PACKS:
            return tips
        try:
            compact = self._clone(seed=directory)
        except (YardarmError, pygit2.GitError, OSError) as error:
            log.warning("a mirror cannot be compacted", extra={"repository": self.name, "error": str(error)})
            return tips
        return replace(compact, notices=(*tips.notices, *compact.notices))

    def _clone(self, seed: Path | None = None) -> Tips:
        """Fetch into a new directory, first from the mirror `seed`, and put it in place when that went well."""
        replaced = self._damaged
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=self._directory))
        try:
            repository = pygit2.init_repository(str(fresh), bare=True)
            if seed is not None:
                repository.remotes.create_anonymous(str(seed)).fetch(["+refs/*:refs/*"])
            tips = self._update(repository)
            if replaced and tips.empty:
                raise Unavailable("it has no commit any more, and the mirror of what it had is damaged")
            # A name never used before: libgit2 remembers open packs by their path for the whole process.
            number = self._number() + 1
            current = self._directory / f"mirror-{number}"
            fresh.rename(current)
            self._current = number
            self._complete.clear()
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        for other in self._directory.iterdir():
            if other != current:
                shutil.rmtree(other, ignore_errors=True)
        self._damaged = False
        if replaced:
            notice = Notice("recloned", f"the mirror of {self.name} was damaged and has been made anew")
            tips = replace(tips, notices=(notice, *tips.notices))
        return tips

    def _update(self, repository: pygit2.Repository) -> Tips:
        self._check_egress()
        if access.REDIRECTS not in repository.config:
            repository.config[access.REDIRECTS] = False
        remote = repository.remotes.create_anonymous(self.location.url)
        news = _advertised(remote.list_heads(callbacks=self._callbacks(), proxy=True))
        before = _targets(repository)
        if any(before.get(name) != sha for name, sha in news.refs.items()):
            _make_room(repository, before, news.refs)
            specs = _REFSPECS + ([f"+HEAD:{HEAD}"] if HEAD in news.refs else [])
            remote.fetch(specs, callbacks=self._callbacks(), prune=FetchPrune.NO_PRUNE, proxy=True)
        head = news.default or news.refs.get(HEAD)
        if head and str(repository.references["HEAD"].target) != head:
            repository.set_head(head if news.default else pygit2.Oid(hex=head))
        return self._tips(repository, before, news)

    def _check_egress(self) -> None:
        host, port = self.location.host, self.location.port
        reason = self._allowed(host, port) if self._allowed is not None and host else ""
        if reason:
            raise Unavailable(reason)

    def _followed(self, repository: pygit2.Repository) -> Tips:
        try:
            return self._update(repository)
        except (pygit2.GitError, KeyError):
            if not self._is_shallow():
                raise
            return self._clone()  # libgit2 copies a shallow repository as a whole, but cannot tell what is new in it

    def _is_shallow(self) -> bool:
        try:
            return self.location.transport == "file" and pygit2.Repository(self.location.url).is_shallow
        except pygit2.GitError:  # it is not there; what failed before says so better
            return False

    def _callbacks(self) -> access.Callbacks:
        return access.Callbacks(self.location, self._credentials, self.limits, self._stop)

    def _tips(self, repository: pygit2.Repository, before: dict[str, str], news: _Advertised) -> Tips:
        objects = Objects(Path(repository.path))
        tips = local_tips(objects)
        if tips.head:
            objects.entries(objects.commit(tips.head).tree)  # a fetch that yields nothing readable is no good state
        gone = frozenset(tips.refs) - frozenset(news.refs)
        notices = [*self._moved(objects, before, _targets(repository)), *self._lost(tips, gone, news)]
        self._gone = gone
        return replace(tips, gone=gone, notices=tuple(notices))

    def _moved(self, objects: Objects, before: dict[str, str], after: dict[str, str]) -> Iterator[Notice]:
        for ref, new in after.items():
            old = before.get(ref, new)
            if old == new or ref == HEAD:
                continue
            change = f"{old[:12]} to {new[:12]}"
            if ref.startswith("refs/tags/"):
                yield Notice("rewritten", f"{self.name}: tag {ref[10:]} was moved from {change}", ref, old, new)
            elif not objects.related(new, old):
                yield Notice(
                    "replaced", f"{self.name}: {ref[11:]} went from {change}, an unrelated history", ref, old, new
                )
            elif not objects.descends(new, old):
                yield Notice(
                    "rewritten", f"{self.name}: the history of {ref[11:]} was rewritten, {change}", ref, old, new
                )

    def _lost(self, tips: Tips, gone: frozenset[str], news: _Advertised) -> Iterator[Notice]:
        lost = gone - self._gone
        if lost and not news.refs:
            yield Notice("emptied", f"{self.name} has no commit any more; what it had stays in force")
            return
        for ref in sorted(lost):
            sha = tips.refs[ref]
            yield Notice(
                "deleted", f"{self.name}: {ref[5:]} was deleted; its last commit {sha[:12]} stays in force", ref, sha
            )


@dataclass(frozen=True, slots=True)
class _Advertised:
    """What a remote says it has: raw targets by name (HEAD under the name the mirror gives it), and HEAD's branch."""

    refs: dict[str, str]
    default: str


def _advertised(heads: list[pygit2.remotes.RemoteHead]) -> _Advertised:
    refs: dict[str, str] = {}
    default = ""
    for head in heads:
        name = head.name or ""
        if name == "HEAD":
            refs[HEAD], default = str(head.oid), head.symref_target or ""
        elif name.startswith(("refs/heads/", "refs/tags/")) and not name.endswith("^{}"):
            refs[name] = str(head.oid)
    return _Advertised(refs, default)


def _targets(repository: pygit2.Repository) -> dict[str, str]:
    names = (ref for ref in repository.references.iterator() if ref.name == HEAD or not ref.name.startswith(OURS))
    return {ref.name: str(ref.target) for ref in names}


def _make_room(repository: pygit2.Repository, before: dict[str, str], wanted: dict[str, str]) -> None:
    """Drop kept refs that stand where the remote now has a directory of refs, or the reverse (`a` and `a/b`)."""
    directories = {name[:at] for name in wanted for at in range(len(name)) if name[at] == "/"}
    for name in before.keys() - wanted.keys():
        parents = {name[:at] for at in range(len(name)) if name[at] == "/"}
        if name in directories or parents & wanted.keys():
            repository.references.delete(name)


def local_tips(objects: Objects) -> Tips:
    """The tips a mirror holds, without asking its remote."""
    refs = objects.refs()
    head = refs.pop(HEAD, "")
    return Tips(head=head, default=objects.default_branch(), refs=refs)
