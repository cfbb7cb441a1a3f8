"""Kustomize's errors, as problems with a place. Pure.

Kustomize says which directories it went through, outermost first, and which file or object it stumbled over, but no
lines of a kustomization. The line is that of the entry which holds what the message names.
"""

from __future__ import annotations

import difflib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub.domain.yamldoc import Document, child_path, load_documents
from hub.render.job import File, KustomizeJob
from hub.render.kustomize import references
from hub.render.program import Outcome
from shared.model import Place, Problem

_LONGEST = 600
_WAY = re.compile(
    r"(?:recursed accumulation of|recursed merging from|couldn't make target for) path '(?P<path>[^']+)': "
)
_UNBUILT = re.compile(
    r".*accumulating resources from '(?P<file>[^']*)': (?P<why>.*?)': must build at directory:", re.DOTALL
)
_MALFORMED = re.compile(
    r"accumulating resources from '(?P<file>[^']*)': (?P<why>MalformedYAMLError: yaml: (?:line (?P<line>\d+): )?.*)",
    re.DOTALL,
)
_LOGGED = re.compile(r"err=(?:(\"(?:[^\"\\]|\\[\"\\/bfnrt])*\")|<\n\t(.*)\n >)", re.DOTALL)
"""As kubectl logs the error of a subcommand: quoted, or, of several lines, indented."""
_KIND = re.compile(r"expected kind .*'Component' for path '(?P<path>[^']+)'.*", re.DOTALL)
_UNKNOWN = re.compile(r'json: unknown field "(?P<field>[^"]*)"')
_TYPE = re.compile(r"cannot unmarshal (?P<have>\w+) into Go struct field (?P<field>[\w.]+) of type (?P<want>\S+)")
_CONFIGURATION = re.compile(
    r"trouble configuring builtin (?P<plugin>\w+) with config: `\n(?P<config>.*?)`: ", re.DOTALL
)
_NAMES = re.compile(
    r"\"([^\"\n]+)\"|'([^'\n]+)'|\[([^\[\]\s]+)\]|/([a-z0-9][a-z0-9.-]*)\.\[?[\w-]+\]?"
    r"|name (\S+) does|by \S+/([^\s.]+)\."
)
"""Quoted, in brackets, or as an object's id has them: `Deployment.v1.apps/web.[noNs]`."""
_NOISE = re.compile(
    r"^(?:accumulating (?:resources|components): |accumulateDirectory: |invalid Kustomization: |loading KV pairs: )*"
)
_ID = re.compile(
    r"(?:id )?resid\.ResId\{.*?Kind:\"(?P<kind>\w*)\".*?\}, Name:\"(?P<name>[^\"]*)\", Namespace:\"[^\"]*\"\}"
)
_POINTER = re.compile(r" from generator &\{[^}]*\}|\.?\[no(?:Ver|Grp|Ns)\]")

_HINTS = (
    ("no matches for Id", "the patch is for an object that is not among the resources here; check its kind and name"),
    (
        "already registered id",
        "two resources are one object: remove one, or tell them apart by prefix or namespace",
    ),
    ("does not match a config with the following GVK", "no workload of that name is among the resources here"),
    ("expected kind 'Component'", "name it in resources, or give it kind: Component"),
    ("expected kind != 'Component'", "name it in components"),
    ("cannot merge or replace", "its behavior is merge or replace, and there is nothing of that name before it"),
    (
        "is not in or below",
        "files may be elsewhere in the repository only where no generators or transformers are listed",
    ),
)


@dataclass(frozen=True, slots=True)
class _Story:
    """A message taken apart: the innermost directory, a file below it where one is named, and why."""

    directory: str
    why: str
    file: str = ""
    line: int = 0


def explained(outcome: Outcome, job: KustomizeJob, folder: str) -> tuple[Problem, ...]:
    """The problem in what Kustomize said. `folder` is where the job's trees of files were."""
    if outcome.limited:
        message = f"kustomize {outcome.failure}"
        return (Problem("error", message, Place(job.path or "."), application=job.application),)
    story = _story(outcome, job.path, f"{folder}/")
    files = _files(job)
    kustomization = next(
        (files[path] for name in references.NAMES if (path := posixpath.join(story.directory, name)) in files), None
    )
    place: Place | None = Place(kustomization.name if kustomization is not None else job.path or ".")
    if story.file:
        named = posixpath.normpath(posixpath.join(story.directory, story.file))
        place = Place(files[named].name if named in files else story.file, story.line)
    elif kustomization is not None:
        place = _line(story, kustomization, files)
    hint = next((hint for mark, hint in _HINTS if mark in story.why), "")
    unknown = _UNKNOWN.search(story.why)
    if unknown is not None:
        near = difflib.get_close_matches(unknown["field"], references.FIELDS, 1)
        hint = f"did you mean {near[0]}?" if near else ""
    if added := _added(story.why, job):
        place, hint = None, f"it is the application's own: {added}"
    return (Problem("error", _worded(story.why), place, hint, job.application),)


def _story(outcome: Outcome, path: str, folder: str) -> _Story:
    said = "\n".join(line for line in outcome.said.splitlines() if not line.startswith("# Warning"))
    root = posixpath.join("repository", path)
    crash = said.partition("panic: ")[2].partition("\n")[0]
    if crash:
        return _Story(root, f"kustomize crashed: {crash}")
    if (logged := _LOGGED.search(said)) is not None:
        said = json.loads(logged[1], strict=False) if logged[1] else logged[2].replace("\n\t", "\n")
    said = re.split(r"^[Ee]rror: ", said, maxsplit=1, flags=re.MULTILINE)[-1] or outcome.failure
    ways = list(_WAY.finditer(said))
    directory = ways[-1]["path"].removeprefix(folder) if ways else root
    rest = said[ways[-1].end() :] if ways else said
    kind = _KIND.search(rest)
    if kind is not None:
        return _Story(directory, kind.group().replace(folder, ""))
    unbuilt = _UNBUILT.search(rest)
    if unbuilt is not None:
        return _Story(directory, unbuilt["why"].replace(folder, ""), unbuilt["file"])
    malformed = _MALFORMED.search(rest)
    if malformed is not None:
        return _Story(directory, malformed["why"].replace(folder, ""), malformed["file"], int(malformed["line"] or 0))
    return _Story(directory, rest.replace(folder, ""))


def _files(job: KustomizeJob) -> Mapping[str, File]:
    """All files by where they were in the folder, named as a person knows them."""
    files = {posixpath.join("repository", file.path): file for file in job.files}
    for number, remote in enumerate(job.remotes):
        for file in remote.files:
            shown = File(file.path, file.data, f"{remote.text} {file.path}")
            files[posixpath.join(f"remote-{number}", file.path)] = shown
    return files


def _line(story: _Story, kustomization: File, files: Mapping[str, File]) -> Place:
    """Where in the kustomization that stands what the message is about."""
    document = load_documents(kustomization.data, file=kustomization.name, positions=True)[0]
    wrong_type, unknown = _TYPE.search(story.why), _UNKNOWN.search(story.why)
    if wrong_type is not None:
        return _field(document, wrong_type["field"].rpartition(".")[2])
    if unknown is not None:
        return _field(document, unknown["field"])
    scalars = [
        (path, text, posixpath.normpath(posixpath.join(story.directory, text)))
        for path, text in _scalars(document.value, "")
    ]
    for name in _named(story.why):
        for path, text, way in scalars:
            if name in (text, way) or (len(name) > 2 and name in text and ("{" in text or "\n" in text)):
                return document.place(path)
        for path, _, way in scalars:
            if way in files and files[way] is not kustomization and name.encode() in files[way].data:
                return document.place(path)
    return Place(kustomization.name)


def _field(document: Document, name: str) -> Place:
    """The first field of that name, however deep."""
    wanted = references.fold(name)
    for path in document.lines:
        if references.fold(re.split(r"[.\[]", path.rstrip("]"))[-1]) == wanted:
            return document.place(path)
    return document.place()


def _named(why: str) -> Iterator[str]:
    """What the message names, in its order."""
    configuration = _CONFIGURATION.search(why)
    if configuration is not None:
        for line in configuration["config"].splitlines():
            _, colon, value = line.partition(": ")
            if colon and value.strip("'\""):
                yield value.strip("'\"")
    for found in _NAMES.finditer(why):
        yield next(group for group in found.groups() if group)


def _scalars(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _scalars(item, child_path(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _scalars(item, child_path(path, index))
    elif isinstance(value, str):
        yield path, value


def _added(why: str, job: KustomizeJob) -> str:
    """Which of the application's additions the message is about, '' for none."""
    names = set(_named(why))
    if "GVK" in why and any(each.name in names for each in job.additions.replicas):
        return "render.kustomize.replicas"
    texts = [str(patch.patch) for patch in job.additions.patches]
    if "patch" in why and any(name in text for name in names for text in texts):
        return "render.kustomize.patches"
    return ""


def _worded(why: str) -> str:
    """The message without the way to it and without the configuration that Kustomize made up."""
    why = _NOISE.sub("", _CONFIGURATION.sub("", why)).strip()
    why = _POINTER.sub("", _ID.sub(r"\g<kind> \g<name>", why)).replace("repository/", "")
    wrong_type = _TYPE.search(why)
    if wrong_type is not None:
        field = wrong_type["field"].partition(".")[2]
        return f"{field} is a {wrong_type['have']}, and has to be a {wrong_type['want'].replace('[]', 'list of ')}"
    return why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"
