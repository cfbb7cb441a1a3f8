"""What a change does to the whole fleet, before it is merged: diff and plan, without a hub."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.output import Table, counted, printable, show
from hub.cli.read import _now
from hub.cli.trouble import FOUND_TROUBLE, Trouble, usage
from shared.errors import YardarmError

if TYPE_CHECKING:
    from hub.domain.preview.model import Preview
    from hub.domain.preview.planning import Plan, PlannedApplication

NOTHING, CHANGES, ERRORS = 0, 1, 3
"""Exit codes: nothing changes; something does; what is new cannot be used as it is, or nothing can be said."""
PATIENCE = 300.0
"""Seconds to wait for the hub, which may have a lot to render."""

Repository = Annotated[Path, typer.Argument(metavar="PATH", help="The fleet repository, or a folder in it.")]
Before = Annotated[
    str, typer.Option("--from", metavar="REF", help="The state before; else HEAD, or with --hub what counts now.")
]
After = Annotated[str, typer.Option("--to", metavar="REF", help="The state after; else the files on disk.")]
Hub = Annotated[
    bool, typer.Option("--hub", help="Ask the hub (YARDARM_HUB, YARDARM_TOKEN): it knows what clusters report.")
]
Tried = Annotated[bool, typer.Option("--live", help="With --hub: agents try it on their clusters, by dry runs.")]
Kubernetes = Annotated[
    list[str] | None,
    typer.Option(
        "--kubernetes",
        metavar="[NAME=]VERSION",
        help="Without --hub: what clusters run, all or those of an environment or name; tells which of them no longer "
        "serve an API version.",
    ),
]
Only = Annotated[list[str] | None, typer.Option("--app", help="Only these applications.")]


class Form(enum.StrEnum):
    """What `-o` of a preview takes."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


Format = Annotated[
    Form, typer.Option("--output", "-o", help="text for people, markdown for a pull request, json for programs.")
]


def diff(
    path: Repository = Path(),
    before: Before = "",
    after: After = "",
    *,
    app: Only = None,
    kubernetes: Kubernetes = None,
    hub: Hub = False,
    live: Tried = False,
    output: Format = Form.TEXT,
) -> None:
    """Shows what a change does to every cluster: objects, fields, equal changes once with all their clusters.

    Ends with 0 if nothing changes, 1 if something does, 3 if what is new has errors. Values of Secrets are not shown.

    \b
    yardarm diff .                                 # what is not committed yet
    yardarm diff . --from origin/main --to HEAD    # a branch
    yardarm diff . --from origin/main -o markdown > comment.md
    yardarm diff . --kubernetes 1.31 --kubernetes prod=1.29
    yardarm diff --hub --to my-branch --live       # as the clusters are
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.domain.preview.unified import unified

    if live and not hub:
        usage("--live needs --hub: agents answer to their hub alone")
    preview, made = _looked_at(path, before, after, app, kubernetes, hub=hub, live=live)
    if output is Form.TEXT:
        _print(unified(preview))
    else:
        _write(preview, made, preview, output)
    raise typer.Exit(ERRORS if preview.errors else CHANGES if preview.changes else NOTHING)


def plan(
    path: Repository = Path(),
    before: Before = "",
    after: After = "",
    *,
    app: Only = None,
    kubernetes: Kubernetes = None,
    hub: Hub = False,
    output: Format = Form.TEXT,
) -> None:
    """Shows in which waves a change would reach which clusters, and what would wait for a person.

    Ends as `yardarm diff` does. Its markdown is that of `yardarm diff`: one comment has both.

    \b
    yardarm plan . --from origin/main
    yardarm plan . --from v1.4 --to v1.5 --app web -o json
    """  # noqa: D301 - \b keeps the lines of an example apart
    preview, made = _looked_at(path, before, after, app, kubernetes, hub=hub)
    if output is Form.TEXT:
        show(_lines(made, preview))
    else:
        _write(preview, made, made, output)
    raise typer.Exit(ERRORS if preview.errors else CHANGES if preview.changes else NOTHING)


def _write(preview: Preview, made: Plan, chosen: Preview | Plan, output: Form) -> None:
    from hub.domain.preview.markdown import markdown
    from shared.messages import to_json

    if output is Form.JSON:
        sys.stdout.write(json.dumps(to_json(chosen), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(markdown(preview, made))


def _looked_at(
    path: Path,
    before: str,
    after: str,
    applications: list[str] | None,
    kubernetes: list[str] | None,
    *,
    hub: bool,
    live: bool = False,
) -> tuple[Preview, Plan]:
    if not hub:
        return _worked_out(path, before, after, applications, kubernetes)
    if kubernetes:
        usage("--kubernetes is for previews without a hub: with --hub, clusters have said what they run")
    return _asked(before, after, applications, live)


def _worked_out(
    path: Path, before: str, after: str, applications: list[str] | None, kubernetes: list[str] | None
) -> tuple[Preview, Plan]:
    """From the repository here, without a hub."""
    from hub.cli import apichecks
    from hub.cli.snapshots import Folder
    from hub.cli.supplies import Offline
    from hub.domain.preview.planning import plan as planned
    from hub.previewing import Previewer

    folder = Folder(path)
    wanted = applications or []
    try:
        with Offline() as offline:
            old = folder.at(offline, before or "HEAD")
            new = folder.at(offline, after) if after else folder.as_it_lies(offline)
            known = old.model.applications.keys() | new.model.applications.keys()
            for name in wanted:
                if name not in known:
                    usage(f"there is no application {name!r}; there are: {', '.join(sorted(known)) or 'none'}")
            previewer = Previewer(offline.render, {}, lambda _application: (), offline.judge)
            known_versions = apichecks.minors(kubernetes or (), new.model)
            preview = offline.run(previewer.preview(old, new, wanted, known_versions))
            return preview, planned(preview, new.model, {}, _now())
    except Trouble:
        raise
    except YardarmError as error:
        raise Trouble(str(error), ERRORS) from error


def _asked(before: str, after: str, applications: list[str] | None, live: bool = False) -> tuple[Preview, Plan]:
    """From the hub, which has its own copy of the repository and knows what clusters report."""
    import msgspec

    from hub.cli.client import Client
    from hub.cli.settings import target
    from hub.domain.preview.model import Preview
    from hub.domain.preview.planning import Plan

    if not after:
        usage("--hub needs --to: it has what was pushed, not the files on disk")
    body = {"from": before, "to": after, "applications": applications or [], "live": live}
    try:
        told = Client(target()).post("previews", body, PATIENCE)
        return msgspec.convert(told["preview"], Preview), msgspec.convert(told["plan"], Plan)
    except Trouble as trouble:
        # 1 says that something changes.
        raise Trouble(str(trouble), ERRORS if trouble.code == FOUND_TROUBLE else trouble.code) from trouble
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise Trouble(
            f"the hub's answer cannot be read: {error}; are hub and yardarm of one version?", ERRORS
        ) from error


_COLOURS = {"+": "green", "-": "red", "@": "cyan", "#": "yellow", "d": "bold"}


def _print(text: str) -> None:
    if not sys.stdout.isatty():
        sys.stdout.write(printable(text, keep="\n"))
        return
    from rich.text import Text

    from hub.cli.output import console

    terminal = console()
    for line in text.splitlines():
        terminal.print(Text(printable(line), _COLOURS.get(line[:1], "")), soft_wrap=True)


def _lines(made: Plan, preview: Preview) -> Iterator[Table | str]:
    from hub.domain.preview.wording import finding, headline, outdated, outdated_before, some

    yield f"{made.from_} -> {made.to}: {headline(preview)}"
    yield from (f"new {finding(each)}" for each in preview.new)
    yield from (f"outdated {outdated(each)}" for each in preview.outdated)
    if preview.outdated_before:
        yield f"outdated {outdated_before(preview)}"
    for application in made.applications:
        yield ""
        yield from _application(application)
    for held in made.held:
        where = f" [{some(held.clusters)}]" if held.clusters else ""
        about = f"{held.application}: " if held.application else ""
        yield f"waits for a person's word (`yardarm confirm`): {about}{held.reason}{where}"


def _application(application: PlannedApplication) -> Iterator[Table | str]:
    from hub.domain.preview.wording import some

    clusters = sum(len(wave.clusters) for wave in application.waves)
    if clusters:
        yield f"{application.name}: {counted(clusters, 'cluster')} in {counted(len(application.waves), 'wave')}"
        rows = [
            [wave.name, str(len(wave.clusters)), str(wave.at_once), some(wave.clusters, 6), "; ".join(wave.before)]
            for wave in application.waves
        ]
        yield Table(["WAVE", "CLUSTERS", "AT ONCE", "WHICH", "AFTER"], rows)
    if application.leaving:
        yield f"{application.name} leaves {some(application.leaving)}"
    for unclear in application.unclear:
        yield f"{application.name} on {some(unclear.clusters)}: {unclear.reason}"
