"""Jobs: pods that run to completion, retries, and the conditions that say how it ended."""

from __future__ import annotations

from typing import Any

from agent.sandbox.controllers import pods
from agent.sandbox.controllers.loop import Context, owner_of
from agent.sandbox.controllers.pods import PODS
from agent.sandbox.store import NameKey

Object = dict[str, Any]
JOBS = ("batch", "jobs")


def reconcile(context: Context, key: NameKey) -> None:
    """One Job."""
    job = context.get(JOBS, key)
    if job is None or "deletionTimestamp" in job["metadata"]:
        return
    status = job.get("status") or {}
    if any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions") or ()):
        return
    now = context.cluster.now()
    mine = context.owned(job["metadata"]["uid"], PODS)
    active = [pod for pod in mine if pods.is_active(pod)]
    succeeded = sum(pod["status"].get("phase") == "Succeeded" for pod in mine)
    failed = sum(pod["status"].get("phase") == "Failed" for pod in mine)
    if job["spec"].get("suspend"):
        _suspended(context, job, active, now)
        return
    wanted = job["spec"].get("completions", 1)
    over = failed > job["spec"]["backoffLimit"]
    missing = min(wanted - succeeded, job["spec"]["parallelism"]) - len(active)
    for _ in range(0 if over else missing):
        context.create(PODS, pods.from_template(job, job["spec"]["template"], owner_of(job)))
        active.append({"status": {}, "metadata": {}})
    counts = {"active": len(active), "succeeded": succeeded, "failed": failed}
    done = succeeded >= wanted
    job["status"] = {
        **{k: v for k, v in counts.items() if v}, "ready": sum(map(pods.is_ready, active)), "terminating": 0,
        "startTime": status.get("startTime", now), "uncountedTerminatedPods": {},
    }  # fmt: skip
    if done:
        job["status"] |= {"completionTime": now, "conditions": _ended(now, failed=False)}
    elif over:
        job["status"]["conditions"] = _ended(now, failed=True)
    context.write(JOBS, job)


def _condition(kind: str, now: str, reason: str, message: str) -> Object:
    return {
        "type": kind, "status": "True", "lastProbeTime": now, "lastTransitionTime": now, "reason": reason,
        "message": message,
    }  # fmt: skip


def _ended(now: str, *, failed: bool) -> list[Object]:
    if failed:
        text = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        return [_condition("FailureTarget", now, *text), _condition("Failed", now, *text)]
    text = ("CompletionsReached", "Reached expected number of succeeded pods")
    return [_condition("SuccessCriteriaMet", now, *text), _condition("Complete", now, *text)]


def _suspended(context: Context, job: Object, active: list[Object], now: str) -> None:
    for pod in active:
        context.delete(PODS, (pod["metadata"]["namespace"], pod["metadata"]["name"]))
    job["status"] = {
        "conditions": [_condition("Suspended", now, "JobSuspended", "Job suspended")], "ready": 0, "terminating": 0,
        "uncountedTerminatedPods": {},
    }  # fmt: skip
    known = (context.get(JOBS, (job["metadata"]["namespace"], job["metadata"]["name"])) or {}).get("status") or {}
    if not any(c["type"] == "Suspended" for c in known.get("conditions") or ()):
        context.write(JOBS, job)
