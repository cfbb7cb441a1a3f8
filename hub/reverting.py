"""A branch that takes a rejected change out of Git again, for people to merge: `yardarm/revert-<application>-<commit>`.

What the application reads goes back to how it was at the last completed commit, by a three-way merge, so that what was
changed since then stays. Where the two meet there is no branch: that is for a person to decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pygit2

from hub.domain.blending import candidates
from hub.domain.documents import Application
from hub.sources.mirror import Mirror
from hub.sources.writing import Base, Change, Writer, Written, found_at, with_path
from shared.errors import DocumentError

MOST = 20
"""Commits that the message lists."""
_SHORT = 7
_LOOK_BACK = 1_000


@dataclass(frozen=True, slots=True)
class Rejection:
    """What was rejected: all that came to `paths` after `back_to`, the last completed commit, up to `commit`.

    `paths` are those of the repository that the application reads. `reason` is why, `rollout` the id of who said so.
    """

    application: str
    commit: str
    back_to: str
    paths: tuple[str, ...]
    reason: str
    rollout: str


def branch(application: str, commit: str) -> str:
    """What the branch is called."""
    return f"yardarm/revert-{application}-{commit[:_SHORT]}"


def paths_of(application: Application) -> tuple[str, ...]:
    """The paths that an application has in the repository of its own first source, with those of its overrides.

    What they refer to, such as the base of a kustomization, is not among them.
    """
    parts = candidates(application)
    repo = parts[0].source.repo
    mine = [part for part in parts if part.source.repo == repo and not part.source.chart]
    paths = {path for part in mine for path in (part.source.path, *part.lent)}
    values = {file.lstrip("/") for part in mine for file in part.value_files if file.startswith("/")}
    return tuple(sorted(paths | values))


async def revert(writer: Writer, mirror: Mirror, rejected: Rejection, onto: str = "") -> Written:
    """Has the branch, unless it is there, or the change is not in `onto` (any more).

    Args:
        writer: commits.
        mirror: of the repository that the commits are of.
        rejected: what is to be taken back.
        onto: the branch that the application follows; empty: the repository's default branch.

    Raises:
        DocumentError: it cannot be taken back without a person, or the repository may not be written.
        Unavailable: it cannot be reached now.
    """

    def making(base: Base) -> Change | None:
        return _taken_back(base, rejected)

    return await writer.write(mirror, making, onto=onto, branch=branch(rejected.application, rejected.commit))


def _taken_back(base: Base, rejected: Rejection) -> Change | None:
    bad, good = _commit(base, rejected.commit), _commit(base, rejected.back_to)
    repository = base.repository
    if bad is None or not (base.commit.id == bad.id or repository.descendant_of(base.commit.id, bad.id)):
        return None  # the branch does not have it: nothing is to be taken back
    if good is None or good.id == bad.id or not repository.descendant_of(bad.id, good.id):
        raise _no_way(rejected, "there is no earlier commit of it to go back to")
    wanted, commits = _before(repository, bad, good, rejected)
    if wanted.id == bad.tree_id:
        raise _no_way(rejected, "no commit since the last completed one changes what it reads here")
    merged = repository.merge_trees(bad.tree, base.commit.tree, wanted)
    if merged.conflicts is not None:
        sides = (each for conflict in merged.conflicts for each in conflict if each is not None)
        files = ", ".join(sorted({each.path for each in sides}))
        raise _no_way(rejected, f"it was changed again since: {files}")
    return Change(_message(rejected, bad, good, commits), tree=str(merged.write_tree(repository)))


def _before(
    repository: pygit2.Repository, bad: pygit2.Commit, good: pygit2.Commit, rejected: Rejection
) -> tuple[pygit2.Tree, list[pygit2.Commit]]:
    """The rejected tree with what the application reads as it was before, and the commits that are taken back by it.

    Something outside of its paths may have changed it, a base that several share. Where that was a single commit, it is
    the whole of it.
    """
    since = _since(repository, bad, good)
    wanted = bad.tree
    for path in rejected.paths:
        wanted = _as_in(repository, wanted, good.tree, path)
    if wanted.id == bad.tree_id and len(since) == 1:
        return good.tree, since
    return wanted, [each for each in since if _touches(each, rejected.paths)]


def _as_in(repository: pygit2.Repository, tree: pygit2.Tree, other: pygit2.Tree, path: str) -> pygit2.Tree:
    if path == ".":
        return other
    there = found_at(other, path)
    return with_path(repository, tree, path, (there.id, there.filemode) if there is not None else None)


def _since(repository: pygit2.Repository, bad: pygit2.Commit, good: pygit2.Commit) -> list[pygit2.Commit]:
    """The commits that came after, newest first."""
    walk = repository.walk(bad.id)
    walk.hide(good.id)
    return list(itertools.islice(walk, _LOOK_BACK))


def _touches(commit: pygit2.Commit, paths: Sequence[str]) -> bool:
    """Whether a commit changes something below the paths, against its first parent."""
    if not commit.parents:
        return True
    before = commit.parents[0].tree
    return any(_id(commit.tree, path) != _id(before, path) for path in paths)


def _id(tree: pygit2.Tree, path: str) -> str:
    found = tree if path == "." else found_at(tree, path)
    return str(found.id) if found is not None else ""


def _message(rejected: Rejection, bad: pygit2.Commit, good: pygit2.Commit, commits: list[pygit2.Commit]) -> str:
    listed = [f"- {_told(each)}" for each in commits[:MOST]]
    if len(commits) > MOST:
        listed.append(f"- and {len(commits) - MOST} more")
    why = f": {rejected.reason}" if rejected.reason else ""
    trailer = [f"Yardarm-Rollout: {rejected.rollout}"] if rejected.rollout else []
    return (
        "\n".join(
            [
                f"revert {rejected.application}: {_told(bad)}",
                "",
                f"It was rolled back{why}.",
                f"This goes back to {_told(good)}, without:",
                "",
                *listed,
                "",
                *trailer,
            ]
        ).rstrip()
        + "\n"
    )


def _told(commit: pygit2.Commit) -> str:
    subject = commit.message.strip().partition("\n")[0]
    return f"{str(commit.id)[:_SHORT]} {subject}"


def _commit(base: Base, sha: str) -> pygit2.Commit | None:
    return base.repository[sha].peel(pygit2.Commit) if sha and sha in base.repository else None


def _no_way(rejected: Rejection, why: str) -> DocumentError:
    shown = rejected.commit[:_SHORT]
    return DocumentError(
        f"no branch that reverts {shown} for {rejected.application}: {why}", hint="revert it by hand, or go on from it"
    )
