"""What must hold before a stage of a rollout is done: the part of a document that says so."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from hub.domain.fields import Duration, Model, Name
from hub.domain.placeholders import Subject, checked, fill
from hub.domain.rendering import RepositoryPath

_EXAMPLE = Subject("app", "ns", "stage", ("a", "b"), "revision", "commit")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_OK = 200
_INTERVAL = 15.0
_SHORTEST = 1.0
"""Seconds between two measurements: a check is to look at a server, not to load it."""


def _address(text: str) -> str:
    if not text:
        return text
    if not checked(text).startswith(("http://", "https://")):
        raise ValueError(f"{text!r} is not an address: write it like https://host/path")
    try:
        parts = urlsplit(fill(text, _EXAMPLE))
        parts.port  # noqa: B018 - raises when it is no port
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address: {error}") from None
    if "@" in parts.netloc:
        raise ValueError("an address in Git carries no credentials: an operator sets checks.access for its host")
    if not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError(f"{text!r} names no host" + (": ${clusters} is several names" if "clusters" in text else ""))
    return text


def _server(text: str) -> str:
    parts = urlsplit(_address(text))
    if parts.query or parts.fragment or "/api/v1" in parts.path:
        raise ValueError(f"{text!r}: write the address of Prometheus alone, without /api/v1 and what follows it")
    return text


class Check(Model):
    """Something that must hold for the time `for` before a stage is done. One of prometheus, http and job.

    A job is the path of its manifest in the application's repository.
    """

    name: Name | None = None
    prometheus: Annotated[str, AfterValidator(_server)] = ""
    query: Annotated[str, AfterValidator(checked)] = ""
    below: float | None = None
    above: float | None = None
    http: Annotated[str, AfterValidator(_address)] = ""
    status: Annotated[int | None, Field(ge=100, le=599)] = None
    contains: str = ""
    job: RepositoryPath | None = None
    interval: Duration = _INTERVAL
    for_: Annotated[Duration, Field(alias="for")] = 0.0

    @property
    def kind(self) -> Literal["prometheus", "http", "job"]:
        """Which of the three it is."""
        return "prometheus" if self.prometheus else "http" if self.http else "job"

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name or self.query or self.http or self.job or ""

    @property
    def expected(self) -> int:
        """The status that the answer to an HTTP check must have."""
        return self.status or _OK

    @model_validator(mode="after")
    def _one_of(self) -> Check:
        if sum(bool(way) for way in (self.prometheus, self.http, self.job)) != 1:
            raise ValueError("a check is one of prometheus, http and job")
        if bool(self.prometheus) != bool(self.query):
            raise ValueError("prometheus (the address) and query belong together")
        if self.interval < _SHORTEST:
            raise ValueError(f"an interval is {_SHORTEST:g}s at the least")
        self._limits()
        self._foreign()
        return self

    def _limits(self) -> None:
        if self.prometheus and self.below is None and self.above is None:
            raise ValueError("a query needs a limit: below, above or both")
        if self.below is not None and self.above is not None and self.above >= self.below:
            raise ValueError(f"nothing is above {self.above:g} and below {self.below:g}")

    def _foreign(self) -> None:
        """What belongs to checks of another kind would be without effect."""
        foreign = {
            "below": ("prometheus", self.below is not None),
            "above": ("prometheus", self.above is not None),
            "status": ("http", self.status is not None),
            "contains": ("http", bool(self.contains)),
        }
        for field, (kind, written) in foreign.items():
            if written and kind != self.kind:
                raise ValueError(f"{field} is for {kind} checks, this is a {self.kind} check")
        if self.kind == "job" and (self.for_ or self.interval != _INTERVAL):
            raise ValueError("for and interval are for checks that are measured again and again: a Job runs once")
        if self.job == ".":
            raise ValueError("job is the path of a file: the manifest of the Job")
