"""Many applications from one document: the parts of an ApplicationSet, nothing about how they are filled in.

`hub.domain.items` says what generators yield, `hub.domain.sets` what applications come of it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from hub.domain.fields import Model
from hub.domain.rendering import RepositoryPath
from hub.domain.selectors import Selector


def _pattern(path: str) -> str:
    if path != ".":
        return path
    raise ValueError("the root of a repository is no pattern: write one that means what is in it, like apps/*")


Pattern = Annotated[RepositoryPath, AfterValidator(_pattern)]
"""`apps/*` or `clusters/**/app.yaml`, from the root of the repository."""


def _without_facts(selector: Selector) -> Selector:
    if not selector.uses_facts:
        return selector
    raise ValueError(
        "a set cannot ask for facts: applications would come and go with what agents report;"
        " ask for them in the placement of the template"
    )


class _InGit(Model):
    """A place in a repository; `repo` "." is the fleet repository at the commit of the document."""

    repo: Annotated[str, Field(min_length=1)] = "."
    ref: str = ""
    path: Pattern
    exclude: tuple[str, ...] = ()


class Directories(_InGit):
    """An item for each directory that the pattern `path` means (`apps/*`): its `path`, `name` and `segments.N`."""


class Files(_InGit):
    """An item for each YAML or JSON file that `path` means: the map in it, or each map of the list in it.

    `path`, `directory` and `segments.N` (of the directory) say where it is. `name` is the directory's, unless the file
    says another.
    """


class Generator(Model):
    """Yields items: maps whose values a template can name. Exactly one way.

    An item for each cluster holds its name as `cluster`, `environment`, `labels.*` and `variables.*`.
    """

    list: tuple[dict[str, Any], ...] | None = None
    clusters: Annotated[Selector, AfterValidator(_without_facts)] | None = None
    directories: Directories | None = None
    files: Files | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Generator:
        ways = ("list", "clusters", "directories", "files")
        if sum(getattr(self, way) is not None for way in ways) != 1:
            raise ValueError(f"a generator is one of {', '.join(ways)}")
        return self


class Template(Model):
    """An Application with `${item.name}` where it differs; checked once it is filled in.

    Where one of the generators yields clusters, an application without a placement goes to the cluster of its item.
    """

    metadata: dict[str, Any]
    spec: dict[str, Any] = Field(default_factory=dict)


class ApplicationSetSpec(Model):
    """One application for each item; with several generators, for each combination of their items."""

    for_each: Annotated[tuple[Generator, ...], Field(min_length=1)]
    template: Template
