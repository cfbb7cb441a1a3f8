"""Answers the hub's questions: what would applying this do here? With dry runs, so that nothing changes.

One question is worked on at a time, for as long as whoever asks wants to wait, next to the agent's real work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from agent.domain import hints
from agent.domain.desired import Desired, prepare
from agent.domain.reach import account_user, allowed, within
from agent.kube.errors import Unreachable
from agent.survey import Survey
from agent.tools import Tools
from agent.trial import Trial
from shared import bundle, subjects
from shared.asking import LONGEST, Answer, Expected, Question
from shared.bus import Bus, Message
from shared.errors import InvalidMessage, Unavailable
from shared.messages import VERSION, encode
from shared.signing import Trust

log = logging.getLogger(__name__)

WAITING = 4
"""Questions that may wait; one more is told so."""
IN_FLIGHT = 4
"""Objects that are asked about at once."""
MOST_OBJECTS = 1000
MOST_BYTES = 16 * 1024 * 1024
"""Of a question, unpacked."""
ANSWER_BYTES = 160 * 1024
"""Of an answer's objects; below what an agent may send at once."""


@dataclass
class _Turn:
    question: Question
    reply: str
    until: float


class Asked:
    """Start `run` in a TaskGroup. `silent` says that another agent acts for the cluster, and answers."""

    def __init__(self, bus: Bus, trust: Trust, tools: Tools, silent: Callable[[], bool]) -> None:
        self._bus = bus
        self._trust = trust
        self._tools = tools
        self._silent = silent
        self._cluster = tools.settings.cluster
        self._turns: asyncio.Queue[_Turn] = asyncio.Queue(WAITING)

    async def run(self) -> None:
        """Answers for ever."""
        subscription = await self._bus.subscribe(subjects.ask_diff(self._cluster), self._heard)
        try:
            while True:
                turn = await self._turns.get()
                left = turn.until - self._tools.clock.monotonic()
                if left > 0:
                    await self._say(turn.reply, await self.answer(turn.question, left))
        finally:
            await subscription.end()

    async def _heard(self, message: Message) -> None:
        if not message.reply or self._silent():
            return
        try:
            question = self._trust.open(message.data, Question)
            if question.cluster != self._cluster:
                raise InvalidMessage(f"it is for cluster {question.cluster}")
        except InvalidMessage as error:
            log.warning("a question was rejected", extra={"error": str(error)})
            await self._say(message.reply, _none(f"the agent does not accept the question: {error}"))
            return
        until = self._tools.clock.monotonic() + min(question.within, LONGEST)
        try:
            self._turns.put_nowait(_Turn(question, message.reply, until))
        except asyncio.QueueFull:
            await self._say(message.reply, _none("the agent is busy with other questions"))

    async def _say(self, reply: str, answer: Answer) -> None:
        try:
            await self._bus.publish(reply, encode(answer))
        except Unavailable as error:
            log.info("an answer was not sent", extra={"error": str(error)})

    async def answer(self, question: Question, seconds: float) -> Answer:
        """What is found out within that time."""
        unit, policy = question.unit, question.policy
        tools = self._tools
        try:
            body = bundle.decompress(question.body, MOST_BYTES)
            manifests = [orjson.loads(line) for line in body.split(b"\n")] if body else []
        except (InvalidMessage, ValueError) as error:
            return _none(f"the question cannot be read: {error}")
        survey = Survey(tools.kube, tools.cache)
        set_id = tools.inventory.set_id(unit)
        prepared, wrong = prepare(await tools.unsealer.opened(manifests), unit, set_id, survey.namespaced)
        prepared, far = within(prepared, tools.settings.namespace_scope)
        prepared, forbidden = allowed(prepared, policy)
        kept = [each for each in prepared if not hints.is_hook(each.manifest)]
        kube = tools.kube.acting_as(account_user(policy.service_account, unit.namespace))
        trial = Trial(kube, policy, set_id, kept, tools.inventory.units)
        found = [Expected(each.ref, "refused", reason=each.reason) for each in (*wrong, *far, *forbidden)]
        looked = _Looked(found)
        with contextlib.suppress(TimeoutError):  # what was not reached is counted
            async with asyncio.timeout(seconds * 0.9):
                await _look(kept[:MOST_OBJECTS], trial, unit.namespace, looked)
        return looked.told(hooks=len(prepared) - len(kept), missing=len(kept) - looked.done)


class _Looked:
    """What has been found so far."""

    def __init__(self, found: list[Expected]) -> None:
        self._found = found
        self._unchanged = 0
        self.done = 0
        self.trouble = ""

    def take(self, expected: Expected | None) -> None:
        self.done += 1
        if expected is None:
            self._unchanged += 1
        else:
            self._found.append(expected)

    def told(self, *, hooks: int, missing: int) -> Answer:
        """The answer, with as many objects as fit."""
        if self.trouble and not self.done:
            return _none(self.trouble)
        shown: list[Expected] = []
        size = 0
        for each in sorted(self._found, key=lambda each: each.ref.key):
            size += len(encode(each)) + 1
            if size > ANSWER_BYTES:
                break
            shown.append(each)
        cut = len(self._found) - len(shown)
        reasons = [
            self.trouble,
            f"{missing} objects were not reached in time" if missing and not self.trouble else "",
            f"{hooks} hooks are not tried" if hooks else "",
            f"{cut} more objects would change, too much for an answer" if cut else "",
        ]
        return Answer(VERSION, True, self._unchanged, tuple(shown), "; ".join(filter(None, reasons)))


async def _look(kept: list[Desired], trial: Trial, home: str, looked: _Looked) -> None:
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(each: Desired) -> None:
        async with gate:
            looked.take(await trial.expect(each, home))

    try:
        async with asyncio.TaskGroup() as group:
            for each in kept:
                group.create_task(one(each))
    except* Unreachable as errors:
        looked.trouble = str(errors.exceptions[0])


def _none(reason: str) -> Answer:
    return Answer(VERSION, False, reason=reason)
