"""Values that fill a `hub.view.View`, with defaults for everything a test does not care about, and a clock it moves."""

from __future__ import annotations

from typing import Any

from hub.domain.records import (
    ApplicationInfo,
    ClusterInfo,
    Commit,
    EnvironmentInfo,
    Fleet,
    PathTimes,
    Revision,
    SourceInfo,
)
from hub.view import View
from shared.messages import (
    Assignment,
    Drift,
    Event,
    FieldDrift,
    Heartbeat,
    ObjectStatus,
    Phase,
    Policy,
    Report,
    Severity,
    Timeline,
)
from shared.model import Health, ObjectRef
from shared.tasks import Clock

START = 1_700_000_000.0
DIGEST = "d" * 64
COMMIT = Commit("c" * 40, "raise replicas", "Ada", START - 60)
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class FakeClock(Clock):
    """Stands still until told."""

    def __init__(self, at: float = START) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def assignment(cluster: str = "dev-1", application: str = "web", generation: int = 1, **other: Any) -> Assignment:
    given: dict[str, Any] = {
        "v": 1, "cluster": cluster, "namespace": application, "application": application, "generation": generation,
        "digest": DIGEST, "commit": COMMIT.sha, "revision": f"rev-{generation}", "policy": Policy(), "objects": 2,
        "at": START, "traceparent": TRACE,
    }  # fmt: skip
    return Assignment(**(given | other))


def report(cluster: str = "dev-1", application: str = "web", generation: int = 1, **other: Any) -> Report:
    deployment = ObjectRef("apps/v1", "Deployment", application, application)
    given: dict[str, Any] = {
        "v": 1, "cluster": cluster, "namespace": application, "application": application, "generation": generation,
        "digest": DIGEST, "commit": COMMIT.sha, "revision": f"rev-{generation}", "phase": Phase.APPLIED,
        "health": Health.HEALTHY, "at": START + 2, "since": START + 2, "counts": {"Healthy": 2},
        "objects": (ObjectStatus(deployment, Health.HEALTHY), ObjectStatus(ObjectRef("v1", "Service", application, application), Health.HEALTHY)),
        "timeline": Timeline(START + 0.1, START + 0.2, START + 1, START + 2),
    }  # fmt: skip
    return Report(**(given | other))


def drift(since: float = START + 5, corrected: float | None = None, application: str = "web") -> Drift:
    field = FieldDrift("/spec/replicas", 2, 5, "kubectl-edit", since)
    return Drift(
        ObjectRef("apps/v1", "Deployment", application, application), since, "correct", (field,), corrected=corrected
    )


def heartbeat(cluster: str = "dev-1", at: float = START, **other: Any) -> Heartbeat:
    given: dict[str, Any] = {
        "v": 1, "cluster": cluster, "at": at, "interval": 10.0, "agent": "0.1.0", "boot": "b1", "units": 1,
        "states": "", "facts": {"kubernetes": "v1.33.1"},
    }  # fmt: skip
    return Heartbeat(**(given | other))


def event(identity: str, at: float = START, **other: Any) -> Event:
    given: dict[str, Any] = {"type": "apply.done", "severity": Severity.INFO, "message": "2 objects applied"}
    return Event(identity, at, **(given | other))


def fleet(clusters: dict[str, str], **other: Any) -> Fleet:
    """`clusters` is name → environment."""
    infos = tuple(
        ClusterInfo(name, {"env": environment}, environment, (environment,) if environment else ())
        for name, environment in sorted(clusters.items())
    )
    names = list(dict.fromkeys(environment for environment in clusters.values() if environment))
    environments = tuple(
        EnvironmentInfo(name, place * 10, list(clusters.values()).count(name)) for place, name in enumerate(names)
    )
    return Fleet(COMMIT, "https://git.example.com/fleet", infos, environments, **other)


def application(name: str = "web", clusters: tuple[str, ...] = (), **other: Any) -> ApplicationInfo:
    revision = Revision("rev-1", COMMIT, TRACE, PathTimes(START - 60, START - 1, START - 0.5, START - 0.2, START), 1)
    given: dict[str, Any] = {
        "source": SourceInfo("https://git.example.com/fleet", "main", f"apps/{name}"), "commit": COMMIT,
        "history": (revision,), "clusters": clusters,
    }  # fmt: skip
    return ApplicationInfo(name, name, **(given | other))


def sample(clock: Clock | None = None) -> View:
    """Six clusters in three environments, three applications; one unit failed, one drifted, one cluster never heard."""
    view = View(clock or FakeClock())
    clusters = {
        "dev-1": "dev",
        "dev-2": "dev",
        "stage-1": "stage",
        "stage-2": "stage",
        "prod-1": "prod",
        "prod-2": "prod",
    }
    view.fleet_changed(fleet(clusters))
    for name in ("web", "api", "cache"):
        view.application_changed(application(name, tuple(clusters)))
        view.assigned(assignment(cluster, name) for cluster in clusters)
    for cluster in list(clusters)[:-1]:
        view.beat(heartbeat(cluster))
        for name in ("web", "api", "cache"):
            view.reported(report(cluster, name))
    view.reported(report("stage-1", "api", at=START + 9, health=Health.DEGRADED, since=START + 8,
                         reason="ImagePullBackOff: registry/api:broken not found on 2 of 2 pods"))  # fmt: skip
    view.reported(report("dev-2", "web", at=START + 9, drift=(drift(),)))
    for number in range(20):
        view.event(event(f"e{number}", START + number, cluster="dev-1", application="web"))
    return view
