"""Writes a promotion to Git: one commit that pins one environment, on the branch itself or on one for review.

What is to be pinned `hub.domain.promotion` says. Writing it twice changes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

from hub.domain import promotion
from hub.domain.fleet import FleetModel
from hub.domain.promotion import Due
from hub.domain.staging import Promote
from hub.sources.changes import changes
from hub.sources.mirror import Mirror
from hub.sources.objects import TREE, Entry, Objects
from hub.sources.writing import Base, Change, Writer, Written
from shared.errors import DocumentError
from shared.model import Place

LOOK_BACK = 500
"""Commits among which an earlier promotion by the same rollout is looked for."""


@dataclass(frozen=True, slots=True)
class PinFile:
    """Where the pins of an application are: a file of the fleet repository, on the branch that the fleet is read from.

    `ref` is empty for the default branch. With `review`, each pin gets a branch of its own. `chart`: pins are versions.
    """

    application: str
    file: str
    ref: str = ""
    review: bool = False
    chart: bool = False


def file_of(fleet: FleetModel, application: str, promote: Promote, folder: str = ".") -> str:
    """The file with an application's pins: where its Promotion is, else where the strategy says.

    `folder` is the part of the repository that the fleet is read from; what is outside of it would not be found.
    """
    written = fleet.place("Promotion", application)
    if written is not None and written.file:
        return written.file
    parts = (each for each in (folder, promote.path) if each not in ("", "."))
    return "/".join((*parts, f"{application}.yaml"))


async def promote(writer: Writer, mirror: Mirror, where: PinFile, pin: Due, subject: str, rollout: str) -> Written:
    """Has a pin in Git. Nothing is done where it is there already, or where somebody has pinned something else since.

    Nor where this rollout has brought the environment there before: whoever took that back meant it.

    Args:
        writer: commits.
        mirror: of the fleet repository.
        where: the file and branch.
        pin: what `hub.domain.promotion.due` found.
        subject: of the commit that is promoted.
        rollout: the id of the rollout that was completed with it.

    Raises:
        DocumentError: the file cannot be added to, or the repository may not be written.
        Unavailable: it cannot be reached now.
    """

    def making(base: Base) -> Change | None:
        text = _decoded(base.read(where.file), where.file)
        now = (promotion.pinned_in(text, where.application, where.file) or {}).get(pin.environment, "")
        said = promotion.message(where.application, pin, subject, rollout)
        if now != pin.before or _is_told(base, said):
            return None
        made = promotion.changed(text, where.application, pin, where.file, chart=where.chart)
        return Change(said, {where.file: made.encode()})

    branch = promotion.branch(where.application, pin) if where.review else ""
    return await writer.write(mirror, making, onto=where.ref, branch=branch)


def last_change(objects: Objects, commit: str, paths: Collection[str], besides: str) -> str:
    """The newest commit up to this one that changed something below the paths, the file `besides` left out.

    A commit that only says something else, such as a promotion, is none to be promoted itself. Empty where none of the
    last `LOOK_BACK` commits did.
    """
    for _ in range(LOOK_BACK):
        parents = objects.commit(commit).parents
        if _touches(objects, commit, parents[0] if parents else "", paths, besides):
            return commit
        if not parents:
            return ""
        commit = parents[0]
    return ""


def _touches(objects: Objects, commit: str, parent: str, paths: Collection[str], besides: str) -> bool:
    def root(sha: str) -> Entry | None:
        return Entry("", objects.tree_of(sha), TREE) if sha else None

    whole, inside = "." in paths, tuple(f"{path}/" for path in paths)
    return any(
        change.path != besides and (whole or change.path in paths or change.path.startswith(inside))
        for change in changes(objects, root(parent), root(commit))
    )


def _is_told(base: Base, said: str) -> bool:
    """Whether a commit of the latest says the same; a merge may have added to it."""
    wanted = set(said.split("\n")) - {""}
    walk = itertools.islice(base.repository.walk(base.commit.id), LOOK_BACK)
    return any(wanted <= {line.strip() for line in commit.message.split("\n")} for commit in walk)


def _decoded(data: bytes | None, file: str) -> str:
    try:
        return (data or b"").decode()
    except UnicodeDecodeError:
        raise DocumentError("it is not UTF-8, so nothing can be added to it", Place(file)) from None
