"""What Helm rendered, as files of manifests. Pure.

Files without a manifest (notes, partials, templates that were switched off) are left out. Custom resource definitions
come first, so that a reader sees what the rest needs. Hooks stay: the agent knows what to do with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hub.domain.yamldoc import load_documents
from hub.render.helm.errors import shown, warnings
from hub.render.job import File, HelmJob, Templated
from shared.errors import DocumentError
from shared.model import Place, Problem

NOTES = "NOTES.txt"
LIMIT = 64 * 1024**2
"""Bytes of text: what the objects of one application may come to in the end."""

_SEPARATOR = re.compile(r"^---[^\S\n]*", re.MULTILINE)
_HOOK = "helm.sh/hook"
_HOOKS = {
    "pre-install", "post-install", "pre-delete", "post-delete", "pre-upgrade", "post-upgrade", "pre-rollback",
    "post-rollback", "test", "test-success",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """Texts by path, which begins with the chart's name. `said` is what Helm logged, `deprecated` the chart's word."""

    templates: Mapping[str, str]
    crds: tuple[tuple[str, str], ...] = ()
    said: str = ""
    deprecated: bool = False


def templated(output: Output, job: HelmJob) -> Templated:
    """The files of manifests, definitions first unless they are not wanted, then by path.

    Raises:
        DocumentError: it is far too much.
    """
    size = sum(len(text) for text in output.templates.values())
    if size > LIMIT:
        raise DocumentError(
            f"the chart renders to {size / 1024**2:.0f} MiB, one application may have {LIMIT // 1024**2} MiB",
            hint="split it into several applications",
        )
    files: list[File] = []
    problems = list(warnings(output.said, job.application))
    if output.deprecated:
        problems.append(Problem("warning", "the chart is deprecated", application=job.application))
    wanted = [] if job.skip_crds else list(output.crds)
    for path, text in [*wanted, *sorted(output.templates.items())]:
        if path.endswith(NOTES) or path.rpartition("/")[2].startswith("_") or not _holds_anything(text):
            continue
        name = f"{shown(job.chart, path)} (rendered)"
        kept = "".join(_known(_documents(text), name, job.application, problems))
        if _holds_anything(kept):
            files.append(File(path.partition("/")[2], kept.encode(), name, by_chart=True))
    return Templated(tuple(files), tuple(problems))


def _holds_anything(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    return any(line and line != "---" and not line.startswith("#") for line in lines)


def _documents(text: str) -> Iterator[str]:
    """The text as it is, cut before every `---`; Helm also takes one that a template's first line is glued to."""
    ends = [found.start() for found in _SEPARATOR.finditer(text)]
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        document = text[start:end]
        separator = _SEPARATOR.match(document)
        glued = separator is not None and document[separator.end() : separator.end() + 1] not in ("", "\n", "#")
        yield f"---\n{document[separator.end() :]}" if glued and separator is not None else document


def _known(documents: Iterator[str], name: str, application: str, problems: list[Problem]) -> Iterator[str]:
    """Documents without those that Helm drops for a hook it does not know; blank lines stay for them."""
    line = 1
    for document in documents:
        unknown = _unknown_hook(document, name) if _HOOK in document else ""
        if unknown:
            message = f"left out: its hook {unknown!r} is none that Helm knows"
            problems.append(Problem("warning", message, Place(name, line), application=application))
        yield "\n" * document.count("\n") if unknown else document
        line += document.count("\n")


def _unknown_hook(document: str, name: str) -> str:
    try:
        values = [found.value for found in load_documents(document, file=name)]
    except DocumentError:
        return ""  # said with its place when the file is read for its objects
    for value in values:
        metadata = value.get("metadata") if isinstance(value, dict) else None
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        hooks = annotations.get(_HOOK) if isinstance(annotations, dict) else None
        if isinstance(hooks, str):
            names = [each.strip().lower() for each in hooks.split(",")]
            return next((each for each in names if each not in _HOOKS), "")
    return ""
