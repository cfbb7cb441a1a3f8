"""From Jsonnet files to YAML files, by the Jsonnet library, in a worker. Only the files of the job can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping

import _jsonnet
import msgspec

from hub.render.job import File, JsonnetJob, RenderError, Templated
from hub.render.jsonnet.closure import candidates
from shared.model import Place, Problem

DEEPEST = 500
"""Calls within calls; what needs more calls itself without end."""

_FRAME = re.compile(r"(?m)^\s*(?:STATIC ERROR: )?(?P<file>\S.*?):\(?(?P<line>\d+):")
_HEAD = re.compile(r"^(?:RUNTIME|STATIC) ERROR: ")
_WANTING = re.compile(r"undefined external variable|parameter \S+ not bound")


def evaluate(job: JsonnetJob) -> Templated:
    """The objects of all entries.

    Raises:
        RenderError: one cannot be evaluated, or does not come to objects.
    """
    files = {file.path: file.data for file in job.files}
    problems = list(job.problems)
    made: list[File] = []
    for entry in job.entries if not any(each.severity == "error" for each in problems) else ():
        found = _evaluated(entry, files, job)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            made.append(File(entry, found, entry))
    if any(each.severity == "error" for each in problems):
        raise RenderError(tuple(msgspec.structs.replace(each, application=job.application) for each in problems))
    return Templated(tuple(made), tuple(problems))


def _evaluated(entry: str, files: Mapping[str, bytes], job: JsonnetJob) -> bytes | Problem:
    texts = ({each.name: each.value for each in given if not each.code} for given in (job.ext_vars, job.tlas))
    codes = ({each.name: each.value for each in given if each.code} for given in (job.ext_vars, job.tlas))
    (ext_vars, tla_vars), (ext_codes, tla_codes) = texts, codes
    try:
        result = _jsonnet.evaluate_snippet(
            entry,
            files[entry].decode(),
            import_callback=_importer(files, job.folders),
            ext_vars=ext_vars,
            ext_codes=ext_codes,
            tla_vars=tla_vars,
            tla_codes=tla_codes,
            max_stack=DEEPEST,
        )
    except (RuntimeError, UnicodeDecodeError) as error:
        return _problem(str(error), entry, files)
    documents = json.loads(result)
    listed = documents if isinstance(documents, list) else [documents]
    wrong = next((each for each in listed if not isinstance(each, dict)), None)
    if wrong is not None:
        message = f"it comes to {json.dumps(wrong)[:60]}, not to an object or a list of objects"
        return Problem("error", message, Place(entry))
    return b"".join(b"---\n" + json.dumps(each).encode() + b"\n" for each in listed if each)


def _importer(files: Mapping[str, bytes], folders: tuple[str, ...]) -> Callable[[str, str], tuple[str, bytes]]:
    def find(directory: str, name: str) -> tuple[str, bytes]:
        for path in candidates(name, f"{directory}importer", folders):
            if path in files:
                return path, files[path]
        raise RuntimeError(f"there is no {name!r} in the repository")

    return find


def _problem(said: str, entry: str, files: Collection[str]) -> Problem:
    """What the library said, at the innermost place that is in a file of the job: its own library is no help."""
    frames = [found for found in _FRAME.finditer(said) if found["file"] in files]
    place = Place(frames[0]["file"], int(frames[0]["line"])) if frames else Place(entry)
    message = _HEAD.sub("", said.strip().partition("\n")[0])
    for frame in frames[:1]:
        message = re.sub(rf"^{re.escape(frame['file'])}:[\d:()-]+\s*", "", message)
    hint = "give it a value in render.plain.jsonnet" if _WANTING.search(message) else ""
    return Problem("error", message or "it cannot be evaluated", place, hint)
