"""Commands that need no hub: validate, render, schema, sample. For editors, commit hooks and CI."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.output import Output, counted, emit
from hub.cli.trouble import FOUND_TROUBLE, Trouble, usage

if TYPE_CHECKING:
    from hub.cli.supplies import DiskRenderer
    from hub.domain.documents import Application
    from hub.domain.fleet import FleetModel
    from hub.domain.variants import Variant
    from hub.render.job import Rendered
    from shared.model import ObjectRef, Problem

Repository = Annotated[Path, typer.Argument(metavar="PATH", help="The fleet repository, or a folder in it.")]
Format = Annotated[Output, typer.Option("--output", "-o", help="table for people, json or yaml for programs.")]


def validate(path: Repository = Path(), output: Format = Output.TABLE) -> None:
    """Checks a fleet repository as it lies on disk: documents, references, placement, and that everything renders.

    Ends with 1 if there is an error; warnings are only shown.

    \b
    yardarm validate .
    yardarm validate fleet -o json
    """  # noqa: D301 - \b keeps the lines of an example apart
    from shared.messages import to_json

    owners: dict[tuple[str, tuple[str, ...]], str] = {}
    with _loaded(path, "") as (renderer, fleet):
        problems = [*fleet.problems]
        for name in sorted(fleet.applications):
            found = _check(renderer, fleet, fleet.applications[name], owners)
            problems = list(dict.fromkeys([*problems, *found]))
    errors = sum(problem.severity == "error" for problem in problems)

    def people() -> Iterator[str]:
        yield from map(str, problems)
        sizes = (
            (len(fleet.clusters), "cluster"),
            (len(fleet.environments), "environment"),
            (len(fleet.applications), "application"),
        )
        found = (errors, "error"), (len(problems) - errors, "warning")
        yield ": ".join(", ".join(counted(*each) for each in part) for part in (sizes, found))

    emit([to_json(problem) for problem in problems], output, people)
    if errors:
        raise typer.Exit(FOUND_TROUBLE)


def render(
    path: Repository,
    cluster: Annotated[str, typer.Option("--cluster", help="The cluster to render for.")],
    app: Annotated[str | None, typer.Option("--app", help="Only this application.")] = None,
    output: Format = Output.YAML,
) -> None:
    """Prints the manifests that a cluster would get, from a fleet repository as it lies on disk.

    \b
    yardarm render . --cluster prod-eu-1
    yardarm render . --cluster prod-eu-1 --app web | kubectl diff -n shop -f -
    """  # noqa: D301 - \b keeps the lines of an example apart
    objects: list[bytes] = []
    problems: list[Problem] = []
    with _loaded(path, cluster) as (renderer, fleet):
        if cluster not in fleet.clusters:
            known = ", ".join(sorted(fleet.clusters)) or "none"
            usage(f"there is no cluster {cluster!r} in {path}; there are: {known}")
        if app is not None and app not in fleet.applications:
            known = ", ".join(sorted(fleet.applications)) or "none"
            usage(f"there is no application {app!r} in {path}; there are: {known}")
        for application in [fleet.applications[name] for name in sorted(fleet.applications) if app in (None, name)]:
            made, found = _render_for(renderer, fleet, application, cluster)
            objects += made
            problems += found
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if any(problem.severity == "error" for problem in problems):
        raise Trouble("it does not render", FOUND_TROUBLE)
    _print(objects, output)


def schema() -> None:
    """Prints the JSON Schema of fleet documents, for editors.

    \b
    yardarm schema > yardarm.schema.json
    # in VS Code: "yaml.schemas": {"yardarm.schema.json": "fleet/**/*.yaml"}
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.domain.schema import schema as generated

    sys.stdout.write(json.dumps(generated(), indent=2) + "\n")


@contextlib.contextmanager
def _loaded(path: Path, cluster: str) -> Iterator[tuple[DiskRenderer, FleetModel]]:
    """The folder's fleet, and who renders it; without Cluster documents it gets one that is called `cluster`."""
    from hub.cli.supplies import DiskRenderer
    from hub.cli.worktree import Worktree
    from hub.domain.fleet import cluster_document, with_clusters

    tree = Worktree(path)
    fleet = tree.fleet()
    if not fleet.clusters and (cluster or fleet.applications):
        fleet = with_clusters(fleet, [cluster_document(cluster or "any", {})])
    with DiskRenderer(tree) as renderer:
        yield renderer, fleet


def _check(
    renderer: DiskRenderer, fleet: FleetModel, application: Application, owners: dict[tuple[str, tuple[str, ...]], str]
) -> Iterator[Problem]:
    """What is wrong with an application's manifests, on whatever cluster; equal variants are rendered once.

    `owners` is who has which object on which cluster, by (cluster, key of the object); it is added to.
    """
    from hub.domain.placement import place
    from hub.domain.variants import variant
    from hub.render.job import RenderError

    seen: dict[str, tuple[ObjectRef, ...]] = {}
    for cluster in place(application, fleet, {}).selected:
        inputs = variant(application, cluster, fleet)
        if inputs.digest not in seen:
            seen[inputs.digest] = ()
            try:
                rendered = _rendered(renderer, inputs)
            except RenderError as error:
                yield from error.problems
                continue
            if rendered is not None:
                yield from rendered.warnings
                seen[inputs.digest] = rendered.refs
        for ref in seen[inputs.digest]:
            owner = owners.setdefault((cluster, ref.key), application.name)
            if owner != application.name:
                yield _claimed(ref, owner, fleet, application)


def _claimed(ref: ObjectRef, owner: str, fleet: FleetModel, application: Application) -> Problem:
    from shared.model import Problem

    place, hint = fleet.place("Application", application.name), "remove the object from one of the two"
    return Problem("error", f"{ref} already belongs to application {owner}", place, hint, application.name)


def _render_for(
    renderer: DiskRenderer, fleet: FleetModel, application: Application, cluster: str
) -> tuple[list[bytes], list[Problem]]:
    from hub.domain.placement import place
    from hub.domain.variants import variant
    from hub.render.job import RenderError
    from shared.model import Problem

    name = application.name
    if cluster not in place(application, fleet, {}).selected:
        return [], [Problem("warning", f"{name} is not placed on {cluster}", fleet.place("Application", name))]
    try:
        rendered = _rendered(renderer, variant(application, cluster, fleet))
    except RenderError as error:
        return [], list(error.problems)
    if rendered is None:
        return [], [Problem("warning", f"{name} has a source elsewhere, which only the hub fetches: left out")]
    return list(rendered.lines), list(rendered.warnings)


def _rendered(renderer: DiskRenderer, variant: Variant) -> Rendered | None:
    """The render of a variant, None when a source of it is a repository elsewhere.

    Raises:
        RenderError: it does not render.
    """
    from hub.cli.supplies import is_here
    from hub.supply.pinned import key_of

    keys = [key_of(part) for part in variant.inputs.blend.parts]
    if not all(key is None or is_here(key) for key in keys):
        return None
    return renderer.render(variant.inputs)


def _print(objects: list[bytes], output: Output) -> None:
    decoded = [json.loads(line) for line in objects]
    if output is Output.JSON:
        sys.stdout.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": decoded}, indent=2) + "\n")
        return
    from hub.domain.yamltext import to_yaml

    sys.stdout.write("---\n".join(map(to_yaml, decoded)))
