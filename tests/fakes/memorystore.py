"""The hub's store in memory, with the same compare-and-set, for code that needs only its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any

from hub.store import Conflict, subject_of


class MemoryStore:
    """Several hubs may share one. Revisions count all writes, as the sequence of a stream does."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[bytes, int]] = {}
        self._sequence = 0

    async def get(self, key: str) -> tuple[bytes, int] | None:
        return self.records.get(key)

    async def put(self, key: str, value: bytes, expected: int | None = None, *, ttl: int = 0) -> int:
        subject_of(key)
        if expected is not None and self.records.get(key, (b"", 0))[1] != expected:
            raise Conflict(key)
        self._sequence += 1
        self.records[key] = (value, self._sequence)
        return self._sequence

    async def delete(self, key: str, expected: int | None = None) -> bool:
        return self.records.pop(key, None) is not None

    async def items(self, prefix: str) -> AsyncIterator[tuple[str, bytes, int]]:
        for key, (value, revision) in sorted(self.records.items(), key=lambda each: each[1][1]):
            if key.startswith(f"{prefix}."):
                yield key, value, revision

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        async for key, _, _ in self.items(prefix):
            yield key


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise RuntimeError("it waits for something")
