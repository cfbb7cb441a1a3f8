"""Rollouts in the hub's own store, with compare-and-set: one key for each, so that of two hubs only one goes on.

What a rollout is to do is written once, under a key of its own when it is long; how far it has come is written before
anything of it is carried out. A hub that was deposed finds out by its first write, and has done nothing by then.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import zstandard
from pydantic import BaseModel

from hub.domain.records import Commit
from hub.domain.runs import Pinned, Plan, Rollout, Slot
from hub.domain.staging import Strategy
from hub.store import ABSENT, Conflict, Store
from hub.streams import Fenced
from shared import bundle
from shared.errors import InvalidMessage

log = logging.getLogger(__name__)

PREFIX = "rollout"
SMALL = 50
"""Clusters up to which a plan is written together with the rest."""
PIECE = 512 * 1024
"""Bytes of one value: half of what NATS takes by default."""
GONE = b""
GONE_FOR = 3600
"""Seconds for which a removed record leaves a mark, so that other hubs hear of it."""
LIMIT = 256 * 1024**2

T = TypeVar("T", Rollout, Plan)


class Ledger:
    """The rollouts that this hub has written or read. Any call may raise `Unavailable`: doing it again is safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revisions: dict[str, int] = {}
        self._plans: dict[str, Plan] = {}

    async def load(self, reader: Reader) -> list[Rollout]:
        """All that are stored, the newest first. One that cannot be read is left out.

        `reader` may have read them before: what has not changed since is not read again.
        """
        found = {}
        async for key, data, revision in self._store.items(PREFIX):
            if not key.rpartition(".")[2].startswith("plan"):
                self._revisions[key] = revision
            try:
                rollout = reader.read(key, data)
            except InvalidMessage as error:
                log.error("a stored rollout cannot be read", extra={"key": key, "error": str(error)})
                continue
            if rollout is not None:
                found[rollout.id] = rollout
                self._plans[rollout.id] = rollout.plan
        return sorted(found.values(), key=lambda each: (each.plan.at, each.id), reverse=True)

    async def save(self, rollout: Rollout) -> None:
        """Writes it in place of what this hub knows to be stored.

        Raises:
            Fenced: another hub has written it meanwhile.
        """
        pieces: list[bytes] = []
        stored = rollout
        if len(rollout.plan.clusters) > SMALL:
            if self._plans.get(rollout.id) is not rollout.plan:
                data = _written(rollout.plan)
                pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
            stored = msgspec.structs.replace(rollout, plan=_stub(rollout.plan))
        key = key_of(rollout)
        for number, piece in enumerate(pieces):
            await self._store.put(f"{key}.plan-{number}-{len(pieces)}", piece)
        self._plans[rollout.id] = rollout.plan
        await self._put(f"{key}.state", _written(stored))

    async def forget(self, rollouts: Iterable[Rollout]) -> None:
        """Removes them."""
        for rollout in rollouts:
            key = f"{key_of(rollout)}.state"
            self._plans.pop(rollout.id, None)
            self._revisions.pop(key, None)
            await self._store.put(key, GONE, ttl=GONE_FOR)
            async for other in self._store.keys(key_of(rollout)):
                if other != key:
                    await self._store.delete(other)

    async def _put(self, key: str, data: bytes) -> None:
        expected = self._revisions.get(key, ABSENT)
        try:
            self._revisions[key] = await self._store.put(key, data, expected)
        except Conflict as conflict:
            # An earlier attempt may have been stored although its answer was lost.
            found = await self._store.get(key)
            if found is None or found[0] != data:
                raise Fenced(f"another hub goes on with {key}") from conflict
            self._revisions[key] = found[1]


class Reader:
    """Puts rollouts together from what the store tells, in any order.

    Who leads has no need of that, and still has to go on with it once another one leads: it keeps what comes unread.
    """

    def __init__(self) -> None:
        self._pieces: dict[str, dict[int, bytes]] = {}
        self._plans: dict[str, tuple[bytes, Plan]] = {}
        self._states: dict[str, tuple[bytes, Rollout]] = {}
        self._unread: dict[str, dict[str, bytes]] = {}

    def read(self, key: str, data: bytes) -> Rollout | None:
        """The rollout that this record completes or changes; None when it does neither yet.

        Raises:
            InvalidMessage: it cannot be read.
        """
        head, _, part = key.rpartition(".")
        if part.startswith("plan-"):
            number, total = (int(each) for each in part.split("-")[1:])
            pieces = self._pieces.setdefault(head, {})
            pieces[number] = data
            if len(pieces) == total:
                del self._pieces[head]
                whole = b"".join(pieces[each] for each in range(total))
                if head not in self._plans or self._plans[head][0] != whole:
                    self._plans[head] = whole, _shared(_read(whole, Plan))
        elif data == GONE:
            self._forget(head)
            return None
        elif head not in self._states or self._states[head][0] != data:
            self._states[head] = data, _read(data, Rollout)
        if head not in self._states:
            return None
        state = self._states[head][1]
        if state.plan.clusters:
            return state
        return _whole(state, self._plans[head][1]) if head in self._plans else None

    def keep(self, key: str, data: bytes) -> None:
        """Takes a record without reading it."""
        head, _, part = key.rpartition(".")
        self._states.pop(head, None)
        if data == GONE:
            self._forget(head)
        else:
            self._unread.setdefault(head, {})[part] = data

    def unread(self) -> list[tuple[str, bytes]]:
        """The records that were kept; they are to be read now."""
        kept, self._unread = self._unread, {}
        return [(f"{head}.{part}", data) for head, parts in kept.items() for part, data in parts.items()]

    def _forget(self, head: str) -> None:
        for known in (self._pieces, self._plans, self._states, self._unread):
            known.pop(head, None)


def key_of(rollout: Rollout) -> str:
    """Where it is kept, without the last part."""
    return f"{PREFIX}.{rollout.application}.{rollout.id}"


def _whole(state: Rollout, plan: Plan) -> Rollout:
    """A plan that clusters have joined is written before the state that knows of them."""
    joined = {name: Slot() for name, pinned in plan.clusters.items() if pinned.changes and name not in state.slots}
    return msgspec.structs.replace(state, plan=plan, slots={**state.slots, **joined})


def _shared(plan: Plan) -> Plan:
    """The plan with what is equal in it kept once, and names of clusters once for all plans."""
    alike: dict[Pinned, Pinned] = {}
    clusters = {sys.intern(name): alike.setdefault(pinned, pinned) for name, pinned in plan.clusters.items()}
    stages = tuple(
        msgspec.structs.replace(stage, clusters=tuple(map(sys.intern, stage.clusters))) for stage in plan.stages
    )
    others = tuple(map(sys.intern, plan.others))
    return msgspec.structs.replace(plan, clusters=clusters, stages=stages, others=others)


def _stub(plan: Plan) -> Plan:
    empty: dict[str, Any] = {}
    return Plan(plan.id, plan.application, plan.revision, Commit(""), Strategy(), (), empty, plan.at)


def _encode_model(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    raise NotImplementedError(f"no way to store a {type(value).__name__}")


def _decode_model(kind: type, value: Any) -> Any:
    if issubclass(kind, BaseModel):
        return kind.model_validate_json(msgspec.json.encode(value))
    raise NotImplementedError(f"no way to read a {kind.__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_model, order="deterministic")
_COMPRESSOR = zstandard.ZstdCompressor(level=1)


def _written(value: Rollout | Plan) -> bytes:
    return _COMPRESSOR.compress(_ENCODER.encode(value))


def _read(data: bytes, kind: type[T]) -> T:
    try:
        value: T = msgspec.json.decode(bundle.decompress(data, LIMIT), type=kind, dec_hook=_decode_model)
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"not a stored {kind.__name__}: {error}") from error
    return value
