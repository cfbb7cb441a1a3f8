"""Shapes that answers on several subjects share."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from hub.domain.status import State

T = TypeVar("T")

Time = float
"""Seconds since 1970."""


class Shape(BaseModel):
    """Base: camelCase outside, nothing undocumented."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Page(Shape, Generic[T]):
    """One page of a list. `next` is the `cursor` of the next page."""

    items: list[T]
    next: str | None


class Counts(Shape):
    """Units by shown state."""

    model_config = ConfigDict(alias_generator=None)

    total: int
    Failed: int
    Blocked: int
    Drifted: int
    Stale: int
    Progressing: int
    Waiting: int
    Paused: int
    Ready: int


class Reason(Shape):
    """A reason that units give, and how many give it."""

    state: State
    reason: str
    units: int


class ProblemCounts(Shape):
    """Problems by severity."""

    error: int
    warning: int


class Signature(Shape):
    """Who signed a commit, as the list of allowed signers calls them; `key` is the fingerprint."""

    by: str
    key: str
    method: Literal["ssh", "openpgp"]


class Commit(Shape):
    """A commit. `signed` is null where nobody looks, or where nobody signed it who may."""

    sha: str
    subject: str
    author: str
    at: Time
    signed: Signature | None
    email: str


class PathTimes(Shape):
    """When a revision passed each step in the hub."""

    committed: Time | None
    detected: Time | None
    planned: Time | None
    rendered: Time | None
    published: Time | None


class Place(Shape):
    """Where in a file."""

    file: str
    line: int
    field: str


class Problem(Shape):
    """A finding about what a person wrote."""

    severity: Literal["error", "warning"]
    message: str
    place: Place | None
    hint: str
    application: str


class ObjectRef(Shape):
    """Names a Kubernetes object."""

    api_version: str
    kind: str
    namespace: str
    name: str


class Hold(Shape):
    """Nothing new goes to an application; with a cluster or environment, not there."""

    by: str
    at: Time
    reason: str
    cluster: str
    environment: str
