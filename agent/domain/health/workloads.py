"""Rules for what runs pods, and for what scales and protects it."""

from __future__ import annotations

from agent.domain.health.conditions import HEALTHY, degraded, progressing, suspended
from agent.domain.health.fields import condition, is_false, is_true, mapping, number, said, spec, status, text
from shared.model import HealthStatus, Manifest


def _unseen(manifest: Manifest) -> HealthStatus | None:
    """Built-in controllers always set observedGeneration: without it the numbers below mean nothing yet."""
    if "observedGeneration" in status(manifest):
        return None
    return progressing("its controller has not seen it yet")


def _replica_failure(manifest: Manifest) -> HealthStatus | None:
    if not is_true(manifest, "ReplicaFailure"):
        return None
    return degraded(said(condition(manifest, "ReplicaFailure")) or "pods cannot be created")


def deployment(manifest: Manifest) -> HealthStatus:
    """Healthy when every wanted replica is of this generation and available, and no old one is left."""
    if spec(manifest).get("paused") is True:
        return suspended("spec.paused is true: changes are not rolled out")
    failure = _unseen(manifest) or _replica_failure(manifest)
    if failure is not None:
        return failure
    progress = condition(manifest, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return degraded(said(progress))
    return _replicas(manifest)


def _replicas(manifest: Manifest) -> HealthStatus:
    now = status(manifest)
    wanted = number(spec(manifest), "replicas", 1)
    updated, available = number(now, "updatedReplicas"), number(now, "availableReplicas")
    if updated < wanted:
        return progressing(f"{updated} of {wanted} replicas are updated")
    if number(now, "replicas") > updated:
        return progressing(f"{number(now, 'replicas') - updated} old replicas are still to end")
    if available < updated:
        return progressing(f"{available} of {wanted} replicas are available")
    return HEALTHY


def stateful_set(manifest: Manifest) -> HealthStatus:
    """Healthy when every replica is ready and, unless updates wait for deletion or a partition, of this revision."""
    early = _unseen(manifest)
    if early is not None:
        return early
    wanted, now = number(spec(manifest), "replicas", 1), status(manifest)
    ready = number(now, "readyReplicas")
    if ready < wanted:
        return progressing(f"{ready} of {wanted} replicas are ready")
    if number(now, "replicas") > wanted:
        return progressing(f"{number(now, 'replicas') - wanted} replicas are still to end")
    strategy = mapping(spec(manifest), "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return HEALTHY
    partition = number(mapping(strategy, "rollingUpdate"), "partition")
    to_update, updated = max(0, wanted - partition), number(now, "updatedReplicas")
    if updated < to_update and now.get("updateRevision") != now.get("currentRevision"):
        return progressing(f"{updated} of {to_update} replicas are updated")
    if number(spec(manifest), "minReadySeconds") and number(now, "availableReplicas") < wanted:
        return progressing(f"{number(now, 'availableReplicas')} of {wanted} replicas are available")
    return HEALTHY


def daemon_set(manifest: Manifest) -> HealthStatus:
    """Healthy when every node that should run it has an updated, available pod."""
    early = _unseen(manifest)
    if early is not None:
        return early
    now = status(manifest)
    wanted, updated = number(now, "desiredNumberScheduled"), number(now, "updatedNumberScheduled")
    if updated < wanted and text(mapping(spec(manifest), "updateStrategy"), "type") != "OnDelete":
        return progressing(f"{updated} of {wanted} pods are updated")
    available = number(now, "numberAvailable")
    if available < wanted:
        return progressing(f"{available} of {wanted} pods are available")
    return HEALTHY


def replica_set(manifest: Manifest) -> HealthStatus:
    """Healthy when every wanted replica is available."""
    early = _unseen(manifest) or _replica_failure(manifest)
    if early is not None:
        return early
    wanted, now = number(spec(manifest), "replicas", 1), status(manifest)
    if number(now, "availableReplicas") < wanted:
        return progressing(f"{number(now, 'availableReplicas')} of {wanted} replicas are available")
    if number(now, "replicas") > wanted:
        return progressing(f"{number(now, 'replicas') - wanted} replicas are still to end")
    return HEALTHY


def job(manifest: Manifest) -> HealthStatus:
    """Healthy when complete; a Job that was only started proves nothing yet."""
    for kind in ("Failed", "FailureTarget"):
        if is_true(manifest, kind):
            return degraded(said(condition(manifest, kind)) or "the job failed")
    if is_true(manifest, "Complete"):
        return HEALTHY
    if spec(manifest).get("suspend") is True:
        return suspended("spec.suspend is true")
    now = status(manifest)
    wanted = number(spec(manifest), "completions", number(spec(manifest), "parallelism", 1))
    failed = f", {number(now, 'failed')} failed" if number(now, "failed") else ""
    return progressing(
        f"{number(now, 'succeeded')} of {wanted} pods succeeded, {number(now, 'active')} running{failed}"
    )


def cron_job(manifest: Manifest) -> HealthStatus:
    """A schedule is healthy by being there.

    Its jobs are objects of their own, and a run that failed last night must not hold up the commit that mends it.
    """
    if spec(manifest).get("suspend") is True:
        return suspended("spec.suspend is true: nothing is started")
    return HEALTHY


def autoscaler(manifest: Manifest) -> HealthStatus:
    """Degraded when it cannot scale its target; missing metrics are Progressing, as they are for every new pod."""
    if is_false(manifest, "AbleToScale"):
        return degraded(said(condition(manifest, "AbleToScale")))
    active = condition(manifest, "ScalingActive")
    if active.get("status") == "False" and active.get("reason") != "ScalingDisabled":
        if text(active, "reason").startswith("Invalid"):
            return degraded(said(active))
        return progressing(said(active))
    return HEALTHY


def disruption_budget(manifest: Manifest) -> HealthStatus:
    """Healthy once it is worked out. Whether its pods are well is their workload's affair, as in kstatus.

    A budget for pods that are not there (an operator that is yet to make them, say) must not hold up a unit.
    """
    allowed = condition(manifest, "DisruptionAllowed")
    if allowed.get("reason") == "SyncFailed":
        return degraded(said(allowed))
    return HEALTHY
