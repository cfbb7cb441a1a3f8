"""Hooks: objects that are run at a moment of a revision's way, rather than kept. What runs when, and how it stands.

A run is one revision's pass through its hooks. What it came to is written down on the cluster, with the unit's
inventory: a restart, with or without its disk, does not run a hook again. A hook object carries the run it was made
for, so that one that is still there counts. Pure: making and deleting objects is for the applier.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import orjson

from agent.domain import hints
from agent.domain.desired import Desired, Key
from agent.domain.health import health
from shared.manifests import notes
from shared.model import Health, HealthStatus, Manifest, ObjectRef, Value

RUN = "yardarm.dev/hook-run"
"""Annotation of a hook object: the run it was made for, and the moment."""

_ARGO_POLICY = "argocd.argoproj.io/hook-delete-policy"
_HELM_POLICY = "helm.sh/hook-delete-policy"


class Moment(enum.IntEnum):
    """When a hook has its turn."""

    BEFORE = -1
    DURING = 0
    AFTER = 1
    FAILED = 2
    """When the revision could not be applied."""
    LEAVING = 3
    """Before the objects of an application that leaves are deleted."""
    LEFT = 4
    """After they are gone."""


ON_THE_WAY = (Moment.BEFORE, Moment.DURING, Moment.AFTER)
FAREWELL = (Moment.LEAVING, Moment.LEFT)

_MOMENTS = {
    "presync": Moment.BEFORE, "sync": Moment.DURING, "postsync": Moment.AFTER, "syncfail": Moment.FAILED,
    "predelete": Moment.LEAVING, "postdelete": Moment.LEFT,
    "pre-install": Moment.BEFORE, "pre-upgrade": Moment.BEFORE, "post-install": Moment.AFTER,
    "post-upgrade": Moment.AFTER, "pre-delete": Moment.LEAVING, "post-delete": Moment.LEFT,
}  # fmt: skip
_FIRST_ONLY = frozenset({"pre-install", "post-install"})
_LATER_ONLY = frozenset({"pre-upgrade", "post-upgrade"})


class Run(Value, frozen=True, omit_defaults=True):
    """One revision's way through its hooks. `digest` names the objects, `generation` the assignment that began it."""

    digest: str
    generation: int
    first: bool = True
    """Nothing of the application was there before: hooks for installation run, those for upgrades do not."""
    done: dict[str, str] = {}
    """By hook: empty when it succeeded, else why it failed. Cleared when all is over."""
    failed: str = ""
    """Why the revision could not be applied: hooks for that case run."""
    over: bool = False

    @property
    def mark(self) -> str:
        """Names the run on the objects it makes."""
        return f"{self.digest}.{self.generation}"


class Stand(enum.StrEnum):
    """How a hook stands in a run."""

    WAITING = "waiting"
    """It has yet to be made, and the way is free."""
    STALE = "stale"
    """It has yet to be made; an object of an earlier run is there."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Hook(Value, frozen=True):
    """One hook at one moment."""

    moment: Moment
    each: Desired
    stand: Stand = Stand.WAITING
    reason: str = ""

    @property
    def id(self) -> str:
        """Names it within a run."""
        return f"{self.moment.name.lower()} {'/'.join(self.each.ref.key)}"

    @property
    def to_make(self) -> bool:
        """Whether its object has yet to be made."""
        return self.stand in (Stand.WAITING, Stand.STALE)

    @property
    def verdict(self) -> HealthStatus:
        """As a health, for those who wait for it."""
        if self.stand is Stand.DONE:
            return HealthStatus(Health.HEALTHY)
        if self.stand is Stand.FAILED:
            return HealthStatus(Health.DEGRADED, f"the hook failed: {self.reason}")
        return HealthStatus(Health.PROGRESSING, self.reason or "the hook has not run yet")


def moments(manifest: Manifest, *, first: bool) -> tuple[Moment, ...]:
    """The moments of a hook, in order; empty for one that is not run (tests, rollbacks, Skip)."""
    unwanted = _LATER_ONLY if first else _FIRST_ONLY
    names = {name.lower() for name in hints.hooks(manifest)} - unwanted
    return tuple(sorted({_MOMENTS[name] for name in names if name in _MOMENTS}))


def never(manifest: Manifest) -> str:
    """Why a hook is not run at all, empty when it is at some time."""
    names = hints.hooks(manifest)
    if any(name.lower() == "skip" for name in names):
        return "its hook annotation says Skip"
    if any(name.lower() in _MOMENTS for name in names):
        return ""
    return f"it is a hook for {', '.join(names)}, which is not run on apply"


def is_farewell(manifest: Manifest) -> bool:
    """Whether it is a hook that runs when the application leaves."""
    return bool(set(moments(manifest, first=True)) & set(FAREWELL))


def farewells(lines: Iterable[bytes]) -> list[Manifest]:
    """The hooks of a bundle that run when the application leaves. Few lines are decoded for it."""
    words = (b"delete", b"Delete")
    likely = (line for line in lines if b"/hook" in line and any(word in line for word in words))
    return [manifest for manifest in map(orjson.loads, likely) if is_farewell(manifest)]


def policies(manifest: Manifest) -> frozenset[str]:
    """When its object is deleted: `before`, `succeeded`, `failed`. Without a word: before it is made anew."""
    noted = notes(manifest)
    text = str(noted.get(_ARGO_POLICY) or noted.get(_HELM_POLICY) or "").lower().replace("-", "")
    known = {"beforehookcreation": "before", "hooksucceeded": "succeeded", "hookfailed": "failed"}
    found = {known[part.strip()] for part in text.split(",") if part.strip() in known}
    return frozenset(found or {"before"})


def content_digest(lines: Iterable[bytes]) -> str:
    """Names the objects of a bundle, whatever its policy: a changed timeout runs no migration."""
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]


def begun(before: Run | None, digest: str, generation: int, *, anything_there: bool) -> Run:
    """The run for these objects: the one that was under way, or a new one.

    `anything_there` counts when nothing is known of an earlier run.
    """
    if before is not None and before.digest == digest:
        return before
    first = (before.first and not before.over) if before is not None else not anything_there
    return Run(digest, generation, first)


def at(found: Iterable[Desired], wanted: Sequence[Moment], run: Run, live: Mapping[Key, Manifest]) -> list[Hook]:
    """The hooks of these moments and how they stand; of a run that is over, all are done."""
    return [
        stand(Hook(moment, each), run, live.get(each.ref.key))
        for each in found
        for moment in moments(each.manifest, first=run.first)
        if moment in wanted
    ]


def stand(hook: Hook, run: Run, live: Manifest | None) -> Hook:
    """The hook as it stands in the run."""
    if run.over:
        return msgspec.structs.replace(hook, stand=Stand.DONE)
    known = run.done.get(hook.id)
    if known is not None:
        return msgspec.structs.replace(hook, stand=Stand.FAILED if known else Stand.DONE, reason=known)
    if live is None:
        return msgspec.structs.replace(hook, stand=Stand.WAITING)
    if not _counts(notes(live).get(RUN, ""), hook.moment, run):
        anew = "before" in policies(hook.each.manifest) or hook.each.ref.group_kind in _RUN_ONCE
        return msgspec.structs.replace(hook, stand=Stand.STALE if anew else Stand.WAITING)
    how, reason = completion(live)
    return msgspec.structs.replace(hook, stand=how, reason=reason)


def _counts(mark: str, moment: Moment, run: Run) -> bool:
    return mark == f"{run.mark}.{moment.name.lower()}"


_RUN_ONCE = frozenset({"Job.batch", "Pod", "Workflow.argoproj.io"})
"""Kinds that do not run again when they are applied again."""


def completion(live: Manifest) -> tuple[Stand, str]:
    """Whether a hook object has done its work. What does not run, is done when it is healthy."""
    kind, status = live.get("kind"), live.get("status") or {}
    verdict = health(live)
    if kind == "Job":
        ended = {c.get("type"): c for c in status.get("conditions") or () if c.get("status") == "True"}
        if "Failed" in ended:
            return Stand.FAILED, _said(ended["Failed"]) or verdict.reason
        return (Stand.DONE, "") if "Complete" in ended else (Stand.RUNNING, verdict.reason)
    if kind == "Pod" and (live.get("spec") or {}).get("restartPolicy") in ("Never", "OnFailure"):
        phase = status.get("phase")
        if phase == "Failed":
            return Stand.FAILED, verdict.reason or str(status.get("message") or "the pod failed")
        return (Stand.DONE, "") if phase == "Succeeded" else (Stand.RUNNING, verdict.reason or f"its phase is {phase}")
    if kind == "Workflow":
        phase = status.get("phase")
        if phase in ("Failed", "Error"):
            return Stand.FAILED, str(status.get("message") or phase)
        return (Stand.DONE, "") if phase == "Succeeded" else (Stand.RUNNING, str(status.get("message") or ""))
    if verdict.health in (Health.HEALTHY, Health.SUSPENDED):
        return Stand.DONE, ""
    return (Stand.FAILED if verdict.health is Health.DEGRADED else Stand.RUNNING), verdict.reason


def _said(condition: Mapping[str, object]) -> str:
    parts = (condition.get("reason"), condition.get("message"))
    return ": ".join(str(part) for part in parts if part)


def to_send(hook: Hook, run: Run) -> Desired:
    """The object as it is made: with the run and moment it is made for."""
    manifest = hook.each.manifest
    metadata = manifest["metadata"]
    noted = {**(metadata.get("annotations") or {}), RUN: f"{run.mark}.{hook.moment.name.lower()}"}
    content = {**manifest, "metadata": {**metadata, "annotations": noted}}
    return msgspec.structs.replace(hook.each, manifest=content)


def noted(run: Run, found: Iterable[Hook]) -> Run:
    """The run with what has ended meanwhile.

    A failure is written down only where the object goes: otherwise the object itself says so, and whoever deletes it
    has the hook run again.
    """
    done = dict(run.done)
    for hook in found:
        if hook.stand is Stand.DONE or (hook.stand is Stand.FAILED and "failed" in policies(hook.each.manifest)):
            done.setdefault(hook.id, hook.reason if hook.stand is Stand.FAILED else "")
    return run if done == run.done or run.over else msgspec.structs.replace(run, done=done)


def ended(run: Run) -> Run:
    """The run when everything is applied and no hook is left."""
    return Run(run.digest, run.generation, run.first, over=True)


def spent(found: Sequence[Hook], live: Mapping[Key, Manifest], run: Run) -> tuple[ObjectRef, ...]:
    """Objects to delete as their policy says, once no hook of their moment is at work any more.

    Others of the moment may need them until then, as a Job needs its ServiceAccount.
    """
    at_work = {hook.moment for hook in found if hook.stand not in (Stand.DONE, Stand.FAILED)}
    failed = {hook.moment for hook in found if hook.stand is Stand.FAILED}
    result = []
    for hook in found:
        there = live.get(hook.each.ref.key)
        if there is None or (there.get("metadata") or {}).get("deletionTimestamp"):
            continue
        if not _counts(notes(there).get(RUN, ""), hook.moment, run):
            continue
        finished = hook.moment not in at_work or hook.moment in failed
        wanted = {Stand.DONE: "succeeded", Stand.FAILED: "failed"}.get(hook.stand)
        if finished and wanted in policies(hook.each.manifest):
            result.append(hook.each.ref)
    return tuple(dict.fromkeys(result))
