"""What a kubelet says of containers, well or failing on purpose (see docs/SANDBOX.md for the switches)."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
FAIL = "sandbox.yardarm.dev/fail"
NOT_STARTED = {"ImagePullBackOff", "CreateContainerConfigError"}
"""Failures in which no container ever runs."""
UNREADY = {"never-ready", "probe"}
EXITS = {"CrashLoopBackOff": ("Error", 1), "OOMKilled": ("OOMKilled", 137)}
"""Failures in which containers end: reason and exit code."""

_WHY = {
    "ImagePullBackOff": 'Back-off pulling image "{image}"',
    "CrashLoopBackOff": "back-off 10s restarting failed container={name} pod={pod}",
    "CreateContainerConfigError": 'secret "sandbox" not found',
}
_RESTARTS = 3


def of(pod: Object) -> str:
    """How this pod is meant to fail; empty: not at all."""
    told: str = (pod["metadata"].get("annotations") or {}).get(FAIL, "")
    if told:
        return told
    broken = any(c.get("image", "").endswith(":broken") for c in pod["spec"].get("containers") or ())
    return "ImagePullBackOff" if broken else ""


def containers(pod: Object, failure: str, *, ready: bool, over: bool = False) -> list[Object]:
    """Container statuses; `over`: they have ended and are not started again."""
    now = pod["status"].get("startTime")
    out = []
    for container in pod["spec"].get("containers") or ():
        state, last = _state(pod, container, failure, now, over=over)
        out.append(
            {
                "name": container["name"], "image": container.get("image", ""), "imageID": "", "ready": ready,
                "restartCount": _RESTARTS if last else 0,
                "started": ready or (failure in UNREADY and not over), "state": state, "lastState": last,
            }
        )  # fmt: skip
    return out


def _state(pod: Object, container: Object, failure: str, now: Any, *, over: bool) -> tuple[Object, Object]:
    reason, code = EXITS.get(failure, ("Completed", 0))
    ended = {"terminated": {"exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now}}
    if over:
        return ended, {}
    if not failure or failure in UNREADY:
        return {"running": {"startedAt": now}}, {}
    waiting = "CrashLoopBackOff" if failure in EXITS else failure
    text = _WHY.get(waiting, waiting)
    text = text.format(image=container.get("image"), name=container["name"], pod=pod["metadata"]["name"])
    return {"waiting": {"reason": waiting, "message": text}}, ended if failure in EXITS else {}


def told(pod: Object, failure: str) -> list[tuple[str, str, bool]]:
    """The events of a pod's start, as (reason, message, whether it is a warning)."""
    out: list[tuple[str, str, bool]] = []
    for container in pod["spec"].get("containers") or ():
        name, image = container["name"], container.get("image", "")
        out.append(("Pulling", f'Pulling image "{image}"', False))
        if failure == "ImagePullBackOff":
            out.append(("Failed", f'Failed to pull image "{image}": {image}: not found', True))
            out.append(("Failed", "Error: ErrImagePull", True))
            out.append(("BackOff", f'Back-off pulling image "{image}"', False))
            continue
        out.append(("Pulled", f'Successfully pulled image "{image}"', False))
        if failure == "CreateContainerConfigError":
            out.append(("Failed", f"Error: {_WHY[failure]}", True))
            continue
        out += [("Created", f"Container created: {name}", False), ("Started", f"Container started: {name}", False)]
        if failure in EXITS:
            where = f"{pod['metadata']['name']}_{pod['metadata']['namespace']}({pod['metadata']['uid']})"
            out.append(("BackOff", f"Back-off restarting failed container {name} in pod {where}", True))
        elif failure in UNREADY:
            out.append(("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", True))
    return out
