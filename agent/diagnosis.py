"""Looks at the pods and events of managed workloads that are not healthy, and at nothing else.

Pods are not watched: in a large cluster they are most of what there is. A workload that has been unhealthy for
`DELAY` seconds is looked at with one list of its pods and one of events, again after a few seconds, and ever more
seldom while the answer stays the same. One look is made at a time, whatever the number of workloads, and what is kept
of it is one line of text, forgotten when the workload is healthy. What the pods and events mean is for
`agent.domain.health.causes` to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.cache import LiveCache
from agent.domain.health import causes
from agent.domain.health.fields import group_kind, items, mapping
from agent.kube.client import Kube
from agent.kube.errors import Forbidden
from shared.errors import YardarmError
from shared.messages import Action, ObjectStatus
from shared.model import Health, Manifest, ObjectRef, UnitKey
from shared.tasks import Clock

log = logging.getLogger(__name__)

DELAY = 2.0
"""Seconds from the first word of trouble to the first look: most workloads are healthy by then."""

AGAIN = 5.0
SELDOM = 60.0
"""Least and longest time in seconds between two looks at one workload."""

PER_UNIT = 20
"""Workloads of one unit that are looked at: a report with twenty reasons needs no more."""

TOTAL = 500
"""Workloads looked at over all units; beyond, each round would take minutes."""

PAGE = 50
PAGES = 4
"""Pods (and events) read at a time, and how often: of a workload with more pods the first two hundred have to do."""

DEADLINE = 10.0

_Key = tuple[str, str, str, str]


@dataclass
class _Case:
    """A workload under observation. Times are monotonic seconds."""

    ref: ObjectRef
    reason: str
    due: float
    interval: float = AGAIN
    looked: float = float("-inf")
    cause: str = ""


class Diagnosis:
    """Finds out why things are not healthy. Start `run` in a TaskGroup; `explained` returns at once."""

    def __init__(self, kube: Kube, cache: LiveCache, clock: Clock, changed: Callable[[UnitKey], None]) -> None:
        """`changed` is called when a unit's objects would be explained differently than before."""
        self._kube = kube
        self._cache = cache
        self._clock = clock
        self._changed = changed
        self._cases: dict[UnitKey, dict[_Key, _Case]] = {}
        self._wake = asyncio.Event()
        self.looks = 0
        """Looks made so far, for metrics."""

    def __len__(self) -> int:
        """How many workloads are under observation."""
        return sum(map(len, self._cases.values()))

    def explained(self, unit: UnitKey, objects: Sequence[ObjectStatus]) -> tuple[ObjectStatus, ...]:
        """The objects of a unit, all of them, with what is known of the causes; those in trouble are looked at soon."""
        before = self._cases.pop(unit, {})
        room = TOTAL - len(self)
        cases: dict[_Key, _Case] = {}
        told = []
        for each in objects:
            case = None
            if _ails(each) and len(cases) < min(PER_UNIT, room):
                case = cases[each.ref.key] = self._case(before.get(each.ref.key), each)
            told.append(_with_cause(each, case))
        if cases:
            self._cases[unit] = cases
            self._wake.set()
        return tuple(told)

    def forget(self, unit: UnitKey) -> None:
        """What was found out is of no use any more: the unit has got other things to do."""
        self._cases.pop(unit, None)

    def _case(self, case: _Case | None, each: ObjectStatus) -> _Case:
        now = self._clock.monotonic()
        if case is None:
            return _Case(each.ref, each.reason, now + DELAY)
        if case.reason != each.reason:
            case.reason = each.reason
            case.interval = AGAIN
            case.due = min(case.due, max(now, case.looked + AGAIN))
        return case

    async def run(self) -> None:
        """Looks for ever, at one workload at a time."""
        while True:
            self._wake.clear()
            due = min(
                ((case.due, unit, case) for unit, cases in self._cases.items() for case in cases.values()),
                key=lambda entry: entry[0],
                default=None,
            )
            wait = due[0] - self._clock.monotonic() if due is not None else None
            if due is None or (wait is not None and wait > 0):
                await self._rest(wait)
                continue
            await self._visit(due[1], due[2])

    async def _rest(self, seconds: float | None) -> None:
        """Until the next case is due, or there may be an earlier one."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass  # it is due now

    async def _visit(self, unit: UnitKey, case: _Case) -> None:
        try:
            found = await self._look(case)
        except YardarmError as error:
            log.info("a look at a workload failed", extra={"object": str(case.ref), "error": str(error)})
            found = case.cause
        now = self._clock.monotonic()
        case.looked = now
        case.interval = AGAIN if found != case.cause else min(SELDOM, case.interval * 2)
        case.due = now + case.interval
        if found != case.cause:
            case.cause = found
            if self._cases.get(unit, {}).get(case.ref.key) is case:
                self._changed(unit)

    async def _look(self, case: _Case) -> str:
        """One list of pods and one of events, or the second alone for what has no pods."""
        workload = self._cache.get(case.ref)
        if workload is None:
            return ""
        self.looks += 1
        selector = causes.selector(workload)
        try:
            pods = (
                [_slim(pod) for pod in await self._list("Pod", case.ref, label_selector=selector)] if selector else []
            )
            events = await self._list("Event", case.ref, field_selector=causes.event_selector(workload))
        except Forbidden as error:
            # Of what has no pods nothing was promised, and its own status mostly says enough.
            return f"why cannot be seen: {error}" if group_kind(workload) in causes.WITH_PODS else ""
        return causes.cause(workload, pods, events, self._clock.now())

    async def _list(self, kind: str, ref: ObjectRef, **selectors: str) -> list[Manifest]:
        resource = await self._kube.resource("v1", kind)
        found: list[Manifest] = []
        # Events about what is in no namespace are kept in this one.
        namespace = ref.namespace or "default"
        pages = self._kube.pages(resource, namespace=namespace, limit=PAGE, deadline=DEADLINE, **selectors)
        async with aclosing(pages):
            number = 0
            async for page, _ in pages:
                found += page
                number += 1
                if number == PAGES:
                    break
        return found


def _ails(each: ObjectStatus) -> bool:
    """Whether a look may help: not while the object itself could not be applied, or is on its way out."""
    return each.health in (Health.PROGRESSING, Health.DEGRADED) and each.action is not Action.FAILED


def _with_cause(each: ObjectStatus, case: _Case | None) -> ObjectStatus:
    if case is None or not case.cause:
        return each
    return msgspec.structs.replace(each, reason=causes.joined(each.reason, case.cause))


def _slim(pod: Manifest) -> Manifest:
    """What the rules read of a pod; the rest (volumes, environment, managed fields) is most of it."""
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    kept: dict[str, Any] = {
        field: spec[field] for field in ("nodeName", "readinessGates", "schedulingGates") if field in spec
    }
    for field in ("containers", "initContainers"):
        kept[field] = [
            {part: each[part] for part in ("name", "image", "resources") if part in each} for each in items(spec, field)
        ]
    named = {field: metadata[field] for field in ("name", "uid", "ownerReferences") if field in metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": kept, "status": mapping(pod, "status")}
