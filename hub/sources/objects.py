"""Reading commits, trees and blobs of one bare repository, without a working tree.

Everything here is synchronous and belongs to one thread (`Mirror.read`). Tree objects are parsed here rather than
through pygit2's Tree, because names may be hostile: not UTF-8, `..`, `.git`, or repeated. Results are memoised by
object id; an id names its content, so nothing memoised ever goes stale.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag

from hub.domain import semver
from hub.sources.access import Limits
from hub.sources.memo import Memo
from shared.errors import DocumentError, Unavailable
from shared.model import Place

FILE = 0o100644
EXECUTABLE = 0o100755
LINK = 0o120000
SUBMODULE = 0o160000
TREE = 0o040000

OURS = "refs/yardarm/"
"""Refs of the mirror's own, which its remote knows nothing of."""
HEAD = f"{OURS}HEAD"
"""Where a mirror keeps the commit its remote's HEAD points at, also when that is no branch."""

_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
_SUBMODULE = b"160000"
_SHA = re.compile(r"[0-9a-f]{7,40}")
_WHOLE_SHA = re.compile(r"[0-9a-f]{40}")


class Damaged(Unavailable):
    """An object that must be there is missing or unreadable."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a tree. `path` is relative to the tree that was asked for; `name` may be hostile, see `problem`."""

    path: str
    oid: str
    mode: int

    @classmethod
    def of(cls, prefix: str, name: bytes, mode: bytes, oid: bytes) -> Entry:
        """An entry as it stands in a tree object, with the path of its directory before it."""
        number = int(mode, 8)
        return cls(prefix + name.decode(errors="surrogateescape"), oid.hex(), TREE if number == TREE else number)

    @property
    def is_file(self) -> bool:
        """A regular file, executable or not."""
        return self.mode & 0o170000 == 0o100000

    @property
    def problem(self) -> str:
        """Why this name cannot be used as a path, '' when it can."""
        name = self.path.rpartition("/")[2]
        if name in ("", ".", "..") or name.lower() == ".git" or "\\" in name or "\0" in name:
            return f"the name {name!r} is not safe in a path"
        if any(0xDC80 <= ord(char) <= 0xDCFF for char in name):
            return f"the name {name.encode(errors='surrogateescape')!r} is not UTF-8"
        return ""


@dataclass(frozen=True, slots=True)
class Located:
    """What a ref means: a commit, and the full name it was found under, empty when it was named by its id."""

    commit: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit. `time` is the committer's, in unix seconds."""

    sha: str
    tree: str
    author: str
    email: str
    subject: str
    time: float
    parents: tuple[str, ...]


class Objects:
    """One open repository."""

    def __init__(
        self, path: Path, limits: Limits | None = None, memo: int = 200_000, *, submodules: bool = False
    ) -> None:
        """`submodules`: one whose commit is here is a directory like any other."""
        self.limits = limits or Limits()
        """What readers of this repository's content should keep to."""
        self._repository = pygit2.Repository(str(path), RepositoryOpenFlag.NO_SEARCH)
        self._odb = self._repository.odb
        self._submodules = submodules
        self.memo: Memo[tuple[Entry, ...]] = Memo(memo)
        """Entries by tree id, and what other readers of trees worth keeping find, by keys of their own."""
        self._names: Memo[dict[str, Entry]] = Memo(1000)
        self._roots: Memo[str] = Memo(1000)

    def refs(self) -> dict[str, str]:
        """All refs of the remote, and HEAD, with the commit each leads to; tags of something else are left out.

        Raises:
            Damaged: the commit of a branch is missing.
        """
        found: dict[str, str] = {}
        for name in self._repository.references:
            if name.startswith(OURS) and name != HEAD:
                continue
            sha = self._commit_of(name)
            if sha is not None:
                found[name] = sha
            elif not name.startswith("refs/tags/"):
                raise Damaged(f"the commit of {name} is missing or damaged in the mirror")
        return found

    def default_branch(self) -> str:
        """The full name of the branch that the remote's HEAD names, '' when it is detached or there is none."""
        target = self._repository.references["HEAD"].target
        return target if isinstance(target, str) and not self._repository.is_empty else ""

    def resolve(self, ref: str) -> str:
        """The commit that `ref` means: see `locate`."""
        return self.locate(ref).commit

    def locate(self, ref: str) -> Located:
        """What `ref` means: '' or HEAD, a full ref name, branch, tag, commit, or a range over tags.

        Raises:
            DocumentError: there is no such thing in this repository.
        """
        ref = ref.strip()
        # A whole id comes first, as in Git: nobody can put a branch of that name in place of a pinned commit.
        if _WHOLE_SHA.fullmatch(ref) and (sha := self._commit_id(ref)) is not None:
            return Located(sha)
        names = [HEAD] if ref in ("", "HEAD") else [ref] if ref.startswith(("refs/heads/", "refs/tags/")) else []
        for name in names or [f"refs/heads/{ref}", f"refs/tags/{ref}"]:
            if (sha := self._commit_of(name)) is not None:
                return Located(sha, name)
        if _SHA.fullmatch(ref.lower()) and (sha := self._commit_id(ref.lower())) is not None:
            return Located(sha)
        if semver.is_range(ref):
            return self._locate_in_range(ref)
        raise self._no_such_ref(ref)

    def has(self, sha: str) -> bool:
        """Whether a commit is here: the history of a shallow repository ends somewhere."""
        return self._commit_id(sha) is not None

    def raw_commit(self, sha: str) -> bytes:
        """A commit object as it is stored.

        Raises:
            Damaged: it is missing or damaged.
        """
        return self._read(sha, ObjectType.COMMIT)

    def raw_tag(self, name: str) -> bytes | None:
        """The annotated tag that a ref points to, as it is stored; None when it points to a commit itself."""
        target = self._repository.references[name].target
        kind, data = self._odb.read(target)
        return data if kind == ObjectType.TAG else None

    def remembered(self, name: str) -> str:
        """The commit noted under a name with `remember`, empty when there is none."""
        return self._commit_of(f"{OURS}{name}") or ""

    def remember(self, name: str, what: str) -> None:
        """Notes a commit, or what a ref of a tag points to, under a name. It stays whatever the remote does."""
        target = str(self._repository.references[what].target) if what.startswith("refs/tags/") else what
        self._repository.references.create(f"{OURS}{name}", target, force=True)

    def commit(self, sha: str) -> CommitInfo:
        """What is known of a commit.

        Raises:
            Unavailable: it is not in the mirror.
        """
        try:
            commit = self._repository[sha].peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError) as error:
            self.refs()  # tells a damaged mirror from a commit that it never had
            raise Unavailable(f"there is no commit {sha[:12]} in the mirror: {error}") from None
        author = commit.author
        return CommitInfo(
            sha=str(commit.id),
            tree=str(commit.tree_id),
            author=author.raw_name.decode(errors="replace"),
            email=author.raw_email.decode(errors="replace"),
            subject=commit.raw_message.decode(errors="replace").strip().partition("\n")[0][:200],
            time=float(commit.commit_time),
            parents=tuple(str(parent) for parent in commit.parent_ids),
        )

    def descends(self, new: str, old: str) -> bool:
        """Whether `old` is in the history of `new`."""
        return new == old or self._repository.descendant_of(new, old)

    def newer(self, one: str, other: str) -> bool:
        """Whether a commit came after another and has it in its history; false where either is not here."""
        return one != other and self.has(one) and self.has(other) and self.descends(one, other)

    def related(self, one: str, other: str) -> bool:
        """Whether two commits have history in common."""
        return self._repository.merge_base(one, other) is not None

    def entries(self, tree: str) -> tuple[Entry, ...]:
        """The names in one tree, not recursive, in Git's order.

        Raises:
            Damaged: the object is missing or damaged.
        """
        known = self.memo.get(tree)
        if known is None:
            known = tuple(Entry.of("", name, *found) for name, found in self.raw_entries(tree).items())
            self.memo.put(tree, known)
        return known

    def raw_entries(self, tree: str) -> dict[bytes, tuple[bytes, bytes]]:
        """Mode and id of each name as they stand in the tree object: not checked, not kept, quick to compare.

        Where a name stands more than once the first counts.

        Raises:
            Damaged: the object is missing or damaged.
            DocumentError: it is no well-formed tree.
        """
        data = self._read(tree, ObjectType.TREE)
        found = _ENTRY.findall(data)
        if sum(len(mode) + len(name) for mode, name, _ in found) + 22 * len(found) != len(data):
            raise DocumentError(f"the tree object {tree[:12]} is malformed", hint="`git fsck` tells more")
        names = {name: (mode, oid) for mode, name, oid in found}
        if len(names) != len(found):
            for mode, name, oid in reversed(found):
                names[name] = (mode, oid)
        if self._submodules:
            names.update({name: self._entered(oid) for name, (mode, oid) in names.items() if mode == _SUBMODULE})
        return names

    def _entered(self, oid: bytes) -> tuple[bytes, bytes]:
        """A submodule as the tree of its commit, where that is here."""
        sha = oid.hex()
        return (b"40000", bytes.fromhex(self.tree_of(sha))) if self.has(sha) else (_SUBMODULE, oid)

    def child(self, tree: str, name: str) -> Entry | None:
        """One name in a tree, None when it is not there. Cheap also where thousands are asked for one by one."""
        known = self._names.get(tree)
        if known is None:
            known = {entry.path: entry for entry in self.entries(tree)}
            self._names.put(tree, known)
        return known.get(name)

    def tree_of(self, commit: str) -> str:
        """The root tree of a commit.

        Raises:
            Unavailable: the commit is not in the mirror.
        """
        known = self._roots.get(commit)
        if known is None:
            known = self.commit(commit).tree
            self._roots.put(commit, known)
        return known

    def size(self, oid: str) -> int:
        """Bytes of an object, without reading it."""
        try:
            return self._odb.read_header(oid)[1]
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise Damaged(f"object {oid[:12]} is missing or damaged in the mirror: {error}") from None

    def blob(self, oid: str) -> bytes:
        """A file's bytes. Ask for `size` first."""
        return self._read(oid, ObjectType.BLOB)

    def find(self, commit: str, path: str) -> Entry:
        """The file or directory at `path` in a commit; '' and '.' are the root.

        Raises:
            DocumentError: nothing is there, or the way leads through a symbolic link or a submodule.
        """
        found = Entry("", self.tree_of(commit), TREE)
        names, walked = clean(path), ""
        for number, name in enumerate(names, 1):
            walked = f"{walked}/{name}" if walked else name
            step = self.child(found.oid, name)
            if step is None:
                raise self._no_such_path(walked, found.oid, name)
            if step.mode in (LINK, SUBMODULE):
                what = "a symbolic link" if step.mode == LINK else "a submodule"
                raise DocumentError(
                    f"{walked} is {what}, which is not followed", Place(walked), hint="name the directory itself"
                )
            found = Entry(walked, step.oid, step.mode)
            if step.mode != TREE and number < len(names):
                raise DocumentError(f"{walked} is a file, not a directory", Place(walked))
        return found

    def _read(self, oid: str, kind: ObjectType) -> bytes:
        try:
            found, data = self._odb.read(oid)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise Damaged(f"object {oid[:12]} is missing or damaged in the mirror: {error}") from None
        if found != kind:
            raise Damaged(f"object {oid[:12]} is not a {kind.name.lower()}")
        return data

    def _commit_of(self, name: str) -> str | None:
        try:
            return str(self._repository.references[name].peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def _commit_id(self, sha: str) -> str | None:
        try:
            return str(self._repository[sha].peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def _locate_in_range(self, wanted: str) -> Located:
        tags = self._short_names("refs/tags/")
        tag = semver.best(wanted, tags)
        sha = self._commit_of(f"refs/tags/{tag}") if tag is not None else None
        if sha is None:
            raise DocumentError(f"no tag is in the range {wanted!r}; there are {_some(tags)}")
        return Located(sha, f"refs/tags/{tag}")

    def _short_names(self, prefix: str) -> list[str]:
        return [name.removeprefix(prefix) for name in self._repository.references if name.startswith(prefix)]

    def _no_such_ref(self, ref: str) -> DocumentError:
        names = self._short_names("refs/heads/") + self._short_names("refs/tags/")
        if not names and self._commit_of(HEAD) is None:
            return DocumentError("the repository has no commit yet", hint="commit and push something")
        if ref in ("", "HEAD"):
            return DocumentError("the repository's HEAD names a branch that does not exist", hint="set `ref`")
        near = difflib.get_close_matches(ref, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {_some(names)}"
        return DocumentError(f"there is no branch, tag or commit {ref!r}", hint=hint)

    def _no_such_path(self, walked: str, tree: str, name: str) -> DocumentError:
        near = difflib.get_close_matches(name, [entry.path for entry in self.entries(tree)], n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
        return DocumentError(f"there is no {walked!r} in the repository", Place(walked), hint=hint)


def clean(path: str) -> list[str]:
    """The names of a path inside a repository.

    Raises:
        DocumentError: it is absolute or leads out of the repository.
    """
    names = [name for name in path.split("/") if name not in ("", ".")]
    if path.startswith("/") or ".." in names:
        raise DocumentError(f"the path {path!r} leads out of the repository", hint="paths are relative to its root")
    return names


def _some(names: list[str], shown: int = 5) -> str:
    if not names:
        return "none"
    listed = ", ".join(sorted(names)[:shown])
    return listed + (f" and {len(names) - shown} more" if len(names) > shown else "")
