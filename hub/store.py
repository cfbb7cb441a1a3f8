"""The hub's own state by key, with compare-and-set: rollouts, holds, applications, the lease.

A key is dotted (`application.podinfo`), its value bytes, its revision the stream's sequence. A deleted or expired key
leaves nothing behind. Reads ask the stream's leader, so a hub reads what it wrote; this is for hundreds of writes a
second, not for what agents report.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson

from hub.streams import KV_HUB, last_per_subject
from shared.bus import Bus, Refused, acknowledged
from shared.errors import InvalidMessage, YardarmError

PREFIX = "$KV.HUB."
ABSENT = 0
"""The revision to expect of a key that must not exist yet."""

_KEY = re.compile(r"[A-Za-z0-9_=/-]+(\.[A-Za-z0-9_=/-]+)*")
_MESSAGE_NOT_FOUND = 10037


class Conflict(YardarmError):
    """Somebody else changed the key since the expected revision: read it again and decide anew."""


class Store:
    """Keys in the stream KV_HUB, which must exist (`streams.ensure`). Every call may raise `Unavailable`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """(value, revision), None when there is no such key."""
        path = f"$JS.API.STREAM.MSG.GET.{KV_HUB.name}"
        answer = await self._bus.request(path, orjson.dumps({"last_by_subj": subject_of(key)}))
        try:
            message: dict[str, Any] = acknowledged(answer, path)["message"]
        except Refused as refused:
            if refused.code == _MESSAGE_NOT_FOUND:
                return None
            raise
        return base64.b64decode(message.get("data", "")), int(message["seq"])

    async def put(self, key: str, value: bytes, expected: int | None = None, *, ttl: int = 0) -> int:
        """Writes and returns the new revision.

        `expected` is the revision the key must have now (`ABSENT`: none), None to write whatever is there.
        `ttl` is whole seconds until the key disappears, 0 for never; a write without it makes the key stay.

        Raises:
            Conflict: the key has another revision; nothing was written.
            Unavailable: not acknowledged. It may have been written: read before trying again.
        """
        headers: dict[str, str] = {}
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        if ttl:
            headers["Nats-TTL"] = f"{ttl}s"
        try:
            return await self._bus.publish_stored(subject_of(key), value, headers=headers)
        except Refused as refused:
            if refused.code == Refused.WRONG_SEQUENCE:
                raise Conflict(f"{key} was changed meanwhile: revision {expected} is not its last") from refused
            raise

    async def delete(self, key: str, expected: int | None = None) -> bool:
        """Removes the key and says whether it was there.

        Raises:
            Conflict: it no longer has the revision `expected`, or changed while it was being deleted.
        """
        revision = expected
        if revision is None:
            found = await self.get(key)
            if found is None:
                return False
            revision = found[1]
        path = f"$JS.API.STREAM.MSG.DELETE.{KV_HUB.name}"
        answer = await self._bus.request(path, orjson.dumps({"seq": revision, "no_erase": True}))
        try:
            acknowledged(answer, path)
        except Refused as refused:
            now = await self.get(key)
            if now is None or now[1] != revision:
                raise Conflict(f"{key} was changed meanwhile: revision {revision} is gone") from refused
            raise
        return True

    async def items(self, prefix: str) -> AsyncIterator[tuple[str, bytes, int]]:
        """(key, value, revision) of every key below `prefix` (`application` gives `application.…`)."""
        async for subject, data, revision in last_per_subject(self._bus, KV_HUB.name, f"{subject_of(prefix)}.>"):
            yield subject.removeprefix(PREFIX), data, revision

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys below `prefix`."""
        async for key, _, _ in self.items(prefix):
            yield key


def subject_of(key: str) -> str:
    """Where a key is kept.

    Raises:
        InvalidMessage: not a key; tokens of letters, digits and `-_=/`, with dots between them.
    """
    if _KEY.fullmatch(key) is None:
        raise InvalidMessage(f"{key!r} cannot be a key: use letters, digits and -_=/, with dots between the parts")
    return PREFIX + key
