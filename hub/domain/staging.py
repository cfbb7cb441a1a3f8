"""How a new revision moves over the clusters: the parts of a document that say so."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hub.domain.fields import CountOrPercent, Duration, Model, Name, portion
from hub.domain.selectors import Selector


class Pick(Model):
    """Take only `count` of the clusters that match, evenly over the values of the label `spread`."""

    count: Annotated[int, Field(ge=0)]
    spread: str = ""


class StagePick(Model):
    """Take only `count` of the clusters that match (a number, or a percentage, at least one of them)."""

    count: CountOrPercent
    spread: str = ""

    def of(self, total: int) -> Pick:
        """The same in numbers, where `total` clusters match."""
        count = portion(self.count, total)
        return Pick(count=max(count, 1) if isinstance(self.count, str) and total else count, spread=self.spread)


class Check(Model):
    """Something that must hold for a time before a stage is done. One of prometheus, http and job."""

    prometheus: str = ""
    query: str = ""
    http: str = ""
    job: str = ""
    below: float | None = None
    above: float | None = None
    for_: Annotated[Duration, Field(alias="for")] = 0.0

    @property
    def title(self) -> str:
        """What people call it."""
        return self.query or self.http or self.job

    @model_validator(mode="after")
    def _one_of(self) -> Check:
        if sum(bool(way) for way in (self.prometheus, self.http, self.job)) != 1:
            raise ValueError("a check is one of prometheus, http and job")
        if bool(self.prometheus) != bool(self.query):
            raise ValueError("prometheus (the address) and query belong together")
        return self


class Approve(Model):
    """Who must agree before a stage starts, and how many of them."""

    by: Annotated[tuple[str, ...], Field(min_length=1)]
    count: Annotated[int, Field(ge=1)] = 1


class Stage(Selector):
    """A step of a rollout: the clusters it selects that no earlier stage took.

    `order` is the label by whose values the clusters follow each other, numbers by size; those without it come last,
    and equals by name. `jitter` spreads the starts over that time, so that not all pull the same image at once.
    """

    name: Name
    pick: StagePick | None = None
    order: str = ""
    jitter: Duration = 0.0
    max_concurrent: CountOrPercent = "100%"
    max_failures: CountOrPercent = 0
    soak: Duration = 0.0
    checks: tuple[Check, ...] = ()
    approve: Approve | None = None


class Offline(Model):
    """When a cluster that does not answer leaves its slot in a rollout."""

    after: Duration = 120.0


class Strategy(Model):
    """How a new revision moves over the clusters. `deadline` is per cluster, from assigned to healthy."""

    stages: tuple[Stage, ...] = ()
    deadline: Duration = 600.0
    offline: Offline = Offline()
    on_failure: Literal["pause", "rollback", "continue"] = "pause"
    on_newer: Literal["supersede", "queue"] = "supersede"
