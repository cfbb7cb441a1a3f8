"""Asks agents what a change would do on their clusters as they are: signed questions, answered with dry runs.

So much is asked at once, and for so long, that no preview of a large fleet becomes a load for it: `MOST` and `WITHIN`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec
import zstandard

from hub.domain.preview.model import Live, LiveField, LiveObject
from hub.domain.preview.states import Made, State, origin
from shared import subjects
from shared.asking import Answer, Expected, Question
from shared.bus import Bus
from shared.diff import SECRET, SECRET_DIFFERS
from shared.errors import InvalidMessage, Unavailable
from shared.messages import VERSION, FieldDrift, Policy, decode, encode
from shared.model import UnitKey
from shared.signing import SigningKey

MOST = 200
"""Units that are asked for one preview."""
AT_ONCE = 32
WITHIN = 20.0
"""Seconds for one answer."""
ALTOGETHER = 90.0
QUESTION_BYTES = 480 * 1024
"""Of the objects of a question, packed: base64 makes them a third longer, and a message has at most 1 MiB."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a unit would become."""

    unit: UnitKey
    policy: Policy
    lines: tuple[bytes, ...]


def asked(before: State, after: State, home: Callable[[str], str]) -> Iterator[Ask]:
    """The units that would change, as far as it is known to what. `home` gives the namespace of an application.

    Not those of a renamed application: it takes over what another one holds, which a dry run cannot show.
    """
    for name, clusters in sorted(after.units.items()):
        if origin(name, after) != name:
            continue
        had = before.units.get(name, {})
        for cluster, key in sorted(clusters.items()):
            made = after.results.get(key)
            if had.get(cluster) != key and isinstance(made, Made):
                lines = tuple(line for _, line in made.objects.values())
                yield Ask(UnitKey(cluster, home(name), name), after.applications[name].policy, lines)


class Asker:
    """Puts questions to agents."""

    def __init__(self, bus: Bus, key: SigningKey) -> None:
        self._bus = bus
        self._key = key

    async def ask(self, asks: Iterable[Ask]) -> tuple[Live, ...]:
        """The answers, equal ones together. A cluster that does not answer is one with a reason."""
        every = list(asks)
        answers = {each.unit: Answer(VERSION, False, reason="there was no time left to ask it") for each in every}
        for each in every[MOST:]:
            answers[each.unit] = Answer(
                VERSION, False, reason=f"{MOST} others are asked: name applications to ask for fewer"
            )
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(each: Ask) -> None:
            async with gate:
                answers[each.unit] = await self._one(each)

        try:
            async with asyncio.timeout(ALTOGETHER), asyncio.TaskGroup() as group:
                for each in every[:MOST]:
                    group.create_task(one(each))
        except TimeoutError:
            pass  # those without an answer say so
        return together(answers)

    async def _one(self, each: Ask) -> Answer:
        unit = each.unit
        body = zstandard.ZstdCompressor().compress(b"\n".join(each.lines))
        if len(body) > QUESTION_BYTES:
            return Answer(VERSION, False, reason="its objects are too many for a question")
        question = Question(VERSION, unit.cluster, unit.namespace, unit.application, each.policy, body, WITHIN)
        subject = subjects.ask_diff(unit.cluster)
        try:
            answer = await self._bus.request(subject, encode(self._key.sign(question)), timeout=WITHIN + 5)
            return decode(answer.data, Answer)
        except Unavailable:
            return Answer(VERSION, False, reason="its agent does not answer: it is not connected, or older than this")
        except InvalidMessage as error:
            return Answer(VERSION, False, reason=f"its agent's answer cannot be read: {error}")


def together(answers: dict[UnitKey, Answer]) -> tuple[Live, ...]:
    """Equal answers about one application as one, in order. Pure."""
    found: dict[tuple[str, bytes], tuple[Answer, list[str]]] = {}
    for unit, answer in sorted(answers.items(), key=lambda item: (item[0].application, item[0].cluster)):
        # When a field was set differs from cluster to cluster, and is not shown.
        found.setdefault((unit.application, encode(_timeless(answer))), (answer, []))[1].append(unit.cluster)
    return tuple(
        Live(
            application=application,
            clusters=tuple(clusters),
            answered=answer.answered,
            reason=answer.reason,
            unchanged=answer.unchanged,
            objects=tuple(map(_object, answer.objects)),
        )
        for (application, _), (answer, clusters) in found.items()
    )


def _timeless(answer: Answer) -> Answer:
    def without(expected: Expected) -> Expected:
        fields = tuple(msgspec.structs.replace(field, at=None) for field in expected.fields)
        return msgspec.structs.replace(expected, fields=fields)

    return msgspec.structs.replace(answer, objects=tuple(map(without, answer.objects)))


def _object(expected: Expected) -> LiveObject:
    return LiveObject(expected.ref, expected.action, tuple(map(_field, expected.fields)), expected.reason)


def _field(drift: FieldDrift) -> LiveField:
    after = SECRET_DIFFERS if drift.want == drift.have == SECRET else drift.want
    return LiveField(drift.path, drift.have, after, drift.manager)
