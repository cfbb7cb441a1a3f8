"""One `kustomize build`: the files of the job in a directory of their own, the program over them, its output as files.

The kustomization files are written anew from what was read of them, so that Kustomize builds what was checked, whatever
it would have made of the originals. Runs in workers and offline.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from hub.domain.sealing import SealedDocument
from hub.render import program
from hub.render.footprint import join
from hub.render.job import File, KustomizeJob, RenderError, Templated
from hub.render.kustomize import references
from hub.render.kustomize.editing import Fields, edited
from hub.render.kustomize.messages import explained
from hub.render.kustomize.secrets import Tokens
from shared.errors import DocumentError
from shared.model import Problem

MOST_OUTPUT = 64 * 1024**2
_PART = 1024**2
_REPOSITORY = "repository"
_REMOTE = "remote-{}"


def build(job: KustomizeJob) -> Templated:
    """The manifests that the kustomization builds to, in Kustomize's order, in files of about a megabyte.

    Raises:
        RenderError: the kustomization is refused, or its build fails.
    """
    if any(problem.severity == "error" for problem in job.problems):
        raise RenderError(job.problems)
    read = _read(job)
    contents, sealed = _contents(job, read)
    with tempfile.TemporaryDirectory(prefix="yardarm-kustomize-") as temporary:
        folder = Path(temporary).resolve()
        try:
            _write(job, read, contents, folder)
            outcome = program.run(_command(job, folder), folder, program.Limits(job.seconds, job.memory, MOST_OUTPUT))
        except OSError as error:
            message = f"{posixpath.basename(job.command[0])} cannot be run: {error}"
            raise RenderError((Problem("error", message, application=job.application),), transient=True) from None
    if outcome.failure:
        raise RenderError(explained(outcome, job, str(folder)), transient=outcome.limited)
    made = tuple(_parts(outcome.output, f"{posixpath.join(job.path, '') or './'} (kustomize build)"))
    return Templated(made, job.problems, sealed)


@dataclass(frozen=True, slots=True)
class _Tree:
    """What is written into one directory of the folder."""

    directory: str
    files: tuple[File, ...]
    kustomizations: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def _trees(job: KustomizeJob) -> list[_Tree]:
    return [
        _Tree(_REPOSITORY, job.files, job.kustomizations, job.links),
        *(
            _Tree(_REMOTE.format(number), remote.files, remote.kustomizations, remote.links)
            for number, remote in enumerate(job.remotes)
        ),
    ]


def _read(job: KustomizeJob) -> dict[str, Fields]:
    """The fields of every kustomization file by its place in the folder, with the additions in that of the job."""
    read: dict[str, Fields] = {}
    for tree in _trees(job):
        files = {file.path: file for file in tree.files}
        for path in tree.kustomizations:
            try:
                fields = references.read(files[path].data, files[path].name).fields
            except DocumentError as error:
                raise RenderError(
                    (Problem("error", error.message, error.place, error.hint, job.application),)
                ) from None
            first = tree.directory == _REPOSITORY and path == job.kustomizations[0]
            read[posixpath.join(tree.directory, path)] = edited(fields, job.additions) if first else fields
    return read


def _contents(job: KustomizeJob, read: Mapping[str, Fields]) -> tuple[dict[str, bytes], tuple[SealedDocument, ...]]:
    """What Kustomize reads of each file, by its place in the folder, and the secrets that are only tokens in them."""
    contents: dict[str, bytes] = {}
    sealed: list[SealedDocument] = []
    problems: list[Problem] = []
    for tree in _trees(job):
        tokens = Tokens({path: read[posixpath.join(tree.directory, path)] for path in tree.kustomizations}, tree.links)
        for file in tree.files:
            try:
                contents[posixpath.join(tree.directory, file.path)] = tokens.content(file)
            except DocumentError as error:
                problems.append(Problem("error", error.message, error.place, error.hint, job.application))
        sealed += tokens.sealed
    if problems:
        raise RenderError((*job.problems, *problems))
    return contents, tuple(sealed)


def _write(job: KustomizeJob, read: Mapping[str, Fields], contents: Mapping[str, bytes], folder: Path) -> None:
    remotes = {
        remote.text: posixpath.join(_REMOTE.format(number), remote.path) for number, remote in enumerate(job.remotes)
    }
    for tree in _trees(job):
        for file in tree.files:
            path = posixpath.join(tree.directory, file.path)
            data = contents[path] if path not in read else orjson.dumps(_with_remotes(read[path], path, remotes))
            # Exclusive, so that no two names that are one to the file system become one file.
            with os.fdopen(os.open(_place(folder, path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.write(data)
        for link, target in tree.links:
            place = _place(folder, posixpath.join(tree.directory, link))
            place.symlink_to(_place(folder, posixpath.join(tree.directory, target)))


def _place(folder: Path, path: str) -> Path:
    """Where a path lies below the folder, in a directory that is made when it is not there."""
    if not path or join("", path) != path:
        raise ValueError(f"{path!r} is not a path inside a folder")
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _with_remotes(fields: Fields, path: str, remotes: Mapping[str, str]) -> Fields:
    """The fields with the way to where a remote's content lies in place of its address."""
    if not remotes:
        return fields
    start = posixpath.dirname(path)

    def local(entry: Any) -> Any:
        return posixpath.relpath(remotes[entry], start) if isinstance(entry, str) and entry in remotes else entry

    places = ("resources", "bases", "components")
    return {
        field: [local(entry) for entry in value] if field in places and isinstance(value, list) else value
        for field, value in fields.items()
    }


def _command(job: KustomizeJob, folder: Path) -> tuple[str, ...]:
    allowed = ("--load-restrictor", "LoadRestrictionsNone") if job.outside else ()
    return (*job.command, str(folder / _REPOSITORY / job.path), *allowed)


def _parts(output: bytes, name: str) -> Iterable[File]:
    """The output cut between documents: Kustomize puts `---` alone on a line there and indents it anywhere else."""
    start, number = 0, 1
    while start < len(output):
        end = output.find(b"\n---\n", start + _PART) + 1 or len(output)
        lines = output.count(b"\n", 0, start)
        shown = f"{name} from line {lines + 1}" if lines else name
        yield File(f"build-{number}.yaml", output[start:end], shown)
        start, number = end, number + 1
