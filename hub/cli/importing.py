"""Fleet documents from what a repository says in the words of other tools: Argo CD, Flux, Rancher Fleet."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.output import Table, counted, show
from hub.cli.trouble import FOUND_TROUBLE, usage

if TYPE_CHECKING:
    from hub.cli.worktree import Worktree
    from hub.importing.notes import Made, Note
    from hub.importing.recognising import Recognised
    from shared.model import Problem


class Form(enum.StrEnum):
    """What `-o` of an import takes."""

    YAML = "yaml"
    TABLE = "table"
    JSON = "json"


Repository = Annotated[Path, typer.Argument(metavar="PATH", help="The repository, or a folder in it.")]
Into = Annotated[
    Path | None, typer.Option("--to", metavar="DIR", help="Write files below this folder instead of printing them.")
]
Force = Annotated[bool, typer.Option("--force", help="With --to: replace files that are there already.")]
Elsewhere = Annotated[
    str,
    typer.Option("--repo", metavar="URL", help="For a fleet repository of its own: the address sources are read from."),
]
Strict = Annotated[bool, typer.Option("--strict", help="End with 1 when anything is not carried over.")]
Format = Annotated[
    Form,
    typer.Option("--output", "-o", help="yaml: the documents; table: what became of what; json: both, for programs."),
]


def import_(
    path: Repository = Path(),
    to: Into = None,
    force: Force = False,
    repo: Elsewhere = "",
    strict: Strict = False,
    output: Format = Form.YAML,
) -> None:
    """Makes fleet documents of a repository written for Argo CD, Flux or Rancher Fleet, or of its directories alone.

    Reads Argo CD's Application, ApplicationSet and AppProject, Flux's sources, Kustomization and HelmRelease, Rancher
    Fleet's GitRepo, ClusterGroup and fleet.yaml. Where there are none, each chart, kustomization or directory of
    manifests becomes an application. Nothing in the repository is changed, and no cluster is asked.

    Documents go to standard output, or into files with --to. What is not carried over, or means something else here, is
    listed on standard error with file, line and reason. Ends with 1 if there is nothing to import or the result has
    errors; with --strict also if anything is not carried over.

    \b
    yardarm import . -o table                  # what would become of what
    yardarm import . --to fleet                # write documents into the same repository
    yardarm validate fleet                     # then check that all of it renders
    yardarm import ../apps --to . --repo https://git.example.com/team/apps.git
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.importing.writing import elsewhere

    found, tree = _recognised(path)
    documents = found.documents
    if repo:
        documents = tuple(elsewhere(each, repo) for each in documents)
    elif to is not None and not _within(to, tree.root):
        usage(f"{to} is outside the repository {tree.root}: name the address its files are read from with --repo")
    problems = [*found.problems, *_wrong(found)]
    if output is Form.JSON:
        sys.stdout.write(json.dumps(_report(documents, found.notes, problems), indent=2, ensure_ascii=False) + "\n")
    if to is not None:
        written = _write(to, documents, force=force)
        if output is not Form.JSON:
            sys.stdout.write("".join(f"{name}\n" for name in written))
    elif output is Form.YAML:
        _print(documents)
    if output is Form.TABLE:
        show(_tables(documents, found.notes))
    if output is not Form.JSON:
        _tell(found, problems, listed=output is not Form.TABLE)
    errors = any(each.severity == "error" for each in problems)
    left = any(note.kind == "left" for note in found.notes)
    if errors or not documents or (strict and left):
        raise typer.Exit(FOUND_TROUBLE)


def _recognised(path: Path) -> tuple[Recognised, Worktree]:
    from hub.cli.snapshots import question
    from hub.cli.supplies import Offline
    from hub.cli.worktree import Worktree

    tree = Worktree(path)
    with Offline() as offline:
        return offline.recognised(tree, question(tree.root, tree.scope.as_posix())), tree


def _wrong(found: Recognised) -> Iterator[Problem]:
    """What the fleet model finds wrong with the documents. Unknown clusters are no mistake: they may join by name."""
    from hub.domain.fleet import build_fleet

    yield from (each for each in build_fleet(found.parsed()).problems if each.severity == "error")


def _within(folder: Path, root: Path) -> bool:
    return folder.resolve().is_relative_to(root)


def _write(folder: Path, documents: tuple[Made, ...], *, force: bool) -> list[str]:
    """Writes all files, or none if one is there already. Returns their names."""
    from hub.importing.writing import files_of

    files = {folder / name: text for name, text in files_of(documents).items()}
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        usage(f"{there[0]}{more} would be replaced: add --force, or name another folder")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [str(file) for file in files]


def _print(documents: tuple[Made, ...]) -> None:
    from hub.importing.writing import text_of

    sys.stdout.write(text_of(documents))


def _tables(documents: tuple[Made, ...], notes: tuple[Note, ...]) -> Iterator[Table | str]:
    from hub.importing.notes import grouped

    rows = [(each.kind, each.name, each.origin, str(each.place)) for each in documents]
    yield Table(("KIND", "NAME", "MADE OF", "AT"), rows, "nothing to import")
    for kind, heading in _HEADINGS.items():
        told = [(str(note.place), note.subject, _said(note)) for note in grouped(notes) if note.kind == kind]
        if told:
            yield ""
            yield Table(("AT", "OF", heading), told)


_HEADINGS = {"left": "NOT CARRIED OVER", "differs": "CARRIED OVER OTHERWISE"}


def _said(note: Note) -> str:
    return f"{note.message} ({note.hint})" if note.hint else note.message


def _tell(found: Recognised, problems: list[Problem], *, listed: bool) -> None:
    """Notes and problems on standard error, and what it comes to."""
    from hub.importing.notes import grouped

    lines = [str(note.problem()) for note in grouped(found.notes)] if listed else []
    lines += [str(each) for each in problems]
    counts = {kind: sum(note.kind == kind for note in found.notes) for kind in _HEADINGS}
    made = counted(len(found.documents), "document")
    lines.append(f"{made}; not carried over: {counts['left']}; carried over otherwise: {counts['differs']}")
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _report(documents: tuple[Made, ...], notes: tuple[Note, ...], problems: list[Problem]) -> Mapping[str, Any]:
    from shared.messages import to_json

    return {
        "documents": [
            {"document": each.value, "madeOf": each.origin, "place": to_json(each.place)} for each in documents
        ],
        "notes": [to_json(note) for note in notes],
        "problems": [to_json(problem) for problem in problems],
    }
