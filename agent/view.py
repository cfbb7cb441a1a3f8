"""What one unit sees of the cluster: the shared cache, and over it its own writes that the cache has yet to hear of.

Without the second part an object just written would look missing or old until its watch event arrives, and would be
written again.
"""

from __future__ import annotations

from agent.cache import LiveCache
from agent.domain.desired import Key
from shared.model import Manifest, ObjectRef
from shared.tasks import Clock

TRUSTED_FOR = 10.0
"""Seconds after which the cache is believed again even if it never heard of a write: an object may have been created
and deleted while its watch was interrupted."""


class View:
    """Live objects by reference. No requests are made here."""

    def __init__(self, cache: LiveCache, clock: Clock, set_id: str) -> None:
        self._cache = cache
        self._clock = clock
        self._set_id = set_id
        self._written: dict[Key, tuple[ObjectRef, Manifest, float]] = {}

    def get(self, ref: ObjectRef) -> Manifest | None:
        """The newest that is known of an object of this unit, None when it is not there."""
        written = self._written.get(ref.key)
        if written is None:
            return self._cache.get(ref)
        _, manifest, at = written
        if self._clock.monotonic() - at > TRUSTED_FOR or self._heard(ref, manifest):
            del self._written[ref.key]
            return self._cache.get(ref)
        return manifest

    def unseen(self, ref: ObjectRef) -> str:
        """Why it is not known whether there is an object that `get` does not have; empty when it is known."""
        return self._cache.unseen(ref)

    def members(self) -> tuple[ObjectRef, ...]:
        """All objects that carry the unit's label."""
        heard = self._cache.part_of(self._set_id)
        known = {ref.key for ref in heard}
        return (*heard, *(ref for key, (ref, _, _) in self._written.items() if key not in known))

    def settled(self, ref: ObjectRef) -> bool:
        """Whether the cache has the object as new as we wrote it: from there on every change is heard of."""
        written, cached = self._written.get(ref.key), self._cache.version(ref)
        return cached is not None and (written is None or not _older(cached, version(written[1])))

    def _heard(self, ref: ObjectRef, manifest: Manifest) -> bool:
        cached = self._cache.version(ref)
        return cached is not None and not _older(cached, version(manifest))

    def wrote(self, ref: ObjectRef, live: Manifest) -> bool:
        """The server's answer to a write of ours. Returns whether it is what the cache has heard already."""
        self._written[ref.key] = (ref, live, self._clock.monotonic())
        return self._cache.version(ref) == version(live)

    def deleted(self, ref: ObjectRef) -> None:
        """We have deleted it: from here on the cache knows better."""
        self._written.pop(ref.key, None)

    def changed(self, key: Key, now: str | None) -> bool:
        """The cache heard of a change to this version, None for a deletion.

        Returns whether it is news, rather than the echo of a write of ours.
        """
        written = self._written.get(key)
        if written is None:
            return True
        if now is not None and _older(now, version(written[1])):
            return False
        del self._written[key]
        return now is None or now != version(written[1])


def version(manifest: Manifest) -> str:
    """The resourceVersion, empty when there is none."""
    return str((manifest.get("metadata") or {}).get("resourceVersion") or "")


def _older(left: str, right: str) -> bool:
    """Whether `left` is an earlier version. Versions that are no numbers cannot be compared: then it is not."""
    try:
        return int(left) < int(right)
    except ValueError:
        return False
