"""`yardarm rollout`: follows rollouts, and steers them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from hub.cli import progress
from hub.cli.asking import Reason, Yes, agreed, because
from hub.cli.output import Output, Table, emit
from hub.cli.read import App, Env, Format, Limit, _client, _now
from hub.cli.trouble import FOUND_TROUBLE, Trouble, usage

Item = dict[str, Any]

Application = Annotated[str, typer.Argument(metavar="APP", help="The application.")]
Wait = Annotated[bool, typer.Option("--wait", help="Come back when the rollout has ended: 0 if well, else 1.")]
Clusters = Annotated[list[str], typer.Option("--cluster", help="This cluster; several by repeating.")]
Which = Annotated[str, typer.Option("--rollout", help="An earlier one, by its id; `history -o json` has them.")]

TAKEN = 30.0
"""Seconds in which the leading hub should have taken in what was asked."""

app = typer.Typer(
    help="""Follows rollouts, and steers them.

\b
yardarm rollout list
yardarm rollout show web --watch
yardarm rollout approve web --reason "dashboards look fine"
yardarm rollout rollback web --to 3f2a91c --reason "errors in checkout"
""",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    app: App = None,
    env: Env = None,
    phase: Annotated[str | None, typer.Option("--phase", help="Only in this phase, such as Paused.")] = None,
    active: Annotated[bool, typer.Option("--active", help="Only those under way, or paused.")] = False,
    limit: Limit = None,
    output: Format = Output.TABLE,
) -> None:
    """Lists the newest rollout of each application: how far it is, and what it waits for.

    \b
    yardarm rollout list --active
    yardarm rollout list --phase Paused
    yardarm rollout list --env prod -o json
    """  # noqa: D301 - \b keeps the lines of an example apart
    client = _client()
    chosen: dict[str, str | int | None] = {"application": app, "environment": env, "phase": phase, "latest": "true"}
    items = client.items("rollouts", limit, **chosen, **({"active": "true"} if active else {}))
    if not items:
        client.demand(application=app, environment=env)
    emit(items, output, lambda: [progress.listed(items, _now())])


@app.command("show")
def show_(
    application: Application,
    rollout: Which = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it has ended, or Ctrl-C.")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Shows a rollout: stages, clusters by state, what it waits for and since when, and what happened to it.

    Ends with 1 if it failed, was rolled back, or stands because too much failed.

    \b
    yardarm rollout show web
    yardarm rollout show web --watch
    yardarm rollout show web -o json | jq '.stages[] | {name, phase, clusters}'
    """  # noqa: D301 - \b keeps the lines of an example apart
    client = _client()
    path = f"rollouts/{application}/{rollout}" if rollout else f"rollouts/{application}"
    if watch and output is not Output.TABLE:
        usage("--watch draws for people; for programs leave it out and ask again, or read /api/v1/stream")
    found = _watched(client, path) if watch else client.get(path)
    emit(found, output, lambda: progress.shown(found, _now()))
    if progress.in_trouble(found):
        raise typer.Exit(FOUND_TROUBLE)


@app.command()
def history(application: Application, limit: Limit = 20, output: Format = Output.TABLE) -> None:
    """Lists the last rollouts of an application, newest first: how they ended, and how long each stage took.

    \b
    yardarm rollout history web
    """  # noqa: D301 - \b keeps the lines of an example apart
    items = _client().items(f"rollouts/{application}/history", limit)
    emit(items, output, lambda: [progress.past(items, _now())])


@app.command()
def pause(application: Application, reason: Reason = "", yes: Yes = False, output: Format = Output.TABLE) -> None:
    """Gives the revision to no other cluster until somebody resumes. What is in flight goes on.

    \b
    yardarm rollout pause web --reason "looking at the error rate"
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "pause", {"reason": reason}, yes, output)


@app.command()
def resume(
    application: Application, reason: Reason = "", yes: Yes = False, wait: Wait = False, output: Format = Output.TABLE
) -> None:
    """Goes on with a paused rollout; what has failed until now is put up with.

    \b
    yardarm rollout resume web
    yardarm rollout resume web --yes --wait     # in a pipeline
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "resume", {"reason": reason}, yes, output, wait)


@app.command()
def approve(
    application: Application,
    stage: Annotated[str, typer.Option("--stage", help="The stage; left out: the one that waits.")] = "",
    reason: Reason = "",
    yes: Yes = False,
    output: Format = Output.TABLE,
) -> None:
    """Gives your word that a stage may start. Who counts is in the stage's `approve.by`.

    \b
    yardarm rollout approve web --reason "dashboards look fine"
    yardarm rollout approve web --stage prod --yes
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "approve", {"reason": reason, "stage": stage}, yes, output)


@app.command()
def retry(
    application: Application,
    cluster: Clusters = [],  # noqa: B006 - typer only reads it
    reason: Reason = "",
    yes: Yes = False,
    output: Format = Output.TABLE,
) -> None:
    """Has clusters that failed try once more, with a new deadline: all of them, or those that are named.

    \b
    yardarm rollout retry web
    yardarm rollout retry web --cluster prod-eu-1
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "retry", {"reason": reason, "clusters": cluster}, yes, output)


@app.command()
def skip(
    application: Application,
    cluster: Clusters = [],  # noqa: B006 - typer only reads it
    reason: Reason = "",
    yes: Yes = False,
    output: Format = Output.TABLE,
) -> None:
    """Leaves out clusters of this rollout: nobody waits for them. All that failed, or those that are named.

    \b
    yardarm rollout skip web --cluster prod-eu-9 --reason "being rebuilt"
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "skip", {"reason": reason, "clusters": cluster}, yes, output)


@app.command()
def abort(application: Application, reason: Reason = "", yes: Yes = False, output: Format = Output.TABLE) -> None:
    """Ends a rollout where it is. Clusters keep what they have, and the revision does not start again by itself.

    To have them go back, `yardarm rollout rollback`.

    \b
    yardarm rollout abort web --reason "wrong branch"
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "abort", {"reason": reason}, yes, output)


@app.command()
def rollback(
    application: Application,
    to: Annotated[
        str, typer.Option("--to", help="A revision or commit of `history`, or how it begins; else the last one.")
    ] = "",
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    output: Format = Output.TABLE,
) -> None:
    """Gives clusters again what a completed rollout gave them, newest stage first, and holds the revision they have.

    No window, approval or soak delays it. Until Git moves on, the revision does not start again by itself.

    \b
    yardarm rollout rollback web --reason "errors in checkout"
    yardarm rollout rollback web --to 3f2a91c --reason "errors in checkout" --wait
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "rollback", {"reason": reason, "to": to}, yes, output, wait)


@app.command()
def bypass(application: Application, reason: Reason = "", yes: Yes = False, output: Format = Output.TABLE) -> None:
    """In an emergency: leaves out approvals, windows, limits, soak and checks. Needs the role admin or emergency.

    \b
    yardarm rollout bypass web --reason "fixes the outage of tonight"
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "bypass", {"reason": reason}, yes, output)


@app.command()
def release(application: Application, reason: Reason = "", yes: Yes = False, output: Format = Output.TABLE) -> None:
    """Lets a revision start again that was rolled back or aborted. For holds that people have set: `yardarm release`.

    \b
    yardarm rollout release web --reason "the database is back"
    """  # noqa: D301 - \b keeps the lines of an example apart
    _steer(application, "release", {"reason": reason}, yes, output)


MUST_SAY_WHY = frozenset({"abort", "rollback", "bypass", "skip"})


def _steer(application: str, verb: str, body: Item, yes: bool, output: Output, wait: bool = False) -> None:
    """Shows what a request would do, asks, and has exactly that done: to no rollout that has begun meanwhile."""
    client = _client()
    path = f"rollouts/{application}/{verb}"
    would = client.post(path, body | {"dryRun": True})
    agreed(f"{application}: {would['effect']}", yes, output)
    reason = because(body["reason"], verb in MUST_SAY_WHY)
    done = client.post(path, body | {"reason": reason, "rollout": would["rollout"]})
    if not wait:
        emit(done, output, lambda: [f"{application}: {done['effect']}"])
        return
    found = _awaited(client, done)
    emit(found, output, lambda: progress.shown(found, _now()))
    if found["phase"] != ("RolledBack" if verb == "rollback" else "Completed"):
        raise typer.Exit(FOUND_TROUBLE)


def _watched(client: Any, path: str) -> Item:
    """Draws a rollout anew whenever something changes, until it has ended; returns it as it is then."""
    from hub.cli.watch import follow

    found: Item = client.get(path)
    path = f"rollouts/{found['application']}/{found['id']}"

    def draw() -> Iterable[Table | str]:
        nonlocal found
        found = client.get(path)
        return progress.shown(found, _now())

    if found["active"]:
        follow(client, draw, over=lambda: not found["active"])
    return found


def _awaited(client: Any, done: Item) -> Item:
    """The rollout as it is when what was asked of it has been carried out, and it has ended."""
    from hub.cli.watch import looks

    path = f"rollouts/{done['application']}/{done['rollout']}"
    until = _now() + TAKEN
    for _ in looks(client):
        found: Item = client.get(path)
        taken = done["request"] in found["requests"]
        if taken and not found["active"]:
            return found
        if not taken and _now() > until:
            name = done["application"]
            raise Trouble(f"no hub has taken it in within {TAKEN:g} s: see `yardarm rollout show {name}`")
    raise AssertionError("looks are without end")
