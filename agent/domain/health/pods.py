"""The rule for pods: which container does not run, and why."""

from __future__ import annotations

from typing import Any

from agent.domain.health.conditions import condition, is_true, said, spec, status
from shared.model import Health, HealthStatus, Manifest

BROKEN = frozenset(
    {
        "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
        "RegistryUnavailable", "ImageInspectError", "CreateContainerConfigError", "CreateContainerError",
        "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError",
    }
)  # fmt: skip
"""Reasons for waiting that do not go away by waiting."""


def pod(manifest: Manifest) -> HealthStatus:
    """Healthy when ready or succeeded; Degraded when failed or when a container cannot start."""
    phase = status(manifest).get("phase")
    if phase == "Succeeded":
        return HealthStatus(Health.HEALTHY)
    if phase == "Failed":
        return HealthStatus(Health.DEGRADED, _failure(manifest))
    if is_true(manifest, "Ready"):
        return HealthStatus(Health.HEALTHY)
    trouble = _trouble(manifest)
    if trouble:
        return HealthStatus(Health.DEGRADED, trouble)
    scheduled = condition(manifest, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        return HealthStatus(Health.PROGRESSING, f"cannot be scheduled: {scheduled.get('message') or 'no reason given'}")
    return HealthStatus(Health.PROGRESSING, said(condition(manifest, "Ready")) or f"is {phase or 'not started'}")


def _containers(manifest: Manifest) -> list[dict[str, Any]]:
    fields = ("initContainerStatuses", "containerStatuses")
    return [each for field in fields for each in status(manifest).get(field) or () if isinstance(each, dict)]


def _trouble(manifest: Manifest) -> str:
    """What keeps a container from running, empty when nothing is known to."""
    for each in _containers(manifest):
        waiting = (each.get("state") or {}).get("waiting") or {}
        last = (each.get("lastState") or {}).get("terminated") or {}
        name = each.get("name")
        if waiting.get("reason") in BROKEN:
            return f"{waiting['reason']}: container {name} ({each.get('image')}): {_why(manifest, each, waiting, last)}"
        if last.get("reason") == "OOMKilled" and not each.get("ready"):
            return f"OOMKilled: {_out_of_memory(manifest, each)}"
    return ""


def _why(manifest: Manifest, each: dict[str, Any], waiting: dict[str, Any], last: dict[str, Any]) -> str:
    if last.get("reason") == "OOMKilled":
        return _out_of_memory(manifest, each)
    if waiting.get("reason") == "CrashLoopBackOff" and last:
        said_last = f": {last['message']}" if last.get("message") else ""
        return f"exited with code {last.get('exitCode')}, {each.get('restartCount', 0)} restarts{said_last}"
    return str(waiting.get("message") or "no message")


def _out_of_memory(manifest: Manifest, each: dict[str, Any]) -> str:
    limit = next(
        (
            ((declared.get("resources") or {}).get("limits") or {}).get("memory")
            for declared in spec(manifest).get("containers") or ()
            if declared.get("name") == each.get("name")
        ),
        None,
    )
    of = f" of {limit}" if limit else ""
    return f"container {each.get('name')} used more than its memory limit{of}, {each.get('restartCount', 0)} restarts"


def _failure(manifest: Manifest) -> str:
    now = status(manifest)
    if now.get("reason") or now.get("message"):
        return said(now)
    for each in _containers(manifest):
        ended = (each.get("state") or {}).get("terminated") or {}
        if ended.get("reason") == "OOMKilled":
            return f"OOMKilled: {_out_of_memory(manifest, each)}"
        if ended.get("exitCode"):
            return (
                f"{ended.get('reason') or 'Error'}: container {each.get('name')} exited with code {ended['exitCode']}"
            )
    return "the pod failed"
