"""How a new revision moves over the clusters: the parts of a document that say so."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from hub.domain.checking import Check
from hub.domain.fields import CountOrPercent, Duration, Model, Name, portion
from hub.domain.principals import PERSON, ROLE
from hub.domain.rendering import RepositoryPath
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


USER = "user:"
"""What stands before the name of a person among approvers; anything else is a role."""
_APPROVER = re.compile(rf"{USER}{PERSON.pattern}|{ROLE.pattern}")


def _approver(text: str) -> str:
    if _APPROVER.fullmatch(text):
        return text
    raise ValueError(f"{text!r} is neither a role, such as sre, nor a person, such as {USER}ann")


Approver = Annotated[
    str, AfterValidator(_approver), WithJsonSchema({"type": "string", "pattern": f"^({_APPROVER.pattern})$"})
]
"""A role, or `user:` and the name of a token's holder."""


class Approve(Model):
    """Who must agree before a stage starts, and how many of them.

    An approval counts for `expires` seconds, for ever with 0. With `not_author` that of whoever wrote or signed the
    commit does not.
    """

    by: Annotated[tuple[Approver, ...], Field(min_length=1)]
    count: Annotated[int, Field(ge=1)] = 1
    expires: Duration = 0.0
    not_author: bool = False


def _distinct(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    titles = [check.title for check in checks]
    twice = next((title for title in titles if titles.count(title) > 1), "")
    if twice:
        raise ValueError(f"two checks are called {twice!r}: give one of them another name")
    return checks


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
    checks: Annotated[tuple[Check, ...], AfterValidator(_distinct)] = ()
    approve: Approve | None = None


class Offline(Model):
    """When a cluster that does not answer leaves its slot in a rollout."""

    after: Duration = 120.0


class Promote(Model):
    """Promotion that is written to Git: an environment gets a commit once the one before it is done with it.

    The first of `environments` follows the source; what the others have is pinned in `<path>/<application>.yaml`, to
    which the hub commits, or for which it makes a branch for review.
    """

    environments: Annotated[tuple[Name, ...], Field(min_length=2)]
    write: Literal["commit", "branch"] = "commit"
    path: RepositoryPath = "promotions"

    @model_validator(mode="after")
    def _each_once(self) -> Promote:
        if len(set(self.environments)) < len(self.environments):
            raise ValueError("an environment stands twice in the order of promotion")
        return self


class Strategy(Model):
    """How a new revision moves over the clusters. `deadline` is per cluster, from assigned to healthy.

    `revert` says whether Git gets a branch that takes back what was rolled back.
    """

    stages: tuple[Stage, ...] = ()
    deadline: Duration = 600.0
    offline: Offline = Offline()
    on_failure: Literal["pause", "rollback", "continue"] = "pause"
    revert: Literal["none", "branch"] = "none"
    on_newer: Literal["supersede", "queue"] = "supersede"
    promotion: Promote | None = None
