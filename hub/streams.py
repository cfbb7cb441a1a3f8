"""What the hub keeps in JetStream: the streams as declarations, and writing and reading them in bulk.

Meaning and reasons of the streams: DESIGN section 5. Nothing here knows what the messages say.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from hub.pull import Delivery, Pull
from shared import subjects
from shared.bus import Bus, Message, Refused, acknowledged
from shared.errors import Unavailable, YardarmError
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

HOUR = 3600 * 10**9
"""JetStream counts in nanoseconds."""
DAY = 24 * HOUR

BATCH_MESSAGES = 1000
"""The server's limit for an atomic batch."""
STRETCH = 100
"""Messages of a batch that are sent until others get on."""
BATCH_BYTES = 8 * 1024 * 1024
"""What one batch may hold in the client's buffer and the server's staging area."""
BLOBS_IN_FLIGHT = 64
QUIET = 2.0
"""Seconds without a message after which a reader asks whether any is still to come."""
WRITE_TIMEOUT = 5.0
"""Seconds for an acknowledgement: a thousand messages take 30 ms on three servers, an election up to 7 s."""
ATTEMPTS = 5
"""Tries of a write that was not acknowledged, before the caller is told."""

_STREAM_NOT_FOUND = 10059
_BLOB_EXISTS = 10077
_MESSAGE_NOT_FOUND = 10037
_SUBJECTS_OVERLAP = 10065


class StreamConflict(YardarmError):
    """A stream of that name or with those subjects exists and cannot be turned into ours."""


class Fenced(YardarmError):
    """A newer leader has taken over: nothing was written, and nothing of ours may be from now on."""


class Fence(msgspec.Struct, frozen=True):
    """A leader's licence to write: the sequence of its own epoch message in DESIRED."""

    epoch: int

    @property
    def headers(self) -> dict[str, str]:
        """Makes the server refuse the write once another leader has written its epoch."""
        return {
            "Nats-Expected-Last-Subject-Sequence": str(self.epoch),
            "Nats-Expected-Last-Subject-Sequence-Subject": subjects.EPOCH,
        }


class StreamSpec(msgspec.Struct, frozen=True):
    """A stream as JetStream's own configuration; what is left out has the server's default."""

    name: str
    config: Mapping[str, Any]

    def wanted(self, replicas: int) -> dict[str, Any]:
        """The whole configuration."""
        return {"name": self.name, "storage": "file", "num_replicas": replicas, **self.config}


DESIRED = StreamSpec(
    "DESIRED",
    {
        "subjects": [subjects.DESIRED_ALL],
        "max_msgs_per_subject": 1,
        "allow_direct": True,
        "allow_atomic": True,
        "republish": {"src": subjects.DESIRED_ALL, "dest": subjects.NOTIFY_PREFIX + subjects.DESIRED_ALL},
    },
)
"""The last assignment of every unit. Republished with the body, so that agents need no consumer."""

BLOBS = StreamSpec(
    "BLOBS",
    {
        "subjects": [subjects.BLOBS_ALL],
        "max_msgs_per_subject": 1,
        "discard": "new",
        "discard_new_per_subject": True,
        "allow_direct": True,
    },
)
"""Bodies by digest. Immutable: a second write to a name is refused."""

REPORTS = StreamSpec("REPORTS", {"subjects": [subjects.REPORTS_ALL], "max_msgs_per_subject": 1, "allow_direct": True})
"""The last report of every unit, and every agent's last heartbeat."""

EVENTS = StreamSpec(
    "EVENTS",
    {
        "subjects": [subjects.EVENTS_ALL],
        "max_age": 72 * HOUR,
        "max_bytes": 2 * 1024**3,
        "duplicate_window": HOUR // 30,
        "allow_direct": True,
    },
)
"""The history, for three days or 2 GiB, whichever is less."""

KV_HUB = StreamSpec(
    "KV_HUB",
    {
        "subjects": ["$KV.HUB.>"],
        "max_msgs_per_subject": 1,
        "discard": "new",
        "allow_direct": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
    },
)
"""The hub's own state by key; a KV bucket to other tools. No marker is left for what expires or is deleted: with
markers nobody could take an expired lease until the marker has expired too."""

ALL = (DESIRED, BLOBS, REPORTS, EVENTS, KV_HUB)


async def ensure(bus: Bus, specs: Sequence[StreamSpec] = ALL, replicas: int = 1) -> None:
    """Creates the streams that are missing and updates those that differ. Content is never touched.

    Raises:
        StreamConflict: somebody else's stream is in the way.
        Unavailable: JetStream does not answer.
    """
    for spec in specs:
        wanted = spec.wanted(replicas)
        try:
            info = await _api(bus, f"STREAM.INFO.{spec.name}")
        except Refused as refused:
            if refused.code != _STREAM_NOT_FOUND:
                raise
            await _change(bus, "CREATE", spec, wanted)
            log.info("stream made", extra={"stream": spec.name})
            continue
        existing = info["config"]
        changed = sorted(key for key, value in wanted.items() if existing.get(key) != value)
        if changed:
            await _change(bus, "UPDATE", spec, existing | wanted)
            log.info("stream updated", extra={"stream": spec.name, "changed": changed})


async def last(bus: Bus, stream: str, subject: str) -> bytes | None:
    """The last message on `subject`, None when there is none."""
    try:
        answer = await _api(bus, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except Refused as refused:
        if refused.code == _MESSAGE_NOT_FOUND:
            return None
        raise
    return base64.b64decode(answer["message"].get("data", ""))


async def purge(bus: Bus, stream: str, subject: str) -> int:
    """Deletes all messages on `subject` (which may hold wildcards) and returns how many there were."""
    return int((await _api(bus, f"STREAM.PURGE.{stream}", {"filter": subject}))["purged"])


async def purge_blob(bus: Bus, name: str, tenant: str = subjects.TENANT) -> None:
    """Deletes a blob that nothing names any more."""
    await purge(bus, BLOBS.name, subjects.blob(tenant, name))


async def blob_names(bus: Bus, tenant: str = subjects.TENANT) -> set[str]:
    """The names of all blobs of a tenant. The server lists at most 100,000 subjects in one answer, so in pages."""
    names: set[str] = set()
    while True:
        asked = {"subjects_filter": f"blob.{subjects.token(tenant)}.*", "offset": len(names)}
        answer = await _api(bus, f"STREAM.INFO.{BLOBS.name}", asked)
        page = answer["state"].get("subjects") or {}
        names.update(subject.rpartition(".")[2] for subject in page)
        if not page or len(names) >= int(answer.get("total", 0)):
            return names


async def bounds(bus: Bus, stream: str) -> tuple[int, int]:
    """The sequences of the first and the last message of a stream; of an empty one, the first is beyond the last."""
    state = (await _api(bus, f"STREAM.INFO.{stream}"))["state"]
    return int(state["first_seq"]) or 1, int(state["last_seq"])


async def between(bus: Bus, stream: str, first: int, last: int) -> list[tuple[int, bytes]]:
    """The messages from sequence `first` to `last`, as (sequence, data), without a consumer.

    Raises:
        Unavailable: they did not come; ask again.
    """
    found: list[tuple[int, bytes]] = []
    done = asyncio.Event()

    async def take(message: Message) -> None:
        if message.headers.get("Status") is not None:  # 204 ends the batch, 404 says that there is none
            done.set()
            return
        sequence = int(message.headers["Nats-Sequence"])
        if sequence <= last:
            found.append((sequence, message.data))

    inbox = bus.new_inbox()
    subscription = await bus.subscribe(inbox, take)
    try:
        asked = {"seq": first, "batch": last - first + 1}
        await bus.publish(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(asked), reply=inbox)
        async with asyncio.timeout(10):
            await done.wait()
    except TimeoutError as error:
        raise Unavailable(f"{stream}: no answer within 10 s") from error
    finally:
        await subscription.end()
    return found


async def since(bus: Bus, stream: str, moment: float) -> int | None:
    """The sequence of the first message that was stored at `moment` (unix seconds) or later, None when there is none.

    Raises:
        Unavailable: no answer.
    """
    start = datetime.fromtimestamp(moment, UTC).isoformat()
    found = await bus.request(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps({"start_time": start, "batch": 1}))
    return int(found.headers["Nats-Sequence"]) if found.headers.get("Status") is None else None


async def last_per_subject(bus: Bus, stream: str, subject: str) -> AsyncIterator[tuple[str, bytes, int]]:
    """The last message of every subject that `subject` matches, as (subject, data, stream sequence).

    Ordered by sequence; ends when everything up to now has come. Messages written meanwhile may come too, so that a
    subject can come twice, the newer one later; those deleted meanwhile may not come. Reads as fast as the caller
    takes them, and keeps nothing.

    Raises:
        Unavailable: the connection was lost half-way; start again.
    """
    name = f"read-{secrets.token_hex(6)}"
    config = {
        "name": name,
        "deliver_policy": "last_per_subject",
        "ack_policy": "none",
        "filter_subject": subject,
        "mem_storage": True,
        "num_replicas": 1,
        "max_deliver": 1,
        "inactive_threshold": 60 * 10**9,
    }
    path = f"CONSUMER.CREATE.{stream}.{name}.{subject}"
    made = await _api(bus, path, {"stream_name": stream, "config": config, "action": "create"}, timeout=60)
    if not made["num_pending"]:
        await _forget_consumer(bus, stream, name)
        return
    async with Pull(bus, stream, name) as pull:
        waiting, number = 1, 0
        while waiting:
            try:
                async with asyncio.timeout(QUIET):
                    taken = await pull.take()
            except TimeoutError:
                # What was still to come may have been deleted: then nothing comes to say that it was the last.
                waiting = await _undelivered(bus, stream, name, number)
                continue
            for message in taken:
                sequence, number, waiting = Delivery.of(message)
                yield message.subject, message.data, sequence
    await _forget_consumer(bus, stream, name)


class Writer:
    """Writes what agents read. Safe to use from several tasks."""

    def __init__(self, bus: Bus, clock: Clock | None = None) -> None:
        self._bus = bus
        self._clock = clock or Clock()

    async def batch(self, messages: Iterable[tuple[str, bytes]], fence: Fence) -> int:
        """Writes (subject, data) messages in order, in atomic batches, and returns how many there were.

        A batch that is not acknowledged is written again, so that a message may be stored (and announced) twice: its
        generation makes that harmless.

        Raises:
            Fenced: a newer leader has taken over.
            Unavailable: not acknowledged after several tries. Earlier batches of the same call are written.
        """
        count = 0
        for group in _groups(messages):
            await self._insist(group, fence)
            count += len(group)
        return count

    async def put_blobs(self, blobs: Iterable[tuple[str, bytes]], tenant: str = subjects.TENANT) -> int:
        """Stores (name, bytes) blobs and returns how many were new. A name that exists counts as stored.

        Raises:
            Unavailable: some are not acknowledged after several tries; storing all again is harmless.
        """
        waiting = iter(blobs)
        made = 0

        async def work() -> None:
            nonlocal made
            for name, data in waiting:
                new = await self._put_blob(subjects.blob(tenant, name), data)
                made += new  # not in one step: others count while this one waits

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(BLOBS_IN_FLIGHT):
                    group.create_task(work())
        except* YardarmError as errors:
            raise _first(errors) from None
        return made

    async def _put_blob(self, subject: str, data: bytes) -> bool:
        backoff = Backoff(0.2, 5)
        while True:
            try:
                await self._bus.publish_stored(subject, data, timeout=WRITE_TIMEOUT)
            except Refused as refused:
                if refused.code == _BLOB_EXISTS:
                    return False
                raise
            except Unavailable:
                if backoff.failures + 1 >= ATTEMPTS:
                    raise
                await self._clock.sleep(backoff.next())
            else:
                return True

    async def _insist(self, group: Sequence[tuple[str, bytes]], fence: Fence) -> None:
        backoff = Backoff(0.2, 5)
        while True:
            try:
                await self._write(group, fence)
            except Unavailable as error:
                if backoff.failures + 1 >= ATTEMPTS:
                    raise
                log.warning("a batch was not acknowledged, writing it again", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())
            else:
                return

    async def _write(self, group: Sequence[tuple[str, bytes]], fence: Fence) -> None:
        batch, last = secrets.token_hex(16), len(group) - 1
        for number, (subject, data) in enumerate(group):
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number + 1)}
            if number == 0:
                headers |= fence.headers
            if number == last:
                headers["Nats-Batch-Commit"] = "1"
            if number not in (0, last):
                await self._bus.publish(subject, data, headers)
                if number % STRETCH == 0:
                    await asyncio.sleep(0)
                continue
            answer = await self._bus.request(subject, data, headers=headers, timeout=WRITE_TIMEOUT)
            if answer.data:  # the first message of a longer batch is answered with nothing when all is well
                _check_fence(answer.data, subject)


def _check_fence(data: bytes, subject: str) -> None:
    problem = orjson.loads(data).get("error")
    if problem is None:
        return
    code = int(problem.get("err_code", 0))
    if code == Refused.WRONG_SEQUENCE:
        raise Fenced("another hub leads now: nothing was written")
    raise Unavailable(f"{subject}: the batch was refused: {problem.get('description')} ({code})")


def _groups(messages: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    group: list[tuple[str, bytes]] = []
    size = 0
    for subject, data in messages:
        if group and (len(group) == BATCH_MESSAGES or size + len(data) > BATCH_BYTES):
            yield group
            group, size = [], 0
        group.append((subject, data))
        size += len(data)
    if group:
        yield group


async def _change(bus: Bus, verb: str, spec: StreamSpec, wanted: dict[str, Any]) -> None:
    try:
        await _api(bus, f"STREAM.{verb}.{spec.name}", wanted, timeout=30)
    except Refused as refused:
        what = f"the stream {spec.name} ({', '.join(wanted['subjects'])}) cannot be set up: "
        if refused.code == _SUBJECTS_OVERLAP:
            what += "another stream has these subjects. Remove it, or give the hub a NATS account of its own"
        else:
            what += str(refused)
        raise StreamConflict(what) from refused


async def _undelivered(bus: Bus, stream: str, name: str, number: int) -> int:
    """How many messages the consumer has for who has received `number`, those on their way included."""
    info = await _api(bus, f"CONSUMER.INFO.{stream}.{name}")
    return int(info["num_pending"]) + max(0, int(info["delivered"]["consumer_seq"]) - number)


async def _forget_consumer(bus: Bus, stream: str, name: str) -> None:
    """Best effort: the server forgets it by itself after a minute."""
    try:
        await _api(bus, f"CONSUMER.DELETE.{stream}.{name}")
    except (Refused, Unavailable) as error:
        log.debug("a consumer was not deleted", extra={"consumer": name, "error": str(error)})


async def _api(bus: Bus, path: str, body: Mapping[str, Any] | None = None, timeout: float = 10) -> dict[str, Any]:
    data = orjson.dumps(body) if body is not None else b""
    answer = await bus.request(f"$JS.API.{path}", data, timeout=timeout)
    return acknowledged(answer, path)


def _first(errors: BaseExceptionGroup[YardarmError]) -> YardarmError:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, YardarmError):
        raise TypeError(type(found))
    return found
