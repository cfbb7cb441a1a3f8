"""Checks by a Job: a small unit of its own, beside the application's, whose health is the result. Pure.

Nothing but an assignment changes a cluster, so a Job that is to run there is assigned as everything else is: the same
namespace, a bundle of one object, and a name of its own that no application can have. Its Job is named after the run,
so that another run is another Job, and the one before is pruned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from hub.domain.checks import Measurement
from hub.domain.status import Have, Want, counts_for, span
from shared.errors import DocumentError
from shared.manifests import HOOK_ANNOTATIONS, notes
from shared.messages import Phase
from shared.model import Health, Manifest, UnitKey, Value

PREFIX = "yardarm-check-"
"""How the units of checks are called, and no application is."""

_LONGEST = 63
_HASH = 8
_VERSION = "batch/v1"


class JobRun(Value, frozen=True):
    """One run of the Job at `path`, which is check `number` (from 1) of a stage. `run` differs with every run."""

    application: str
    stage: str
    number: int
    path: str
    run: str


def is_check(application: str) -> bool:
    """Whether a unit of this name is a check and not an application."""
    return application.startswith(PREFIX)


def check_unit(run: JobRun, cluster: str, namespace: str) -> UnitKey:
    """The unit of a check: the same for all runs, so that a newer run takes the place of an older one."""
    readable = f"{PREFIX}{run.application}-{run.stage}-{run.number}"
    identity = f"{run.application}/{run.stage}/{run.number}"
    return UnitKey(cluster, namespace, _marked(readable, identity))


def job_manifest(manifests: Sequence[Manifest], run: JobRun, namespace: str) -> Manifest:
    """The Job as it is assigned: named after the run, and kept until its unit is removed.

    Args:
        manifests: what the file of the check holds.
        run: which run it is.
        namespace: of the application.

    Raises:
        DocumentError: it is not exactly one Job, or one that could not be a check.
    """
    if len(manifests) != 1:
        raise DocumentError(f"{run.path} holds {len(manifests)} objects: a check is one Job")
    (manifest,) = manifests
    kind = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
    if kind != f"{_VERSION} Job":
        raise DocumentError(f"{run.path} holds a {kind}: a check is a {_VERSION} Job")
    hook = next((name for name in HOOK_ANNOTATIONS if notes(manifest).get(name)), "")
    if hook:
        raise DocumentError(f"the Job in {run.path} is a hook ({hook})", hint="a check is no hook: leave it out")
    metadata, spec = manifest["metadata"], manifest.get("spec")
    if metadata.get("namespace", namespace) != namespace:
        message = f"the Job in {run.path} is in the namespace {metadata['namespace']}, its application in {namespace}"
        raise DocumentError(message, hint="leave the namespace out")
    if not isinstance(spec, dict):
        raise DocumentError(f"the Job in {run.path} has no spec")
    if spec.get("suspend"):
        raise DocumentError(f"the Job in {run.path} is suspended: it would never end")
    # A Job that deletes itself leaves nothing to judge; this one goes with its unit.
    kept = {key: value for key, value in spec.items() if key != "ttlSecondsAfterFinished"}
    return {**manifest, "metadata": {**metadata, "name": _marked(metadata["name"], run.run)}, "spec": kept}


def job_result(want: Want, have: Have | None, now: float, *, silent: bool = False) -> Measurement:
    """What the health of a check's unit says of the check.

    A Job that has ended has its result, whatever becomes of its agent. One that runs, or could not be made yet, has
    none until its unit's timeout, and is bad after it; unless the agent is silent, because then nobody knows.

    Args:
        want: what the unit was assigned.
        have: what its agent said last; counts only if it is about that.
        now: unix seconds, as `want.at`.
        silent: whether the agent is not heard.
    """
    if have is None or not counts_for(want, have):
        return Measurement(ok=None, value="waiting", detail="the agent has not reported on the Job yet", at=now)
    if have.health is Health.DEGRADED:
        return Measurement(ok=False, value="failed", detail=have.reason or "the Job failed", at=now)
    if have.phase is Phase.APPLIED and have.health is Health.HEALTHY:
        return Measurement(ok=True, value="complete", detail="", at=now)
    value = "not made" if have.phase in (Phase.FAILED, Phase.BLOCKED) else "running"
    if silent:
        return Measurement(ok=None, value=value, detail="nothing is heard from the agent", at=now)
    if now < want.at + want.timeout:
        return Measurement(ok=None, value=value, detail=have.reason, at=now)
    late = f"not complete within {span(want.timeout)}"
    return Measurement(ok=False, value=value, detail=f"{late}: {have.reason}" if have.reason else late, at=now)


def joint_result(results: Mapping[str, Measurement], now: float) -> Measurement:
    """The result of a check whose Job runs on several clusters: bad if one is, good if all are."""
    bad = {cluster: each for cluster, each in results.items() if each.ok is False}
    open_ = {cluster: each for cluster, each in results.items() if each.ok is None}
    value = f"{sum(each.ok is True for each in results.values())} of {len(results)}"
    telling = bad or open_
    cluster = min(telling, default="")
    detail = f"{cluster}: {telling[cluster].detail or telling[cluster].value}" if telling else ""
    if len(telling) > 1:
        detail += f" (and {len(telling) - 1} more clusters)"
    if not results:
        return Measurement(ok=None, value=value, detail="no cluster runs the Job", at=now)
    return Measurement(ok=False if bad else None if open_ else True, value=value, detail=detail, at=now)


def _marked(readable: str, identity: str) -> str:
    """A name that differs with `identity`, and begins as `readable` does, as far as there is room."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_HASH]
    return f"{readable[: _LONGEST - _HASH - 1].rstrip('-.')}-{digest}"
