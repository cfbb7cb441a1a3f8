"""Why a workload is not healthy, from its pods and their events: the image, the container, the probe, the quota.

Pure: the edge (`agent.diagnosis`) fetches, this reads. It explains a verdict and never changes one: a pod that
crashes now may be waiting for another that is about to start, and when that has taken too long is for deadlines to
say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from agent.domain.health import pods as pod_rules
from agent.domain.health.events import Events
from agent.domain.health.fields import (
    condition,
    group_kind,
    is_true,
    items,
    mapping,
    metadata,
    number,
    spec,
    status,
    text,
)
from shared.model import Manifest

WITH_PODS = frozenset(
    {
        "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "ReplicationController",
        "Job.batch", "Rollout.argoproj.io",
    }
)  # fmt: skip
"""Kinds whose pods are looked at."""

MAX_TEXT = 240
"""Characters of an explanation: with the verdict's own reason it must fit into a report."""

_ONE = 170
"""Characters of one finding, when there are two."""

_VOLATILE = re.compile(r", \d+ restarts|\d+ restarts")


def selector(workload: Manifest) -> str:
    """The label selector of a workload's pods as the API takes it; empty when there is none (or none to look at)."""
    if group_kind(workload) not in WITH_PODS:
        return ""
    found = mapping(spec(workload), "selector")
    labels = found if group_kind(workload) == "ReplicationController" else mapping(found, "matchLabels")
    parts = [f"{key}={value}" for key, value in labels.items() if isinstance(value, str)]
    for each in items(found, "matchExpressions"):
        key, operator = text(each, "key"), text(each, "operator")
        values = ",".join(str(value) for value in each.get("values") or ())
        forms = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        if operator in forms:
            parts.append(forms[operator])
    return ",".join(parts)


def event_selector(workload: Manifest) -> str:
    """The field selector of the events worth reading.

    For what has pods all warnings of the namespace: they are about objects whose names are not known beforehand.
    """
    if group_kind(workload) in WITH_PODS:
        return "type!=Normal"
    return f"involvedObject.uid={text(metadata(workload), 'uid')}"


def cause(workload: Manifest, pods: Sequence[Manifest], events: Iterable[Any], now: float) -> str:
    """Why the workload is not healthy, in at most `MAX_TEXT` characters; empty when nothing is found.

    Args:
        workload: the live object, of any kind.
        pods: those its selector finds; others' among them are left out. For a Pod and what has none: nothing.
        events: core/v1 Events of its namespace.
        now: unix seconds; old events are not believed.
    """
    told = Events(events, now)
    if group_kind(workload) == "Pod":
        return _clipped(_of_pod(workload, told) or told.newest_about(workload), MAX_TEXT)
    if group_kind(workload) not in WITH_PODS:
        return _clipped(told.newest_about(workload), MAX_TEXT)
    own = [pod for pod in pods if _belongs(pod, workload)]
    creation = "" if is_true(workload, "ReplicaFailure") else told.creation_failure(workload)
    findings = [creation, *_findings(own, told)] if creation else _findings(own, told)
    if len(findings) > 1:
        findings = [_clipped(words, _ONE) for words in findings[:2]]
    return _clipped("; ".join(findings) or told.newest_about(workload), MAX_TEXT)


def joined(reason: str, cause: str) -> str:
    """A verdict's reason with its cause, without saying the same twice."""
    if not cause or cause in reason:
        return reason
    return cause if reason in cause else f"{reason}: {cause}"


def _belongs(pod: Manifest, workload: Manifest) -> bool:
    """Whether the workload made the pod, itself or through a ReplicaSet: selectors of two may overlap."""
    owner = next((each for each in items(metadata(pod), "ownerReferences") if each.get("controller")), {})
    if text(owner, "kind") == "ReplicaSet" and text(workload, "kind") in ("Deployment", "Rollout"):
        return text(owner, "name").startswith(f"{text(metadata(workload), 'name')}-")
    return text(owner, "uid") != "" and text(owner, "uid") == text(metadata(workload), "uid")


def _findings(pods: Sequence[Manifest], events: Events) -> list[str]:
    """The findings on pods that do not run, most common first, each with the number of pods it is true of."""
    alive = [pod for pod in pods if text(status(pod), "phase") not in ("Failed", "Succeeded")]
    failed = [pod for pod in pods if text(status(pod), "phase") == "Failed"]
    found = [(pod, _of_pod(pod, events)) for pod in alive if not is_true(pod, "Ready")]
    found = [(pod, words) for pod, words in found if words]
    # Failed pods of a ReplicaSet have been replaced: they count only when those in their place say nothing.
    found = found or [(pod, pod_rules.pod(pod).reason) for pod in failed]
    alike: Counter[str] = Counter()
    examples: dict[str, tuple[Manifest, str]] = {}
    for pod, words in found:
        key = _VOLATILE.sub("", words.replace(text(metadata(pod), "name") or "\0", "…"))
        alike[key] += 1
        examples.setdefault(key, (pod, words))
    total = len(alive) or len(pods)
    limit = MAX_TEXT if len(alike) == 1 else _ONE
    return [_counted(*examples[key], count, total, limit) for key, count in alike.most_common(2)]


def _counted(pod: Manifest, words: str, count: int, total: int, limit: int) -> str:
    if total == 1:
        return words
    name = f", {text(metadata(pod), 'name')}" if count == 1 else ""
    where = f" (on {count} of {total} pods{name})"
    return _clipped(words, limit - len(where)) + where


def _of_pod(pod: Manifest, events: Events) -> str:
    """What one pod suffers from; empty when it seems to be on its way."""
    broken = pod_rules.trouble(pod, events.pulling(pod))
    if broken:
        killed = events.killing_probe(pod)
        return f"{broken}; {killed}" if killed and not broken.startswith(tuple(pod_rules.PULLING)) else broken
    return (
        _unscheduled(pod)
        or events.setup_failure(pod)
        or events.probe_failure(pod)
        or _restarting(pod)
        or pod_rules.gate(pod)
        or _initializing(pod)
        or events.newest_about(pod)
    )


def _unscheduled(pod: Manifest) -> str:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return pod_rules.pod(pod).reason
    if not scheduled and not text(spec(pod), "nodeName"):
        return "no scheduler has looked at it: is one running?"
    return ""


def _restarting(pod: Manifest) -> str:
    """A container that runs just now, but has died before."""
    for each in pod_rules.containers(pod):
        last = mapping(each, "lastState", "terminated")
        if last and not each.get("ready") and number(each, "restartCount"):
            return f"container {text(each, 'name')} {pod_rules.exited(last)}, {number(each, 'restartCount')} restarts"
    return ""


def _initializing(pod: Manifest) -> str:
    for each in items(status(pod), "initContainerStatuses"):
        sidecar = each.get("started") is True and each.get("ready") is True
        if mapping(each, "state", "running") and not sidecar:
            return f"its init container {text(each, 'name')} is still running"
    return ""


def _clipped(words: str, limit: int) -> str:
    return words if len(words) <= limit else f"{words[: limit - 1]}…"
