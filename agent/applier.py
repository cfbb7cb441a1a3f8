"""Carries out a plan against the API server, and turns what goes wrong into outcomes.

Objects of a step go out in parallel; one that fails does not hold up the others. Trouble that passes is tried again
on the spot a few times; what is left becomes an outcome that says how soon another pass makes sense. Nothing waits
here for health: a gate that is not up ends the pass, and the unit plans anew when something changes. Cancelling is
safe at any await: every write is idempotent and the inventory was written before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from agent.domain import applyset, migration, replacing
from agent.domain.desired import Desired, Key
from agent.domain.order import Gate
from agent.domain.outcome import Held, Outcome, Pass, Retry
from agent.domain.reclaiming import reclaimed
from agent.domain.secrecy import scrubbed
from agent.domain.stepping import Step
from agent.kube.client import Kube
from agent.kube.errors import (
    AccessError,
    ApiError,
    Conflict,
    ConflictKind,
    Forbidden,
    Invalid,
    NotFound,
    Throttled,
    UnknownKind,
    Unreachable,
)
from shared.messages import Action
from shared.model import Health, HealthStatus, Manifest, ObjectRef
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""Requests per object and pass while the trouble is of the passing kind."""
ABSENT = "1"
"""A resourceVersion that no object has: sent along, the server makes the object anew or refuses."""
GONE_WITHIN = 10.0
"""Seconds to wait for an object that is being replaced to disappear."""


Up = Callable[[ObjectRef, int], Awaitable[HealthStatus]]
Done = Callable[[Outcome], None]


class Lanes:
    """How many writes may be in flight: of one unit, and of all units that share `common`.

    A unit whose requests hang so cannot take all the room.
    """

    def __init__(self, own: int, common: asyncio.Semaphore) -> None:
        self._own = asyncio.Semaphore(own)
        self._common = common

    async def __aenter__(self) -> None:
        await self._own.acquire()
        try:
            await self._common.acquire()
        except BaseException:
            self._own.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._common.release()
        self._own.release()


class Applier:
    """Writes of one unit, at most as many at the same time as `lanes` allow."""

    def __init__(self, kube: Kube, clock: Clock, lanes: Lanes) -> None:
        self._kube = kube
        self._clock = clock
        self._lanes = lanes

    async def apply(
        self, steps: Iterable[Step], live: Mapping[Key, Manifest], force: Callable[[Desired], bool], up: Up, done: Done
    ) -> Pass:
        """Takes the steps, leaving out what waits for something. `done` is told of each outcome as it comes."""
        result = Pass()
        for step in steps:
            free = await self._free(step, result, up)
            async with asyncio.TaskGroup() as group:
                for each in free:
                    before, anew = live.get(each.ref.key), each.ref.key in step.anew
                    group.create_task(self._apply_one(each, before, force(each), anew, result, done))
            if result.cluster_down:
                break
        return result

    async def prune(self, refs: Iterable[ObjectRef], live: Mapping[Key, Manifest]) -> list[Outcome]:
        """Deletes one group of objects, exactly those that were looked at."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._prune_one(ref, live.get(ref.key) or {})) for ref in refs]
        return [task.result() for task in tasks]

    async def _free(self, step: Step, result: Pass, up: Up) -> list[Desired]:
        """The objects of a step that need not wait; the others are noted as held."""
        judged: dict[int, tuple[ObjectRef, str] | None] = {}
        free = []
        for each in step.objects:
            for gate in step.gates.get(each.ref.key, ()):
                # Objects of one turn share their gates.
                if id(gate) not in judged:
                    judged[id(gate)] = await _shut(gate, result, up)
                if (closed := judged[id(gate)]) is not None:
                    result.held[each.ref.key] = Held(each.ref, closed[0], gate.why, closed[1])
                    break
            else:
                free.append(each)
        if any(each.ref.key in step.gates and not self._served(each) for each in free):
            await self._look_again()
        return free

    async def release(self, refs: Iterable[ObjectRef], set_id: str) -> list[Outcome]:
        """Lets members of an ApplySet go: without its label and our name on any field, for whoever comes to have."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._release_one(ref, set_id)) for ref in refs]
        return [task.result() for task in tasks]

    async def _release_one(self, ref: ObjectRef, set_id: str) -> Outcome:
        backoff = Backoff(0.3, 5)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._lanes:
                    live = await self._kube.get(ref)
                    if live is not None and applyset.part_of(live) == set_id:
                        await self._kube.disown(live, applyset.PART_OF, migration.disowned(live))
                return Outcome(ref, Action.CONFIGURED)
            except (ApiError, AccessError) as error:
                reason, retry = _explained(error)
                if not (_passes(error) or isinstance(error, Conflict)) or attempt == ATTEMPTS:
                    return Outcome(ref, Action.FAILED, f"cannot be let go: {reason}", retry)
                await self._clock.sleep(backoff.next(getattr(error, "retry_after", None)))
        raise AssertionError  # the last attempt returns

    def _served(self, each: Desired) -> bool:
        try:
            self._kube.discovery.find(each.ref.api_version, each.ref.kind)
        except UnknownKind:
            return False
        return True

    async def _apply_one(
        self,
        each: Desired,
        before: Manifest | None,
        force: bool,  # noqa: FBT001
        anew: bool,  # noqa: FBT001
        result: Pass,
        done: Done,
    ) -> None:
        if anew and before is not None:
            failed = Outcome(each.ref, Action.FAILED, "it has to be made anew", Retry.SLOWLY)
            outcome = await self._recreate(each, before, failed)
        else:
            outcome = await self._insist(each, before, force, result)
        outcome = _without_secrets(outcome, each)
        result.outcomes[each.ref.key] = outcome
        if outcome.no_answer:
            result.cluster_down = outcome.reason
        done(outcome)

    async def _insist(self, each: Desired, before: Manifest | None, force: bool, result: Pass) -> Outcome:  # noqa: FBT001
        """Applies one object, trying again while the trouble is of the passing kind."""
        backoff = Backoff(0.3, 5)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._lanes:
                    if result.cluster_down:
                        return Outcome(each.ref, Action.PENDING, "the API server does not answer", Retry.SOON)
                    return await self._put(each, before, force=force)
            except (ApiError, AccessError) as error:
                if isinstance(error, Conflict) and not force and _only_tools(error):
                    force = True
                    continue
                if isinstance(error, Invalid) and force and attempt == 1 and await self._reclaim(each, error):
                    continue
                failed = await self._failed(each, before, error)
                if not _passes(error) or attempt == ATTEMPTS:
                    return failed
                await self._clock.sleep(backoff.next(failed.retry_after))
            except ValueError as error:
                return Outcome(each.ref, Action.FAILED, str(error), Retry.SLOWLY)
        return Outcome(each.ref, Action.FAILED, "another tool keeps taking the object back", Retry.SLOWLY)

    async def _failed(self, each: Desired, before: Manifest | None, error: ApiError | AccessError) -> Outcome:
        """What a refusal comes to, when all that can be done about it right now is done."""
        failed = _outcome(each, error)
        if isinstance(error, Invalid) and before is not None and _replaceable(each, error):
            return await self._recreate(each, before, failed)
        if isinstance(error, UnknownKind):
            await self._look_again()
        return failed

    async def _put(self, each: Desired, before: Manifest | None, *, force: bool) -> Outcome:
        """Applies one object as it was seen; one that has changed hands since is left for the next pass to judge.

        Raises:
            Conflict: others own fields of it, or it changes all the time.
            ApiError: it cannot be done.
        """
        try:
            return await self._take_and_send(each, before, force=force)
        except Conflict as error:
            if error.kind_of_conflict is not ConflictKind.STALE:
                raise
            live = await self._kube.get(each.ref)
            # Ours already: an apply whose answer was lost.
            expected = {applyset.part_of(each.manifest), *([applyset.part_of(before)] if before is not None else [])}
            if live is not None and applyset.part_of(live) not in expected:
                return Outcome(each.ref, Action.PENDING, "somebody else has just made or taken it", Retry.SOON)
        return await self._take_and_send(each, live, force=force)

    async def _take_and_send(self, each: Desired, before: Manifest | None, *, force: bool) -> Outcome:
        if before is not None and not migration.applied_by_us(before):
            before = await self._take_over(each, before)
        return await self._sent(each, before, force=force)

    async def _sent(self, each: Desired, before: Manifest | None, *, force: bool) -> Outcome:
        warnings: list[str] = []
        manifest = _only_if_still(before, each.manifest)
        live = await self._kube.apply(manifest, force=force, on_warning=warnings.append)
        return _applied(each, before, live, tuple(warnings))

    async def _take_over(self, each: Desired, before: Manifest) -> Manifest:
        """Makes the fields ours that the tool wrote which had the object until now; values stay as they are.

        Returns the object as it is then.

        Raises:
            Conflict: it has changed meanwhile.
            ApiError: it cannot be done.
        """
        fields = migration.migrated(each.manifest, before)
        if fields is None:
            return before
        taken = await self._kube.set_managed_fields(before, fields)
        log.info("taken over", extra={"object": str(each.ref), "from": ", ".join(migration.tools(before))})
        return taken

    async def _reclaim(self, each: Desired, refusal: Invalid) -> bool:
        """Takes over list items that an edit put in the way of ours, as a changed Service port does."""
        try:
            live = await self._kube.get(each.ref)
            blamed = [cause.field for cause in refusal.causes]
            fields = reclaimed(each.manifest, live, blamed) if live is not None else None
            if live is None or fields is None:
                return False
            await self._kube.set_managed_fields(live, fields)
        except (ApiError, AccessError) as error:
            reason = scrubbed(str(error), each.manifest, each.hidden)
            log.info("list items cannot be taken over", extra={"object": str(each.ref), "error": reason})
            return False
        return True

    async def _look_again(self) -> None:
        try:
            await self._kube.rediscover()
        except (ApiError, AccessError) as error:
            log.debug("discovery failed", extra={"error": str(error)})

    async def _recreate(self, each: Desired, before: Manifest, failed: Outcome) -> Outcome:
        """Replaces an object whose change was refused, as its annotation allows."""
        deleted = await self._prune_one(each.ref, before)
        if deleted.failed:
            return msgspec.structs.replace(failed, reason=f"{failed.reason}; replacing it failed too: {deleted.reason}")
        until = self._clock.monotonic() + GONE_WITHIN
        try:
            while await self._kube.get(each.ref) is not None:
                if self._clock.monotonic() > until:
                    return Outcome(
                        each.ref, Action.PENDING, "is being replaced: waits for the old one to go", Retry.SOON
                    )
                await self._clock.sleep(0.2)
            return await self._sent(each, None, force=False)
        except (ApiError, AccessError) as error:
            return _outcome(each, error)

    async def _prune_one(self, ref: ObjectRef, live: Manifest) -> Outcome:
        uid = (live.get("metadata") or {}).get("uid")
        backoff = Backoff(0.3, 5)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._lanes:
                    await self._kube.delete(ref, uid=uid)
                return Outcome(ref, Action.PRUNED)
            except UnknownKind:
                return Outcome(ref, Action.PRUNED, "its kind is not served any more")
            except Conflict:
                return Outcome(ref, Action.SKIPPED, "another object has taken its name")
            except (ApiError, AccessError) as error:
                reason, retry = _explained(error)
                if not _passes(error) or attempt == ATTEMPTS:
                    return Outcome(ref, Action.FAILED, f"cannot be deleted: {reason}", retry)
                await self._clock.sleep(backoff.next(getattr(error, "retry_after", None)))
        raise AssertionError  # the last attempt returns


def _without_secrets(outcome: Outcome, each: Desired) -> Outcome:
    """The outcome as it may be told: a server quotes what it refuses, or warns of."""
    if not each.hidden or not (outcome.reason or outcome.warnings):
        return outcome
    reason, *warnings = (scrubbed(text, each.manifest, each.hidden) for text in (outcome.reason, *outcome.warnings))
    return msgspec.structs.replace(outcome, reason=reason, warnings=tuple(warnings))


async def _shut(gate: Gate, result: Pass, up: Up) -> tuple[ObjectRef, str] | None:
    """What keeps a gate shut, and why; None when it is open."""
    for ref in gate.refs:
        held = result.held.get(ref.key)
        if held is not None:
            return held.cause, held.reason
        outcome = result.outcomes.get(ref.key)
        if outcome is not None and (outcome.failed or outcome.action is Action.PENDING):
            return ref, outcome.reason
        verdict = await up(ref, gate.stage)
        if verdict.health not in (Health.HEALTHY, Health.SUSPENDED):
            return ref, verdict.reason or str(verdict.health)
    return None


def _applied(each: Desired, before: Manifest | None, live: Manifest, warnings: tuple[str, ...]) -> Outcome:
    action = Action.CREATED
    if before is not None:
        same = _version(before) == _version(live)
        action = Action.UNCHANGED if same else Action.CONFIGURED
    return Outcome(each.ref, action, digest=each.digest, live=live, warnings=warnings)


def _only_if_still(before: Manifest | None, manifest: Manifest) -> Manifest:
    """The manifest, to be refused when the object is not as it was seen: another may have made or taken it since.

    What is a member already needs no such care, and its status may change all the time.
    """
    if before is not None and applyset.part_of(before) == applyset.part_of(manifest):
        return manifest
    version = ABSENT if before is None else _version(before)
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}


def _only_tools(error: Conflict) -> bool:
    """Whether nobody is in the way but tools that we take over from, as one that wrote before managedFields were."""
    return error.kind_of_conflict is ConflictKind.FIELDS and migration.only_tools(
        cause.manager for cause in error.causes
    )


def _immutable(error: Invalid) -> bool:
    return replacing.immutable([cause.message for cause in error.causes] or [error.message])


def _replaceable(each: Desired, error: Invalid) -> bool:
    return _immutable(error) and replacing.may_replace(each.ref, each.manifest)


def _version(manifest: Manifest) -> object:
    return (manifest.get("metadata") or {}).get("resourceVersion")


def _passes(error: Exception) -> bool:
    """Whether trying again right away, a few times, makes sense."""
    if isinstance(error, Conflict):
        return error.kind_of_conflict is not ConflictKind.FIELDS
    return isinstance(error, Unreachable | UnknownKind)


def _outcome(each: Desired, error: ApiError | AccessError) -> Outcome:
    reason, retry = _explained(error)
    if isinstance(error, Invalid) and _immutable(error):
        fields = ", ".join(dict.fromkeys(cause.field for cause in error.causes if cause.field))
        what = f"{fields} cannot be changed in a {each.ref.kind} that exists" if fields else "it cannot be changed"
        reason = f"{what}: {replacing.advice(each.ref)} ({reason})"
    return Outcome(
        each.ref,
        Action.FAILED,
        reason,
        retry,
        retry_after=getattr(error, "retry_after", None),
        no_answer=isinstance(error, Unreachable) and error.status == 0,
    )


def _explained(error: ApiError | AccessError) -> tuple[str, Retry]:
    """What to tell a person, and how soon to try again."""
    text = str(error)
    match error:
        case Conflict() if error.kind_of_conflict is ConflictKind.FIELDS:
            owners = sorted({f"{cause.field} by {cause.manager}" for cause in error.causes})
            return (
                f"conflict: {', '.join(owners)}. Remove them from Git, or there, or set sync.adopt to always",
                Retry.SLOWLY,
            )
        case Conflict() | Throttled() | UnknownKind():
            return text, Retry.SOON
        case Unreachable(status=0):
            return f"no answer from the API server: {text}", Retry.SOON
        case Unreachable():
            return text, Retry.SOON
        case Forbidden(terminating=True):
            return text, Retry.SOON
        case Forbidden() if error.verb:
            where = f" in namespace {error.namespace}" if error.namespace else ""
            return f"the agent may not {error.verb} {error.resource}{where}: grant it to {error.user}", Retry.SLOWLY
        case NotFound(kind="namespaces"):
            return f"namespace {error.name} does not exist: add it to the application", Retry.SOON
        case _:
            return text, Retry.SLOWLY
