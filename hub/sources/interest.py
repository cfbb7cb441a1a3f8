"""Who is interested in which paths of a repository. Pure.

Whoever looked at a path is concerned by a change there or below it, and by a file that takes the place of a directory
above it. Looked up by the changed path, so that it costs the change and not the number of those who are interested.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Interest(Generic[K]):
    """Paths are from the root of the repository; `""` is the root itself, which every change concerns."""

    def __init__(self) -> None:
        self._paths: dict[K, frozenset[str]] = {}
        self._by_path: dict[str, set[K]] = {}
        self._sorted: list[str] | None = None

    def put(self, who: K, paths: Iterable[str]) -> None:
        """`who` has looked at these paths, and no longer at those named before."""
        before, now = self._paths.get(who, frozenset()), frozenset(paths)
        self._paths[who] = now
        for path in now - before:
            if path not in self._by_path:
                self._by_path[path], self._sorted = set(), None
            self._by_path[path].add(who)
        for path in before - now:
            self._by_path[path].discard(who)
            if not self._by_path[path]:
                del self._by_path[path]
                self._sorted = None

    def drop(self, who: K) -> None:
        """`who` is not interested any more."""
        self.put(who, ())
        del self._paths[who]

    def concerned(self, changed: Iterable[str]) -> set[K]:
        """Those who looked at one of these paths, at a directory above, or at something that was below."""
        found: set[K] = set()
        for path in changed:
            for place in (*_upwards(path), *self._below(path)):
                found |= self._by_path.get(place, set())
        return found

    def _below(self, path: str) -> Iterator[str]:
        if self._sorted is None:
            self._sorted = sorted(self._by_path)
        for at in range(bisect_left(self._sorted, f"{path}/"), len(self._sorted)):
            if not self._sorted[at].startswith(f"{path}/"):
                return
            yield self._sorted[at]


def _upwards(path: str) -> Iterator[str]:
    yield path
    while path:
        path = path.rpartition("/")[0]
        yield path
