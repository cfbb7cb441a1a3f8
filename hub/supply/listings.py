"""What sets find in repositories, as of one look at the fleet; a look costs what moved since the one before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hub.domain.listing import Listing, Listings, Lookup, listing
from hub.sources.objects import Objects
from hub.sources.tree import GitTree
from hub.supply.pins import Moment
from shared.errors import DocumentError, Unavailable
from shared.model import Problem


@dataclass(frozen=True, slots=True)
class _Known:
    repo: str
    commit: str
    listing: Listing


class Lister:
    """Looks for sets, and remembers what it found last."""

    def __init__(self) -> None:
        self._known: dict[Lookup, _Known] = {}

    async def listings(self, lookups: Iterable[Lookup], moment: Moment) -> Listings:
        """What these lookups find at that moment. What others found before is forgotten."""
        found, known = dict[Lookup, Listing | Problem](), dict[Lookup, _Known]()
        for lookup in lookups:
            answer = await self._look(lookup, moment)
            if isinstance(answer, _Known):
                known[lookup], found[lookup] = answer, answer.listing
            else:
                found[lookup] = answer
                if lookup in self._known:  # read on from there once it can be looked for again
                    known[lookup] = self._known[lookup]
        self._known = known
        return found

    async def _look(self, lookup: Lookup, moment: Moment) -> _Known | Problem:
        origin = await moment.origin((lookup.repo, lookup.ref))
        if isinstance(origin, Problem):
            return origin
        name, sha = origin.mirror.name, origin.commit.sha
        before = self._known.get(lookup)
        if before is not None and (before.repo, before.commit) == (name, sha):
            return before

        def work(objects: Objects) -> Listing:
            return listing(GitTree(objects, sha), lookup, before.listing if before is not None else None)

        try:
            return _Known(name, sha, await origin.mirror.read(work))
        except DocumentError as error:
            return Problem("error", error.message, error.place, error.hint)
        except Unavailable as error:
            return Problem("error", str(error))
