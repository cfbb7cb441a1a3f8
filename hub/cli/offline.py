"""Commands that need no hub: validate, render, schema, sample. For editors, commit hooks and CI."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.output import Output, counted, emit
from hub.cli.trouble import FOUND_TROUBLE, Trouble, usage

if TYPE_CHECKING:
    from hub.domain.fleet import FleetModel
    from hub.domain.preview.states import State
    from hub.previewing import Snapshot
    from shared.model import Problem

Repository = Annotated[Path, typer.Argument(metavar="PATH", help="The fleet repository, or a folder in it.")]
Format = Annotated[Output, typer.Option("--output", "-o", help="table for people, json or yaml for programs.")]


def validate(
    path: Repository = Path(),
    kubernetes: Annotated[
        list[str] | None,
        typer.Option(
            "--kubernetes",
            metavar="[NAME=]VERSION",
            help="What clusters run, all or those of an environment or name: checks that they know the API versions "
            "and, where yardarm[schemas] is installed, every field.",
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Checks a fleet repository as it lies on disk: documents, references, placement, and that everything renders.

    Ends with 1 if there is an error; warnings are only shown.

    \b
    yardarm validate .
    yardarm validate . --kubernetes 1.31 --kubernetes prod=1.29
    yardarm validate fleet -o json
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli import apichecks
    from shared.messages import to_json

    with _looked_at(path) as (snapshot, state):
        fleet = snapshot.model
    said = apichecks.problems(state, apichecks.versions(kubernetes or (), fleet))
    found = (*state.problems, *_problems(state), *_claimed(state, fleet), *_over_quota(state, fleet), *said)
    problems = list(dict.fromkeys(found))
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
    from hub.domain.preview.states import Failed, Made, Unseen
    from shared.model import Problem

    with _looked_at(path, [app] if app else [], cluster) as (snapshot, state):
        fleet = snapshot.model
    objects: list[bytes] = []
    problems: list[Problem] = [*state.problems]
    for name in sorted(state.units):
        place = fleet.place("Application", name)
        if cluster not in state.units[name]:
            problems.append(Problem("warning", f"{name} is not placed on {cluster}", place))
            continue
        match state.results[state.units[name][cluster]]:
            case Made() as made:
                objects += [line for _, line in made.objects.values()]
                problems += made.warnings
            case Failed(found):
                problems += found
            case Unseen(reason):
                problems.append(Problem("warning", f"left out: {reason}", place, application=name))
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
def _looked_at(path: Path, applications: Sequence[str] = (), cluster: str = "") -> Iterator[tuple[Snapshot, State]]:
    """The fleet of a folder with everything rendered, on one cluster or on all."""
    from hub.cli.snapshots import Folder
    from hub.cli.supplies import Offline
    from hub.previewing import Previewer

    folder = Folder(path, cluster)
    with Offline() as offline:
        snapshot = folder.as_it_lies(offline)
        fleet = snapshot.model
        if cluster and cluster not in fleet.clusters:
            known = ", ".join(sorted(fleet.clusters)) or "none"
            usage(f"there is no cluster {cluster!r} in {path}; there are: {known}")
        for name in applications:
            if name not in fleet.applications:
                known = ", ".join(sorted(fleet.applications)) or "none"
                usage(f"there is no application {name!r} in {path}; there are: {known}")
        previewer = Previewer(offline.render, {}, lambda _application: (), offline.judge)
        yield snapshot, offline.run(previewer.check(snapshot, applications, [cluster] if cluster else []))


def _problems(state: State) -> Iterator[Problem]:
    """What is wrong with manifests, on whatever cluster; that of one application after the other."""
    from hub.domain.preview.states import Failed, Made, Unseen
    from shared.model import Problem

    for name in sorted(state.units):
        for key in sorted(set(state.units[name].values())):
            match state.results[key]:
                case Made() as made:
                    yield from made.warnings
                case Failed(problems):
                    yield from problems
                case Unseen(reason):
                    yield Problem("warning", f"not looked at: {reason}", application=name)


def _claimed(state: State, fleet: FleetModel) -> Iterator[Problem]:
    """Objects that two applications have on one cluster."""
    from hub.domain.preview.states import Made
    from shared.model import Problem

    owners: dict[tuple[str, tuple[str, ...]], str] = {}
    for name in sorted(state.units):
        for cluster, key in state.units[name].items():
            made = state.results[key]
            for ref, _ in made.objects.values() if isinstance(made, Made) else ():
                owner = owners.setdefault((cluster, ref.key), name)
                if owner != name:
                    place, hint = fleet.place("Application", name), "remove the object from one of the two"
                    yield Problem("error", f"{ref} already belongs to application {owner}", place, hint, name)


def _over_quota(state: State, fleet: FleetModel) -> Iterator[Problem]:
    """Projects that would have more units, or objects in them, than they may. Applications are counted by the model."""
    from hub.domain.preview.states import Made
    from hub.domain.tenancy import Usage, over_quota
    from shared.model import Problem

    for name, project in fleet.projects.items():
        mine = [units for each, units in state.units.items() if fleet.applications[each].spec.project == name]
        made = [state.results[key] for units in mine for key in units.values()]
        objects = sum(len(each.objects) for each in made if isinstance(each, Made))
        if over := over_quota(name, project.spec.quota, Usage(units=len(made), objects=objects)):
            place, hint = fleet.place("Project", name, "spec.quota"), "remove something of it, or raise its quota"
            yield Problem("error", over, place, hint)


def _print(objects: list[bytes], output: Output) -> None:
    decoded = [json.loads(line) for line in objects]
    if output is Output.JSON:
        sys.stdout.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": decoded}, indent=2) + "\n")
        return
    from hub.domain.yamltext import to_yaml

    sys.stdout.write("---\n".join(map(to_yaml, decoded)))
