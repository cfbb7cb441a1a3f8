"""The worker of one unit: brings it in line with its newest assignment, keeps it there, and says how it is doing.

One attempt runs at a time; a newer assignment cancels it at once, whatever it is waiting for. Attempts are level-based:
each looks at what is there, plans, does what can be done now, and ends. What it has to wait for (a definition to be
served, a wave to be healthy, an object to be gone) shows up as a change in the cache, which starts the next one. So
nothing can be stuck in the middle of an operation, and a restart is only one more attempt.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from agent.cache import Change
from agent.consent import Consents
from agent.domain import account, blocking
from agent.domain.account import State
from agent.domain.desired import Key
from agent.domain.verdict import Verdict
from agent.inbox import Delivery
from agent.kube.errors import AccessError, ApiError
from agent.reconcile import Reconciler, Result
from agent.state import Saved
from agent.tools import Tools
from shared.errors import InvalidMessage
from shared.messages import Blocker, Event, Phase, Report, Severity, Timeline
from shared.model import Health, UnitKey
from shared.tasks import Backoff
from shared.telemetry import record_span, trace_id

log = logging.getLogger(__name__)

AT_WORK = 1.0
"""Seconds after which an assignment that is still being worked on is reported as such."""
DEADLINE = 900.0
"""Seconds for one pass. It waits for nothing but answers, and what was done in it counts for the next."""
SOON = (1.0, 30.0)
SLOWLY = (15.0, 300.0)
"""First and longest delay in seconds, when trouble may pass by itself, and when somebody has to act first."""


class Unit:
    """Start `run` in a TaskGroup. `assign`, `changed` and `poke` return at once."""

    def __init__(self, key: UnitKey, tools: Tools) -> None:
        self.key = key
        self._tools = tools
        self._clock = tools.clock
        self._work: Reconciler | None = None
        self._applied: dict[Key, str] = {}
        self._consents = Consents(tools.keeper, tools.clock)
        self._wake = asyncio.Event()
        self._attempt: asyncio.Task[None] | None = None
        self._pending = False
        self._soon = Backoff(*SOON)
        self._slowly = Backoff(*SLOWLY)
        self._retry_at: float | None = None
        self._verdict = Verdict(Phase.APPLYING)
        self._timeline = Timeline()
        self._health: Health | None = None
        self._said: tuple[Phase, Health, str] | None = None
        self._since = 0.0
        self._blockers: tuple[Blocker, ...] = ()
        self._reported: Report | None = None

    @property
    def generation(self) -> int:
        """Of the newest assignment; 0 before the first."""
        return self._work.assignment.generation if self._work is not None else 0

    @property
    def settled(self) -> bool:
        """Whether the newest assignment is applied and healthy."""
        return self._timeline.healthy is not None

    def blocks(self) -> str:
        """Why units that depend on this one have to wait; empty when they need not."""
        if self._verdict.phase is Phase.APPLIED and self._health in (Health.HEALTHY, Health.SUSPENDED):
            return ""
        return f"application {self.key.application} is {self._verdict.phase}, {self._health or Health.UNKNOWN}"

    @property
    def succeeds(self) -> tuple[str, ...]:
        """The units (`namespace/application`) whose place this one takes."""
        return self._work.assignment.succeeds if self._work is not None else ()

    def restore(self, delivery: Delivery, saved: Saved) -> None:
        """Takes up a saved assignment, with what was known of it when the agent last ran."""
        timeline = saved.timeline
        self._applied.update(saved.applied)
        self._consents.restore(delivery.assignment.digest, saved.granted)
        self.assign(delivery)
        if timeline is not None:
            self._timeline = timeline

    def assign(self, delivery: Delivery) -> None:
        """Newest wins: what is going on for an older generation ends now."""
        assignment = delivery.assignment
        if assignment.generation <= self.generation:
            return
        if self._work is not None and not self.settled:
            self._event("superseded", Severity.INFO, "superseded by a newer revision before it was healthy")
        self._tools.diagnosis.forget(self.key)
        self._consents.taken_up(assignment)
        self._work = Reconciler(self._tools, delivery, self._applied, self._consents, self._work)
        self._timeline = Timeline(received=delivery.received, fetched=delivery.fetched)
        self._span("agent.fetch", delivery.received, delivery.fetched)
        self._verdict = Verdict(Phase.APPLYING)
        self._soon.reset()
        self._slowly.reset()
        self._retry_at = None
        self._pending = True
        if self._attempt is not None:
            self._attempt.cancel()
        self._wake.set()
        # Most attempts are over before anybody could read that they have begun.
        asyncio.get_running_loop().call_later(AT_WORK, self._still_at_work, self._work)

    def _still_at_work(self, work: Reconciler) -> None:
        if self._reported is None or self._reported.generation < work.assignment.generation:
            self._publish(work)

    def changed(self, change: Change) -> None:
        """A managed object came, changed or went."""
        if self._work is not None and self._work.heard(change):
            self._wake.set()

    def diagnosed(self) -> None:
        """More is known of why an object is not healthy."""
        if self._work is not None and self._said is not None:
            self._publish(self._work)

    def again(self) -> None:
        """Whether the agent may act has changed: what is going on ends, and everything is looked at anew."""
        self._pending = True
        if self._attempt is not None:
            self._attempt.cancel()
        self._wake.set()

    def poke(self) -> None:
        """Something this unit may depend on has changed."""
        if self._verdict.waits_for_units:
            self._pending = True
            self._wake.set()

    async def run(self) -> None:
        """Works until the unit has left the cluster, or for ever."""
        async with asyncio.TaskGroup() as group:
            while not (self._verdict.phase is Phase.REMOVED and not self._pending):
                due = await self._woken()
                if not (due or self._pending or self._work is None or self._work.disturbed):
                    continue
                self._attempt = group.create_task(self._guarded())
                await asyncio.wait((self._attempt,))
                self._attempt = None

    async def _woken(self) -> bool:
        """Waits until there may be something to do. True when a time has come: the attempt looks at what is due."""
        due = False
        try:
            async with asyncio.timeout(self._until_next()):
                await self._wake.wait()
        except TimeoutError:
            due = True
        self._wake.clear()
        return due

    def _until_next(self) -> float | None:
        """Seconds until something is due without a change: a retry, a correction, the deadline for health."""
        if self._tools.on_hold():
            return None
        due = []
        if self._retry_at is not None:
            due.append(self._retry_at - self._clock.monotonic())
        if self._work is not None:
            correction = self._work.next_correction()
            late = self._health_due(self._work)
            deadline = late if not self.settled and late > self._clock.now() else None
            due += [at - self._clock.now() for at in (correction, deadline) if at is not None]
        return max(0.0, min(due)) if due else None

    def _health_due(self, work: Reconciler) -> float:
        """When the unit has to be healthy, on our own clock."""
        return (self._timeline.received or work.assignment.at) + work.assignment.policy.timeout

    async def _guarded(self) -> None:
        """One attempt. Whatever goes wrong in it stays in it."""
        work = self._work
        if work is None:
            return
        if hold := self._tools.on_hold():
            self._pending = True
            self._verdict = msgspec.structs.replace(self._verdict, reason=hold)
            self._publish(work)
            return
        retry_due = self._retry_at is not None and self._clock.monotonic() >= self._retry_at
        full, self._pending = self._pending or retry_due, False
        if full:
            self._retry_at = None
        try:
            async with asyncio.timeout(DEADLINE):
                result = await work.attempt(full=full)
            self._take(result)
        except TimeoutError:
            self._trouble(f"a pass took longer than {DEADLINE:g} s: it is ended, and another one begins", None)
        except asyncio.CancelledError:
            raise
        except (ApiError, AccessError, InvalidMessage) as error:
            self._trouble(str(error), getattr(error, "retry_after", None))
        except Exception as error:
            log.exception("an attempt crashed", extra={"unit": str(self.key)})
            self._trouble(f"internal error: {type(error).__name__}: {error}", None)
        self._publish(work)

    def _trouble(self, reason: str, retry_after: float | None) -> None:
        log.warning("an attempt failed", extra={"unit": str(self.key), "error": reason})
        self._verdict = msgspec.structs.replace(self._verdict, reason=reason)
        self._retry_at = self._clock.monotonic() + self._soon.next(retry_after)

    def _take(self, result: Result | None) -> None:
        """What follows from a pass; None when there was nothing to do."""
        if result is None:
            return
        before, self._verdict = self._verdict, result.verdict
        self._tell(result, before)
        if result.verdict.phase in (Phase.APPLIED, Phase.REMOVED):
            self._soon.reset()
            self._slowly.reset()
            if self._timeline.applied is None:
                self._stamp(applied=self._clock.now())
                self._span("agent.apply", self._timeline.fetched, self._timeline.applied)
        if result.retry_soon:
            self._retry_at = self._clock.monotonic() + self._soon.next(result.retry_after)
        elif result.retry_slowly:
            self._retry_at = self._clock.monotonic() + self._slowly.next(result.retry_after)

    def _tell(self, result: Result, before: Verdict) -> None:
        done = account.summed(result.done)
        if done:
            self._event("apply", Severity.INFO, f"applied: {done}")
        if result.verdict != before and result.verdict.phase in (Phase.FAILED, Phase.BLOCKED):
            severity = Severity.ERROR if result.verdict.phase is Phase.FAILED else Severity.WARNING
            self._event(result.verdict.phase.lower(), severity, result.verdict.reason)
        if result.verdict.phase is Phase.REMOVED and before.phase is not Phase.REMOVED:
            self._event("removed", Severity.INFO, "the application left this cluster")
        for found, text in result.drift:
            actor = next((field.manager for field in found.fields if field.manager), "")
            severity = Severity.INFO if found.corrected else Severity.WARNING
            kind = "corrected" if found.corrected else ("fight" if found.fight else "drift")
            event = Event("", 0.0, kind, severity, text, actor=actor)
            self._event_of(msgspec.structs.replace(event, object=found.ref))
        log.debug("pass ended", extra={"unit": str(self.key), "phase": str(result.verdict.phase), "done": done})

    def _publish(self, work: Reconciler) -> None:
        """Reports the unit if this is still what it should be."""
        if work is not self._work:
            return
        objects = work.objects()
        verdict = account.health_of(objects)
        self._note_health(work, verdict.health)
        phase, reason = self._verdict.phase, self._verdict.reason
        late = not self.settled and self._clock.now() >= self._health_due(work)
        if late and phase in (Phase.APPLIED, Phase.APPLYING):
            what, why = ("healthy", verdict.reason) if phase is Phase.APPLIED else ("applied", reason)
            phase = Phase.FAILED
            reason = f"not {what} within {work.assignment.policy.timeout:g} s: {why}"
        elif phase is Phase.APPLIED:
            reason = reason or work.fight()
        said = (phase, verdict.health, reason)
        if self._said is None or self._said[:2] != said[:2]:
            self._since = self._clock.now()
        self._said = said
        self._blockers = blocking.dated(work.blockers(objects), self._blockers, self._clock.now())
        state = State(
            phase,
            reason,
            objects,
            work.drift(),
            work.warnings(),
            self._timeline,
            awaiting=work.consents.awaiting,
            blockers=self._blockers,
        )
        report = account.report(work.assignment, state, self._since)
        if report != self._reported:
            self._reported = report
            self._tools.reporter.report(report)
            self._tools.state_changed(self.key)

    def _note_health(self, work: Reconciler, health: Health) -> None:
        before, self._health = self._health, health
        if self._verdict.phase is not Phase.APPLIED:
            return
        if self._timeline.healthy is None and health in (Health.HEALTHY, Health.SUSPENDED):
            self._stamp(healthy=self._clock.now())
            self._span("agent.healthy", self._timeline.applied, self._timeline.healthy)
        if before is not None and before is not health:
            bad = health in (Health.DEGRADED, Health.MISSING)
            reason = account.health_of(work.objects()).reason
            text = f"{before} -> {health}" + (f": {reason}" if reason else "")
            self._event("health", Severity.WARNING if bad else Severity.INFO, text)

    def _stamp(self, **times: float) -> None:
        self._timeline = msgspec.structs.replace(self._timeline, **times)
        if self._verdict.phase is not Phase.REMOVED:
            self._tools.keeper.keep_timeline(self.key, self.generation, self._timeline)

    def _span(self, name: str, start: float | None, end: float | None) -> None:
        if self._work is not None and start is not None and end is not None:
            attributes = {"yardarm.unit": str(self.key), "yardarm.digest": self._work.assignment.digest}
            record_span(name, self._work.assignment.traceparent, start, end, attributes)

    def _event(self, kind: str, severity: Severity, message: str) -> None:
        self._event_of(Event("", 0.0, kind, severity, message))

    def _event_of(self, event: Event) -> None:
        assignment = self._work.assignment if self._work is not None else None
        self._tools.reporter.event(
            msgspec.structs.replace(
                event,
                namespace=self.key.namespace,
                application=self.key.application,
                commit=assignment.commit if assignment else "",
                trace=trace_id(assignment.traceparent) if assignment else "",
            )
        )
