"""Many applications from one document: the parts of an ApplicationSet, nothing about how they are filled in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from hub.domain.fields import Model
from hub.domain.rendering import RepositoryPath
from hub.domain.selectors import Selector


class _InGit(Model):
    """A place in a repository; `repo` "." is the fleet repository at the commit of the document."""

    repo: Annotated[str, Field(min_length=1)] = "."
    ref: str = ""
    path: RepositoryPath
    exclude: tuple[str, ...] = ()


class Directories(_InGit):
    """An item for each directory that the pattern `path` matches (`apps/*`): `path`, `name`, `segments.N`."""


class Files(_InGit):
    """An item for each YAML or JSON file that `path` matches: the map in it, and its `path`, `directory`, `name`."""


class Generator(Model):
    """Yields items: maps whose values a template can name. Exactly one way."""

    list: tuple[dict[str, Any], ...] | None = None
    clusters: Selector | None = None
    directories: Directories | None = None
    files: Files | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Generator:
        ways = ("list", "clusters", "directories", "files")
        if sum(getattr(self, way) is not None for way in ways) != 1:
            raise ValueError(f"a generator is one of {', '.join(ways)}")
        return self


class Template(Model):
    """An Application with `${item.name}` where it differs; checked once it is filled in."""

    metadata: dict[str, Any]
    spec: dict[str, Any] = Field(default_factory=dict)


class ApplicationSetSpec(Model):
    """One application for each item; with several generators, for each combination of their items."""

    for_each: Annotated[tuple[Generator, ...], Field(min_length=1)]
    template: Template
