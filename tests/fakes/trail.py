"""The audit trail in memory, for tests of the API alone: `entries` is all that was recorded."""

from __future__ import annotations

from hub.domain import auditing
from hub.domain.auditing import Entry, Stored, Wanted


class Trail:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def record(self, entry: Entry) -> None:
        auditing.subject(entry)
        self.entries.append(auditing.fit(entry))

    async def page(self, wanted: Wanted, limit: int, before: int = 0) -> tuple[list[Stored], int | None]:
        found = [each for each in self._stored() if wanted.accepts(each.entry) and (not before or each.number < before)]
        newest = found[::-1][:limit]
        return newest, newest[-1].number if len(found) > limit else None

    async def after(self, wanted: Wanted, limit: int, number: int) -> tuple[list[Stored], int]:
        found = [each for each in self._stored() if wanted.accepts(each.entry) and each.number > number][:limit]
        return found, found[-1].number if len(found) == limit else len(self.entries)

    def _stored(self) -> list[Stored]:
        return [Stored(number, entry) for number, entry in enumerate(self.entries, 1)]
