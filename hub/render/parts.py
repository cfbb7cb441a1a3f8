"""The sources of an application as a renderer meets them: what a part reads, named by a key, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hub.domain.blending import Part
from hub.domain.variants import ContentKey
from hub.render.job import File, RemoteContent, Selection
from shared.model import Problem

Way = Literal["plain", "kustomize", "helm", "files"]
"""How a part is rendered; `files`: it is not, others borrow its files."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a part reads, found without rendering.

    `content` changes only when something that it reads does. `varies` says that it comes out differently each time it
    is rendered. `elsewhere` are (repository, chart) of what it reads besides its own source; no chart: from Git, or a
    file by http.
    """

    content: ContentKey
    way: Way
    varies: bool = False
    elsewhere: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JsonnetFiles:
    """Jsonnet files and all that they import, by path in the repository. `entries` are those to evaluate."""

    files: tuple[File, ...]
    entries: tuple[str, ...]
    folders: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class PlainFiles:
    """Files by their path below the part's. `lent` are those that others borrow, by their path in the repository."""

    files: tuple[File, ...]
    selection: Selection
    problems: tuple[Problem, ...] = ()
    jsonnet: JsonnetFiles | None = None
    lent: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChartFiles:
    """A chart with its dependencies as a gzipped tar. `own` are its value files by what its document calls them."""

    chart: str
    archive: bytes
    own: Mapping[str, bytes]
    lent: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KustomizeFiles:
    """All that the build of the kustomization in the directory `path` reads, by path in the repository."""

    path: str
    files: tuple[File, ...]
    kustomizations: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    remotes: tuple[RemoteContent, ...] = ()
    outside: bool = False
    problems: tuple[Problem, ...] = ()
    lent: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LentFiles:
    """A part that is there for the value files of others."""

    lent: Mapping[str, bytes]


Materials = PlainFiles | ChartFiles | KustomizeFiles | LentFiles
"""What a part is made of; its type says how it is rendered."""


class Supplies(Protocol):
    """What the sources of one application hold, all as of one moment."""

    async def reading(self, part: Part) -> Reading:
        """What a part reads.

        Raises:
            DocumentError: its source cannot be used as it is, or is not there.
            Unavailable: it cannot be had now.
        """

    async def materials(self, part: Part) -> Materials:
        """What a part is made of.

        Raises:
            DocumentError: as `reading`.
            Unavailable: as `reading`.
        """
