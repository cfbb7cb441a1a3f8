"""`yardarm dora`: delivery figures, as DORA defines them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from hub.cli.output import Output, Table, age, counted, emit

NONE = "—"
HEADINGS = ("DEPLOYMENTS", "PER DAY", "LEAD TIME", "P90", "FAILED", "RATE", "RECOVERY", "P90")


def dora(
    app: Annotated[str | None, typer.Option("--app", help="Only this application.")] = None,
    env: Annotated[str | None, typer.Option("--env", help="Only this environment.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How many days back from now.")] = 30,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="table for people, json or yaml for programs.")
    ] = Output.TABLE,
) -> None:
    """Shows how fast changes reach clusters and how often they fail: DORA's four figures, from the rollouts known.

    Lead time and recovery are medians, with the 90th percentile beside them.

    \b
    yardarm dora
    yardarm dora --env prod --days 90
    yardarm dora --app web -o json | jq .figures.leadTime
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli.client import Client
    from hub.cli.settings import target

    client = Client(target())
    found = client.get("dora", application=app, environment=env, days=days)
    if not found["rows"]:
        client.demand(application=app, environment=env)
    emit(found, output, lambda: drawn(found, env or ""))


def drawn(found: dict[str, Any], environment: str) -> Iterable[Table | str]:
    """What the API answered, for people."""
    where = f"in {environment}, " if environment else ""
    basis = counted(found["rollouts"], "rollout")
    yield f"{where}{_day(found['start'])} to {_day(found['end'])}, from {basis} that are known"
    if found["completeSince"] > found["start"]:
        yield f"of some applications only since {_day(found['completeSince'])}: the last 20 rollouts of each are kept"
    yield ""
    rows = [(row["application"], row["environment"] or "(all)", *_cells(row["figures"])) for row in found["rows"]]
    yield Table(("APP", "ENVIRONMENT", *HEADINGS), rows, "nothing was deployed in this time")
    if rows:
        yield ""
        weeks = [(_day(week["start"]), *_cells(week["figures"])) for week in found["weeks"]]
        yield Table(("WEEK FROM", *HEADINGS), [*weeks, ("together", *_cells(found["figures"]))])


def _cells(figures: dict[str, Any]) -> tuple[str, ...]:
    lead, recovery = figures["leadTime"], figures["recovery"]
    per_day, rate = figures["perDay"], figures["failureRate"]
    return (
        str(figures["deployments"]),
        NONE if per_day is None else f"{per_day:.2f}",
        _time(lead["median"]),
        _time(lead["p90"]),
        str(figures["failures"]),
        NONE if rate is None else f"{rate:.0%}",
        _time(recovery["median"]),
        _time(recovery["p90"]),
    )


def _time(seconds: float | None) -> str:
    return NONE if seconds is None else age(seconds)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
