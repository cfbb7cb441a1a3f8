"""Plain YAML and JSON: files in, Kubernetes objects out; the result depends on the job alone.

A render succeeds as a whole or fails as a whole with every problem listed: an object missing from a result would be
pruned from clusters. Files that plainly are no manifests (no document has apiVersion, kind or metadata) are skipped
with a warning; fleet documents in the same tree are left out. It renders no templates, kustomizations or charts. It
runs in worker processes and offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from hub.domain import plainsecrets
from hub.domain.documents import API_GROUP
from hub.domain.sealing import (
    Origins,
    SealedDocument,
    held,
    origins,
    sealed_object,
    tokenised,
    with_secrets,
)
from hub.domain.variables import Scope, substitute
from hub.domain.yamldoc import Document, child_path, load_documents
from hub.render.images import apply_images
from hub.render.job import File, PlainJob, Rendered, RenderedObject, RenderError
from hub.render.parsed import ParsedFiles
from hub.render.patches import apply_patches
from hub.render.replicas import apply_replicas
from hub.render.select import CHART, KUSTOMIZATIONS, is_selected
from shared.bundle import canonical_line
from shared.errors import DocumentError, InvalidMessage
from shared.manifests import ref_of, with_name
from shared.model import Manifest, Place, Problem
from shared.sealed import SEALED, SOPS, dotted, is_sops

_FLEET_GROUP = f"{API_GROUP}/"
_KUSTOMIZE_GROUP = "kustomize.config.k8s.io/"
_PARSED = ParsedFiles()


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was written, before patches and variables. `path` is its field inside `document`."""

    manifest: Manifest
    document: Document
    file: File
    path: str = ""
    sealed: SealedDocument | None = None
    """The encrypted document that it is, with tokens in place of secrets in `manifest`."""

    def place(self, field: str = "") -> Place:
        """Where it, or a field of it, is. Reads the file again: lines of fields are only needed for errors."""
        wanted = f"{self.path}.{field}" if self.path and field else self.path or field
        if not wanted:
            return Place(self.document.file, self.document.line)
        for again in load_documents(self.file.data, file=self.document.file, positions=True):
            if again.line == self.document.line:
                return Place(again.file, again.place(wanted).line, field)
        return Place(self.document.file, self.document.line, field)


def render(job: PlainJob) -> Rendered:
    """Render one application for one variant.

    Raises:
        RenderError: anything is wrong.
    """
    problems = list(job.problems)
    found = list(_objects(job, problems))
    found = apply_patches(found, job.patches, problems)
    found = apply_images(found, job.images, problems)
    found = apply_replicas(found, job.replicas, problems)
    secrets = origins([*job.sealed, *(each.sealed for each in found if each.sealed is not None)])
    scope = Scope(values=job.variables, known=frozenset(job.known))
    used: set[str] = set()
    objects: dict[tuple[str, str, str, str], RenderedObject] = {}
    written: list[RenderedObject] = []
    for each in found:
        try:
            rendered = _finish(_substituted(each, scope, used, problems), job.namespace, secrets)
        except DocumentError as error:
            problems.append(Problem("error", error.message, error.place or each.place(), error.hint))
            continue
        if not each.file.by_chart:
            written.append(rendered)
        first = objects.setdefault(rendered.ref.key, rendered)
        if first is not rendered:
            problems.append(_duplicate(rendered, first))
    problems += _unencrypted(written)
    problems = [
        problem if problem.application else Problem(
            problem.severity, problem.message, problem.place, problem.hint, job.application
        )
        for problem in problems
    ]  # fmt: skip
    if not objects and not any(problem.severity == "error" for problem in problems):
        problems.append(_nothing(job))
    if any(problem.severity == "error" for problem in problems):
        raise RenderError(tuple(problems))
    ordered = sorted(objects.values(), key=lambda each: each.ref.key)
    return Rendered(tuple(ordered), tuple(sorted(used)), tuple(problems))


def _unencrypted(written: Iterable[RenderedObject]) -> list[Problem]:
    secrets = (each for each in written if each.ref.group_kind == "Secret")
    found = plainsecrets.warning(
        (each.ref, each.place) for each in secrets if plainsecrets.is_plain(orjson.loads(each.line))
    )
    return [found] if found is not None else []


def _objects(job: PlainJob, problems: list[Problem]) -> Iterator[Found]:
    selected = [file for file in job.files if is_selected(file.path, job.selection)]
    charts = _charts(selected)
    for file in charts.values():
        hint = "make it an application, or one of `sources`, of its own, and exclude its directory here"
        problems.append(Problem("error", "a Helm chart among plain files", Place(file.name), hint))
    for file in selected:
        if any(file.path.startswith(directory) for directory in charts):
            continue
        if file.path.rpartition("/")[2] in KUSTOMIZATIONS:
            problems.append(_kustomization(Place(file.name), explicit=job.selection.explicit))
            continue
        yield from _file(file, problems)
    for file in job.made:
        yield from _made(file, problems)


def _made(file: File, problems: list[Problem]) -> Iterator[Found]:
    """The objects of a file that is meant to hold objects and nothing else."""
    items = _PARSED.parse(file.data, file.name)
    problems.extend(_encrypted_together(item for item in items if isinstance(item, Document)))
    for item in items:
        if isinstance(item, DocumentError):
            problems.append(Problem("error", item.message, item.place, item.hint))
        else:
            yield from _document(item, file, problems)


def _charts(files: Iterable[File]) -> dict[str, File]:
    """Chart.yaml files by the directory they make a chart ('' for the root)."""
    return {file.path.removesuffix(CHART): file for file in files if file.path.rpartition("/")[2] == CHART}


def _kustomization(place: Place, *, explicit: bool) -> Problem:
    if explicit:
        return Problem("warning", "skipped: a kustomization, and the application asks for plain rendering", place)
    return Problem(
        "error",
        "a kustomization among plain files",
        place,
        "make it an application, or one of `sources`, of its own; or exclude its directory here",
    )


def _file(file: File, problems: list[Problem]) -> Iterator[Found]:
    items = _PARSED.parse(file.data, file.name)
    documents = [item for item in items if isinstance(item, Document)]
    errors = [item for item in items if isinstance(item, DocumentError)]
    if not any(_looks_like_manifest(document.value) for document in documents) and (not errors or _is_foreign(file)):
        why = f", and it cannot be read: {errors[0].message}" if errors else ""
        problems.append(Problem("warning", f"skipped: no Kubernetes object in it{why}", Place(file.name)))
        return
    problems.extend(Problem("error", error.message, error.place, error.hint) for error in errors)
    problems.extend(_encrypted_together(documents))
    for document in documents:
        yield from _document(document, file, problems)


def _encrypted_together(documents: Iterable[Document]) -> Iterator[Problem]:
    """SOPS signs all documents of a file as one, and they are objects of their own here."""
    seen: dict[str, int] = {}
    for document in documents:
        mac = document.value[SOPS].get("mac") if is_sops(document.value) else None
        if isinstance(mac, str) and (first := seen.setdefault(mac, document.line)) != document.line:
            message = f"encrypted together with the document on line {first}: neither can be checked alone"
            hint = "decrypt the file, split it into one for each document, and encrypt these"
            yield Problem("error", message, Place(document.file, document.line), hint)


def _looks_like_manifest(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys().isdisjoint(("apiVersion", "kind", "metadata"))


_TEMPLATE_OR_TAG = re.compile(rb"\{\{|\{%|(^|[\s:\-\[,])!{1,2}[A-Za-z<]")


def _is_foreign(file: File) -> bool:
    """Whether a file that cannot be parsed is another tool's: templates or tags in it, and no word of an object.

    Anything else that cannot be parsed may have held an object yesterday, so it is an error.
    """
    spoken_of = b"apiVersion" in file.data or b"kind" in file.data
    return not spoken_of and _TEMPLATE_OR_TAG.search(file.data) is not None


def _document(document: Document, file: File, problems: list[Problem]) -> Iterator[Found]:
    value = document.value
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else f"the {type(value).__name__} {str(value)[:40]!r}"
        problems.append(
            Problem("error", f"a Kubernetes object is a map, this is {what}", Place(document.file, document.line))
        )
        return
    version = value.get("apiVersion")
    if isinstance(version, str) and version.startswith(_FLEET_GROUP):
        return
    if isinstance(version, str) and version.startswith(_KUSTOMIZE_GROUP):
        problems.append(_kustomization(Place(document.file, document.line), explicit=False))
        return
    if not is_sops(value):
        yield from _flattened(Found(value, document, file))
        return
    try:
        sealed = sealed_object(value, Place(document.file, document.line))
    except DocumentError as error:
        problems.append(Problem("error", error.message, error.place, error.hint))
        return
    yield from _flattened(Found(tokenised(sealed), document, file, sealed=sealed))


def _flattened(found: Found) -> Iterator[Found]:
    """The objects of a List, of whatever kind and however nested; anything else as it is."""
    manifest = found.manifest
    kind, items = manifest.get("kind"), manifest.get("items")
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
        yield found
        return
    for index, item in enumerate(items):
        path = child_path(f"{found.path}.items" if found.path else "items", index)
        inherited = {} if kind == "List" else {"apiVersion": manifest.get("apiVersion"), "kind": kind[:-4]}
        yield from _flattened(replace(found, manifest=_item(item, inherited), path=path))


def _item(item: Any, inherited: dict[str, Any]) -> Manifest:
    # What is not a map is refused where every object is checked, with its place: it has no kind.
    return {**inherited, **item} if isinstance(item, dict) else {}


def _substituted(found: Found, scope: Scope, used: set[str], problems: list[Problem]) -> Found:
    done = substitute(found.manifest, scope, found.place())
    used |= done.used
    for problem in done.problems:
        place = found.place(problem.place.field) if problem.place is not None else None
        problems.append(Problem(problem.severity, problem.message, place, problem.hint))
    return replace(found, manifest=done.manifest)


def _finish(found: Found, namespace: str, secrets: Origins) -> RenderedObject:
    manifest = found.manifest
    try:
        manifest = with_name(manifest)
        ref = ref_of(manifest, namespace)
        line = canonical_line(_with_secrets(found, manifest, secrets))
    except DocumentError as error:
        hint = error.hint or "exclude the file if it is not a manifest"
        raise DocumentError(error.message, error.place or found.place(), hint) from None
    except InvalidMessage as error:
        raise DocumentError(f"{manifest.get('kind')}: {error}", found.place()) from None
    return RenderedObject(ref, line, Place(found.document.file, found.document.line, found.path))


def _with_secrets(found: Found, manifest: Manifest, secrets: Origins) -> Manifest:
    """The object as the agent gets it: an encrypted document that nothing has changed just as it was written."""
    if SEALED in manifest:
        message = f"the field {SEALED} is the hub's own: no file says what goes where decrypted"
        raise DocumentError(message, hint="take it out")
    if found.sealed is None:
        return with_secrets(manifest, secrets) if secrets else manifest
    before = tokenised(found.sealed)
    if manifest == before:
        return found.sealed.document
    if not found.path and (lost := sorted(held(before) - held(manifest))):
        field = dotted(secrets[lost[0]].path)
        message = f"a patch changes {field}, which is encrypted: the hub cannot read it"
        raise DocumentError(message, hint="patch other fields, or change the value with `sops`")
    return with_secrets(manifest, secrets)


def _duplicate(again: RenderedObject, first: RenderedObject) -> Problem:
    return Problem(
        "error",
        f"{again.ref} is defined twice: also at {first.place}",
        again.place,
        "remove one, or exclude its file",
    )


def _nothing(job: PlainJob) -> Problem:
    return Problem(
        "error",
        f"no Kubernetes object in {_files(len(job.files))} of its path",
        Place(job.files[0].name) if len(job.files) == 1 else None,
        "check path, include and exclude; to remove everything, remove the Application document",
        application=job.application,
    )


def _files(count: int) -> str:
    return {0: "any file", 1: "the one file"}.get(count, f"the {count} files")
