"""What events say: the newest of each object, which ones explain something, and how old they may be."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from agent.domain.health.fields import group_kind, mapping, metadata, text
from shared.model import Manifest

FRESH = 1200.0
"""Seconds for which an event is believed. Controllers repeat a failed creation at least every 16 minutes."""

_SETUP = frozenset(
    {
        "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady",
        "FailedPrepareDynamicResources", "FailedBinding", "FailedCreatePodContainer",
    }
)  # fmt: skip
"""Before the first container starts."""

_CREATION = frozenset({"FailedCreate", "FailedCreatePod", "ReplicaSetCreateError"})
_PROBE = re.compile(r"(Readiness|Liveness|Startup) probe (?:failed|errored[^:]*|warning): ?(.*)", re.DOTALL)
_CONTAINER = re.compile(r"spec\.(?:init|ephemeral)?[cC]ontainers\{(.+)\}")
_CREATING = re.compile(
    r"^(?:\(combined from similar events\): )?(?:Error creating: |create Pod \S+ in \S+ \S+ failed error: )",
    re.IGNORECASE,
)


def when(event: Any) -> float:
    """When it was last seen, in unix seconds; 0 when it does not say."""
    stamps = (
        text(mapping(event, "series"), "lastObservedTime"),
        text(event, "lastTimestamp"),
        text(event, "eventTime"),
        text(event, "firstTimestamp"),
        text(metadata(event) if isinstance(event, dict) else {}, "creationTimestamp"),
    )
    return max((_seconds(stamp) for stamp in stamps if stamp), default=0.0)


def _seconds(stamp: str) -> float:
    try:
        parsed = datetime.datetime.fromisoformat(stamp)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


class Events:
    """The fresh ones among some events, newest first."""

    def __init__(self, events: Iterable[Any], now: float) -> None:
        dated = [(when(each), each) for each in events if isinstance(each, dict)]
        fresh = [pair for pair in dated if now - pair[0] <= FRESH]
        self._newest_first = [each for _, each in sorted(fresh, key=lambda pair: -pair[0])]

    def newest_about(self, about: Manifest) -> str:
        """The newest warning about an object, else the newest event; `Reason: message`."""
        own = self._of(about)
        chosen = next((each for each in own if text(each, "type") == "Warning"), own[0] if own else None)
        return _words(chosen) if chosen is not None else ""

    def creation_failure(self, workload: Manifest) -> str:
        """Why pods cannot be created: quota, admission, a missing service account."""
        name = text(metadata(workload), "name")
        for each in self._newest_first:
            involved = mapping(each, "involvedObject")
            same = text(involved, "uid") == text(metadata(workload), "uid") != ""
            replicas = text(involved, "kind") == "ReplicaSet" and text(involved, "name").startswith(f"{name}-")
            through = replicas and group_kind(workload) in ("Deployment.apps", "Rollout.argoproj.io")
            if text(each, "reason") in _CREATION and (same or through):
                return f"pods cannot be created: {_CREATING.sub('', _message(each))}"
        return ""

    def setup_failure(self, pod: Manifest) -> str:
        """What keeps the pod's sandbox or volumes from being set up."""
        return next((_words(each) for each in self._of(pod) if text(each, "reason") in _SETUP), "")

    def pulling(self, pod: Manifest) -> str:
        """All that was said about pulling the pod's images."""
        return " ".join(_message(each) for each in self._of(pod) if "image" in text(each, "message"))

    def probe_failure(self, pod: Manifest) -> str:
        """Which probe fails, and how."""
        return next(
            (said for each in self._of(pod) if (said := _probe(each, ("Readiness", "Startup", "Liveness")))), ""
        )

    def killing_probe(self, pod: Manifest) -> str:
        """The probe for whose sake a container is restarted."""
        return next((said for each in self._of(pod) if (said := _probe(each, ("Liveness", "Startup")))), "")

    def _of(self, about: Manifest) -> list[Manifest]:
        uid, name, kind = (text(metadata(about), "uid"), text(metadata(about), "name"), text(about, "kind"))
        found = []
        for each in self._newest_first:
            involved = mapping(each, "involvedObject")
            known = text(involved, "uid")
            # Events about nodes and some controllers' carry no uid: then name and kind have to do.
            if known == uid if known and uid else (text(involved, "name"), text(involved, "kind")) == (name, kind):
                found.append(each)
        return found


def _probe(event: Manifest, kinds: tuple[str, ...]) -> str:
    if text(event, "reason") not in ("Unhealthy", "ProbeWarning"):
        return ""
    found = _PROBE.match(text(event, "message"))
    if found is None or found[1] not in kinds:
        return ""
    named = _CONTAINER.match(text(mapping(event, "involvedObject"), "fieldPath"))
    container = f" of container {named[1]}" if named else ""
    return f"{found[1].lower()} probe{container} fails: {' '.join(found[2].split()) or 'no output'}"


def _message(event: Manifest) -> str:
    return " ".join(text(event, "message").split())


def _words(event: Manifest) -> str:
    reason, message = text(event, "reason"), _message(event)
    return f"{reason}: {message}" if reason and message else reason or message
