"""What a caller may see of the view: everything, or what its grants reach, with the counters of just that.

Who sees everything is answered from the fleet's own counters. For others the counters of applications by environment
are added up (`Tally` of the scope `part`): never unit by unit, but for the clusters of who sees some projects only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from hub.domain.access import reaches
from hub.domain.principals import EVERY, Grant
from hub.domain.records import ApplicationInfo
from hub.domain.rollup import Tally, part
from hub.domain.runs import Hold, Rollout
from hub.view.core import View
from hub.view.records import Key
from shared.messages import Event
from shared.model import Problem

ALL = (Grant("viewer"),)


class Visible:
    """Of one caller. Cheap to make; what it answers follows the view."""

    def __init__(self, view: View, grants: Collection[Grant] = ALL) -> None:
        self._view = view
        self._grants = tuple(grants)
        self.everything = self.reach(EVERY, EVERY)

    @property
    def view(self) -> View:
        """What it is of."""
        return self._view

    @property
    def tag(self) -> str:
        """Tells answers to this caller from answers to others; empty for who sees everything."""
        if self.everything:
            return ""
        return hashlib.sha256(repr(sorted(map(repr, self._grants))).encode()).hexdigest()[:12]

    def reach(self, project: str | None, environment: str | None) -> bool:
        """Whether a grant reaches a project and an environment, as `hub.domain.access.allowed` has them."""
        return any(reaches(grant, project, environment) for grant in self._grants)

    def project_of(self, application: str) -> str:
        """The project of an application; empty where that is not known (any more)."""
        info = self._view.applications.get(application)
        return info.project if info is not None else ""

    def environment_of(self, cluster: str) -> str:
        """The environment that a cluster counts for; empty for one in none."""
        record = self._view.clusters.get(cluster)
        return record.environment if record is not None else ""

    def application(self, name: str) -> bool:
        """An application: that of a project which is seen in any environment. Of one that is gone, nothing is known."""
        return self.everything or self.reach(self.project_of(name), None)

    def applications(self) -> Mapping[str, ApplicationInfo]:
        """All applications that are seen."""
        every = self._view.applications
        return every if self.everything else {name: info for name, info in every.items() if self.application(name)}

    def everywhere(self, name: str) -> bool:
        """An application, in all environments there are or may be."""
        return self.in_environment(name, EVERY)

    def in_environment(self, name: str, environment: str) -> bool:
        """An application in one environment, be it there or not."""
        return self.everything or self.reach(self.project_of(name), environment)

    def cluster(self, name: str) -> bool:
        """A cluster: one whose environment is seen."""
        return self.everything or self.reach(None, self.environment_of(name))

    def clusters(self, names: Iterable[str] | None = None) -> list[str]:
        """Those of these clusters (left out: of all) that there are and that are seen."""
        return [name for name in names or self._view.clusters if name in self._view.clusters and self.cluster(name)]

    def environment(self, name: str) -> bool:
        """An environment."""
        return self.everything or self.reach(None, name)

    def unit(self, key: Key) -> bool:
        """A unit, or what it would be."""
        return self.everything or self.reach(self.project_of(key[2]), self.environment_of(key[0]))

    def event(self, event: Event) -> bool:
        """An event: about an application, a cluster, both, or (for who sees everything) neither."""
        return self.everything or self.about(event.application, event.cluster)

    def about(self, application: str, cluster: str) -> bool:
        """What concerns an application, a cluster or, where both are named, the one on the other."""
        if application and cluster:
            return self.unit((cluster, "", application))
        if application:
            return self.application(application)
        return self.cluster(cluster) if cluster else self.everything

    def problem(self, problem: Problem) -> bool:
        """A finding: with the application it is about, else only for who sees all projects."""
        if problem.application:
            return self.application(problem.application)
        return self.everything or self.reach(EVERY, None)

    def repository(self, name: str) -> bool:
        """A repository: one that an application which is seen comes from."""
        if self.everything or self.reach(EVERY, None):
            return True
        return any(info.source.repo == name for each, info in self._view.applications.items() if self.application(each))

    def holds(self, application: str) -> list[Hold]:
        """The holds of an application that are seen."""
        return [each for each in self._view.rollouts.holds(application) if self._hold(each)]

    def rollout(self, rollout: Rollout) -> bool:
        """A rollout: of an application that is seen in an environment of the rollout."""
        return self.everything or any(self._homes(rollout))

    def whole(self, rollout: Rollout) -> bool:
        """A rollout that is seen, in every environment that takes part."""
        return self.everything or all(self._homes(rollout))

    def pinned(self, rollout: Rollout, cluster: str) -> bool:
        """A cluster's part in a rollout."""
        if self.everything:
            return True
        return self.reach(self.project_of(rollout.application), rollout.plan.clusters[cluster].environment)

    def tally(self, kind: str = "fleet", name: str = "") -> Tally:
        """The counters of the fleet, or of an `environment`, `application` or `cluster`, of the units that are seen."""
        view = self._view
        if self.everything:
            return view.tally(kind, name)
        if kind == "cluster":
            return self._of_cluster(name)
        total = Tally()
        for each in self._tallies(kind, name):
            total.add(each)
        return total

    def _homes(self, rollout: Rollout) -> Iterator[bool]:
        project = self.project_of(rollout.application)
        return (self.reach(project, each) for each in self._view.rollouts.homes(rollout))

    def _tallies(self, kind: str, name: str) -> Iterator[Tally]:
        rollup = self._view.rollup
        if kind == "application":
            project = self.project_of(name)
            for environment in self._environments():
                if self.reach(project, environment):
                    yield rollup.tally(part(name, environment))
            return
        for environment in (name,) if kind == "environment" else self._environments():
            if environment and self.reach(EVERY, environment):
                yield rollup.tally(("environment", environment))
                continue
            for application, info in self._view.applications.items():
                if self.reach(info.project, environment):
                    yield rollup.tally(part(application, environment))

    def _hold(self, hold: Hold) -> bool:
        """A hold of an application that is seen: its own, or on a cluster or in an environment that is seen."""
        if hold.cluster:
            return self.cluster(hold.cluster)
        return not hold.environment or self.environment(hold.environment)

    def _of_cluster(self, name: str) -> Tally:
        environment = self.environment_of(name)
        if self.reach(EVERY, environment):
            return self._view.tally("cluster", name)
        total = Tally()
        record = self._view.clusters.get(name)
        for unit in record.units.values() if record is not None else ():
            if unit.shown is not None and self.reach(self.project_of(unit.key[2]), environment):
                total.change(unit.shown, 1)
        return total

    def _environments(self) -> tuple[str, ...]:
        """All that units are counted for; the empty one is that of clusters in none."""
        return (*(each.name for each in self._view.fleet.environments), "")
