"""The rule for pods: which container does not run, and why, as far as the pod itself tells."""

from __future__ import annotations

from typing import Any

from agent.domain.health import images
from agent.domain.health.conditions import HEALTHY, degraded, progressing
from agent.domain.health.fields import condition, is_true, items, mapping, number, said, spec, status, text
from shared.model import HealthStatus, Manifest

BROKEN = frozenset(
    {
        "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
        "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed", "CreateContainerConfigError",
        "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError",
    }
)  # fmt: skip
"""Reasons for waiting that do not go away by waiting."""

PULLING = frozenset({"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable",
                     "ImageInspectError", "SignatureValidationFailed"})  # fmt: skip
"""Those of them that are about the image."""

_CODES = {
    126: "its command is not executable",
    127: "its command was not found in the image",
    134: "aborted",
    137: "killed",
    139: "segmentation fault",
    143: "ended by SIGTERM",
}
"""What shells and kernels mean by an exit code."""

_SAID = 160
"""Characters of a container's last words that are passed on."""


def pod(manifest: Manifest) -> HealthStatus:
    """Healthy when ready or succeeded; Degraded when failed or when a container cannot start."""
    phase = status(manifest).get("phase")
    if phase == "Succeeded":
        return HEALTHY
    if phase == "Failed":
        return degraded(_failure(manifest))
    if is_true(manifest, "Ready"):
        return HEALTHY
    found = trouble(manifest)
    if found:
        return degraded(found)
    scheduled = condition(manifest, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        return progressing(f"cannot be scheduled: {text(scheduled, 'message') or 'no reason given'}")
    if scheduled.get("reason") == "SchedulingGated":
        return progressing(f"waits for its scheduling gates: {_names(spec(manifest), 'schedulingGates', 'name')}")
    return progressing(gate(manifest) or said(condition(manifest, "Ready")) or f"is {phase or 'not started'}")


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    """The status of every container, init containers first."""
    now = status(manifest)
    return [each for field in ("initContainerStatuses", "containerStatuses") for each in items(now, field)]


def trouble(manifest: Manifest, pulling: str = "") -> str:
    """What keeps a container from running, empty when nothing is known to.

    `pulling` is what events say of its images, which is more than the pod does: that one mostly says "back-off".
    """
    for each in containers(manifest):
        waiting, last = mapping(each, "state", "waiting"), mapping(each, "lastState", "terminated")
        ended = mapping(each, "state", "terminated")
        if text(waiting, "reason") in BROKEN:
            why = _why(manifest, each, pulling)
            return f"{waiting['reason']}: container {each.get('name')} ({_image(manifest, each)}): {why}"
        if "OOMKilled" in (last.get("reason"), ended.get("reason")) and not each.get("ready"):
            return f"OOMKilled: {_out_of_memory(manifest, each)}"
        if number(ended, "exitCode"):
            return f"container {each.get('name')} {exited(ended)}"
    return ""


def _why(manifest: Manifest, each: dict[str, Any], pulling: str) -> str:
    waiting, last = mapping(each, "state", "waiting"), mapping(each, "lastState", "terminated")
    reason, message = text(waiting, "reason"), " ".join(text(waiting, "message").split())
    if last.get("reason") == "OOMKilled":
        return _out_of_memory(manifest, each)
    if reason == "CrashLoopBackOff" and last:
        return exited(last, f", {number(each, 'restartCount')} restarts")
    if reason in PULLING:
        return images.explained(f"{message} {reason}") or images.explained(pulling) or message or "no message"
    return message or "no message"


def exited(ended: dict[str, Any], more: str = "") -> str:
    """How a container ended: its code, what that means, and its last words (its termination message)."""
    code = number(ended, "exitCode")
    meaning = f" ({_CODES[code]})" if code in _CODES else ""
    reason = text(ended, "reason")
    named = f" {reason}" if reason not in ("", "Error", "Completed") else ""
    words = " ".join(text(ended, "message").split())
    said_last = f": {words[-_SAID:]}" if words else ""
    return f"exited with code {code}{meaning}{named}{more}{said_last}"


def _out_of_memory(manifest: Manifest, each: dict[str, Any]) -> str:
    limit = _declared(manifest, each, "resources", "limits").get("memory")
    of = f" of {limit}" if limit else ""
    restarts = number(each, "restartCount")
    return f"container {each.get('name')} used more than its memory limit{of}, {restarts} restarts"


def _declared(manifest: Manifest, each: dict[str, Any], *path: str) -> dict[str, Any]:
    """A map in the container's part of the pod's spec."""
    for field in ("containers", "initContainers"):
        for declared in items(spec(manifest), field):
            if declared.get("name") == each.get("name"):
                return mapping(declared, *path)
    return {}


def _image(manifest: Manifest, each: dict[str, Any]) -> str:
    """The image as it was written; the kubelet's name for it is often only its id."""
    return text(_declared(manifest, each), "image") or text(each, "image") or "no image"


def gate(manifest: Manifest) -> str:
    """The readiness gate a pod with ready containers waits for."""
    if not is_true(manifest, "ContainersReady"):
        return ""
    for gate in items(spec(manifest), "readinessGates"):
        kind = text(gate, "conditionType")
        if not is_true(manifest, kind):
            words = said(condition(manifest, kind))
            return f"its containers are ready, but it waits for readiness gate {kind}" + (f": {words}" if words else "")
    return ""


def _failure(manifest: Manifest) -> str:
    now = status(manifest)
    for each in containers(manifest):
        ended = mapping(each, "state", "terminated")
        if ended.get("reason") == "OOMKilled":
            return f"OOMKilled: {_out_of_memory(manifest, each)}"
        if number(ended, "exitCode") and not text(now, "reason"):
            return f"{text(ended, 'reason') or 'Error'}: container {each.get('name')} {exited(ended)}"
    return said(now) or "the pod failed"


def _names(holder: Any, field: str, key: str) -> str:
    return ", ".join(text(each, key) for each in items(holder, field))
