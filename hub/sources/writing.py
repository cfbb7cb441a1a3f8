"""Commits that the hub makes itself: on top of a branch, or on a new branch for people to review, and pushed.

There is no work tree. What is to change is a function of the branch's newest commit and is asked again whenever
somebody else was faster, so that nobody's work is lost and nothing is ever forced. A branch for review that is there
already is left to the people who look at it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pygit2

from hub.sources.mirror import Mirror
from hub.sources.objects import EXECUTABLE, FILE, TREE, clean
from hub.sources.pushing import BRANCHES, Outpaced, Refused, Upstream
from hub.sources.signatures.signing import SigningKey
from shared.errors import DocumentError, Unavailable
from shared.model import Place
from shared.tasks import Clock

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""Times that a commit is made anew because somebody else has pushed meanwhile."""


class Base:
    """The commit that a change is to stand on. For use during the call that gets it."""

    def __init__(self, repository: pygit2.Repository, commit: pygit2.Commit) -> None:
        self.repository = repository
        self.commit = commit

    @property
    def sha(self) -> str:
        """Of the commit."""
        return str(self.commit.id)

    def read(self, path: str) -> bytes | None:
        """A file, None when there is none."""
        found = found_at(self.commit.tree, path)
        return found.data if isinstance(found, pygit2.Blob) else None


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit does: files by path with their new content, None to remove one; or a whole `tree`, by its id."""

    message: str
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    tree: str = ""


Leaf = tuple[pygit2.Oid, int]
"""An object and its mode in a tree."""

Making = Callable[[Base], Change | None]
"""What to change of a commit; None when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """Where a change is: `commit` of `branch`. `pushed` is false when it was there before, and nothing was done."""

    commit: str
    branch: str
    pushed: bool


@dataclass(frozen=True, slots=True)
class Author:
    """In whose name commits are made, and the key that signs them; None: they are not signed."""

    name: str
    mail: str
    key: SigningKey | None = None


class Writer:
    """Writes to repositories that are mirrored, with what is shown to their servers for reading."""

    def __init__(self, author: Author, clock: Clock) -> None:
        self._author = author
        self._clock = clock

    async def write(self, mirror: Mirror, making: Making, *, onto: str = "", branch: str = "") -> Written:
        """Have a change in a repository, unless it is there.

        Args:
            mirror: of the repository.
            making: what to change; called on a thread of the mirror, perhaps several times.
            onto: the branch to stand on; empty: the repository's default branch.
            branch: a branch of its own for the change; empty: it goes to `onto` itself.

        Raises:
            DocumentError: it may not be written, there is no such branch, or `branch` holds something else.
            Unavailable: the repository cannot be reached, or others push all the time.
        """
        for attempt in range(ATTEMPTS):
            try:
                written = await mirror.write(lambda upstream: self._write(upstream, making, onto, branch))
            except Outpaced:
                log.info("somebody else pushed first", extra={"repository": mirror.name, "attempt": attempt + 1})
                continue
            if written.pushed:
                shown = {"repository": mirror.name, "branch": written.branch, "commit": written.commit}
                log.info("pushed a commit", extra=shown)
            return written
        raise Unavailable(f"{mirror.name}: others pushed to it {ATTEMPTS} times in a row while a commit was made")

    def _write(self, upstream: Upstream, making: Making, onto: str, branch: str) -> Written:
        standing = _full(onto) if onto else upstream.default
        target = _full(branch) if branch else standing
        tip = upstream.commit(standing)
        if tip is None:
            raise _no_branch(upstream, onto)
        doubt = upstream.doubt(onto, str(tip.id))
        if doubt:
            raise Refused(f"{doubt}; nothing is written on top of it", hint="a signature vouches for all that is below")
        change = making(Base(upstream.repository, tip))
        tree = _tree(upstream.repository, tip, change) if change is not None else tip.tree_id
        if change is None or tree == tip.tree_id:
            return Written(str(tip.id), _short(standing), pushed=False)
        there = upstream.commit(target) if branch else None
        if there is not None and not _is_below(upstream.repository, there, tip):
            if not _holds(upstream.repository, there, tip, tree):
                raise _taken(upstream, branch)
            return Written(str(there.id), branch, pushed=False)
        made = self._commit(upstream.repository, change.message, tree, tip)
        doubt = upstream.doubt(onto, made) if not branch else ""
        if doubt:
            message = f"a commit of the hub's own would not count in {upstream.name}: {doubt}"
            raise Refused(message, hint="set git.signing_key, and put its public key among the allowed signers")
        upstream.push(made, target)
        return Written(made, _short(target), pushed=True)

    def _commit(self, repository: pygit2.Repository, message: str, tree: pygit2.Oid, parent: pygit2.Commit) -> str:
        author = self._author
        by = pygit2.Signature(author.name, author.mail, int(self._clock.now()), 0)
        if author.key is None:
            return str(repository.create_commit(None, by, by, message, tree, [parent.id]))
        content = str(repository.create_commit_string(by, by, message, tree, [parent.id]))
        signature = author.key.sign(content.encode()).decode().rstrip("\n")
        return str(repository.create_commit_with_signature(content, signature))


def _full(branch: str) -> str:
    return branch if branch.startswith(BRANCHES) else f"{BRANCHES}{branch}"


def _short(branch: str) -> str:
    return branch.removeprefix(BRANCHES)


def _no_branch(upstream: Upstream, onto: str) -> DocumentError:
    if not onto:
        return DocumentError(f"{upstream.name} has no default branch to write to", hint="name a branch")
    return DocumentError(
        f"{upstream.name} has no branch {onto!r} to write to", hint="tags and commits cannot be written: name a branch"
    )


def _taken(upstream: Upstream, branch: str) -> DocumentError:
    return DocumentError(
        f"{upstream.name} has a branch {branch!r} with something else in it: it is left alone",
        hint="merge it, or delete it for the hub to make it anew",
    )


def _is_below(repository: pygit2.Repository, commit: pygit2.Commit, tip: pygit2.Commit) -> bool:
    """Whether a branch at this commit has been merged: it may move on to what stands on the tip."""
    return commit.id == tip.id or repository.descendant_of(tip.id, commit.id)


def _holds(repository: pygit2.Repository, there: pygit2.Commit, tip: pygit2.Commit, tree: pygit2.Oid) -> bool:
    """Whether a commit has all that leads from the tip to the tree: bringing it there once more changes nothing."""
    merged = repository.merge_trees(tip.tree, there.tree, tree)
    return not merged.conflicts and merged.write_tree(repository) == there.tree_id


def _tree(repository: pygit2.Repository, tip: pygit2.Commit, change: Change) -> pygit2.Oid:
    """The tree of the tip with the change.

    Raises:
        DocumentError: a path cannot be written.
    """
    if change.tree:
        return pygit2.Oid(hex=change.tree)
    root = tip.tree
    for path, content in sorted(change.files.items()):
        known = found_at(root, path)
        if known is not None and known.filemode not in (FILE, EXECUTABLE):
            raise DocumentError(f"{path} cannot be written: it is no plain file", Place(path))
        mode = known.filemode if known is not None else FILE
        leaf = (repository.create_blob(content), mode) if content is not None else None
        root = with_path(repository, root, path, leaf)
    return root.id


def found_at(tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    """What is at a path, None when nothing is."""
    try:
        return tree["/".join(clean(path))]
    except KeyError:
        return None


def with_path(repository: pygit2.Repository, tree: pygit2.Tree, path: str, leaf: Leaf | None) -> pygit2.Tree:
    """The tree with something at a path, or without what is there; directories come and go with their content.

    Raises:
        DocumentError: the way there leads through something that is no directory.
    """
    made = _replaced(repository, tree, clean(path), leaf, path)
    return repository[made if made is not None else repository.TreeBuilder().write()].peel(pygit2.Tree)


def _replaced(
    repository: pygit2.Repository, tree: pygit2.Tree | None, names: Sequence[str], leaf: Leaf | None, path: str
) -> pygit2.Oid | None:
    """See `with_path`; None when nothing is left in it."""
    if not names:
        raise DocumentError(f"{path!r} is no path of a file", Place(path))
    builder = repository.TreeBuilder(tree) if tree is not None else repository.TreeBuilder()
    name, below = names[0], names[1:]
    known = tree[name] if tree is not None and name in tree else None
    if below:
        if known is not None and known.filemode != TREE:
            raise DocumentError(f"{path} cannot be written: {name} is not a directory", Place(path))
        inner = known.peel(pygit2.Tree) if known is not None else None
        made = _replaced(repository, inner, below, leaf, path)
        leaf = (made, TREE) if made is not None else None
    if leaf is not None:
        builder.insert(name, *leaf)
    elif known is not None:
        builder.remove(name)
    return builder.write() if len(builder) else None
