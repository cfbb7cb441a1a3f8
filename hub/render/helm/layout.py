"""A chart in Git: what it is made of, as a value that changes only when the chart does, and its archive.

Everything is synchronous and reads a `Tree`.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from hub.domain.charts import Wanted
from hub.domain.tree import Tree
from hub.render.helm.archive import ArchiveLimits, is_packed, pack, unpack_deep
from hub.render.helm.gathering import Gathering, Remote
from hub.render.helm.traits import Traits, traits_of, traits_of_texts
from shared.errors import DocumentError
from shared.model import Place, Problem


@dataclass(frozen=True, slots=True)
class Layout:
    """A chart in Git.

    `files` are (path in the chart, path in the repository). `key` changes when one of them does; what `remote` resolves
    to is not in it. With an error among `problems` there is no chart.
    """

    name: str
    files: tuple[tuple[str, str], ...]
    remote: tuple[Remote, ...]
    key: str
    problems: tuple[Problem, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """What it reads of the repository."""
        return tuple(path for _, path in self.files)


def lay_out(tree: Tree, path: str, limits: ArchiveLimits | None = None) -> Layout:
    """The chart in the directory `path`; what is wrong with it is in `problems`."""
    work = Gathering(tree, limits or ArchiveLimits())
    name = ""
    try:
        name = work.chart("" if path == "." else path.strip("/"), "", ()).name
    except DocumentError as error:
        work.problems.append(Problem("error", error.message, error.place or Place(path or "."), error.hint))
    hasher = hashlib.sha256()
    for within, of in work.files:
        hasher.update(f"{within}\0{tree.id(of)}\0".encode())
    for remote in work.remote:
        hasher.update(f"{remote.wanted}\0{remote.into}\0".encode())
    return Layout(name, tuple(work.files), tuple(work.remote), hasher.hexdigest(), tuple(work.problems))


def traits_in(tree: Tree, layout: Layout) -> Traits:
    """What the chart's own files say of it; those of `remote` charts say more.

    Raises:
        DocumentError: a file cannot be read.
    """
    files = {within: tree.read(path) for within, path in layout.files}
    packed = [unpack_deep(data) for within, data in files.items() if is_packed(within)]
    return traits_of(files) | traits_of_texts(text for each in packed for text in each.values())


def assemble(tree: Tree, layout: Layout, fetched: Mapping[Wanted, bytes], limits: ArchiveLimits | None = None) -> bytes:
    """The archive of a chart whose `remote` charts are in `fetched`.

    Raises:
        DocumentError: a file cannot be read, or there are more than a chart may have.
    """
    limits = limits or ArchiveLimits()
    files: dict[str, bytes] = {}
    left = limits.bytes
    for within, path in layout.files:
        data = tree.read(path)
        left -= len(data)
        if len(data) > limits.file_bytes:
            raise DocumentError(f"a file of a chart may have {limits.file_bytes // 1024**2} MiB", Place(path))
        if left < 0:
            raise DocumentError(
                f"the chart has more than {limits.bytes // 1024**2} MiB", Place(path), "see .helmignore"
            )
        files[within] = data
    for remote in layout.remote:
        files[remote.into] = fetched[remote.wanted]
    return pack(layout.name, files)


def value_file(chart: str, text: str) -> str:
    """The path in the repository of a value file of the chart in `chart`; one that begins with `/` is from the root.

    Raises:
        DocumentError: it leads out of the repository.
    """
    path = posixpath.normpath(text.lstrip("/") if text.startswith("/") else posixpath.join(chart, text))
    if path == ".." or path.startswith("../"):
        raise DocumentError(
            f"the value file {text!r} leads out of the repository", hint="it is relative to the chart's directory"
        )
    return path
