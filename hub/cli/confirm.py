"""`yardarm confirm`: shows deletions that wait for a person, asks, and lets exactly those go ahead."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from hub.cli.output import Output, Table, age, counted, emit, object_name, show
from hub.cli.read import Format, _client, _now
from hub.cli.trouble import FOUND_TROUBLE, Trouble, usage

Entry = dict[str, Any]
SHOWN = 20
"""Objects, clusters or applications listed of each entry."""


def confirm(
    what: Annotated[
        str, typer.Argument(metavar="[APP | CLUSTER/NAMESPACE/APP]", help="What to confirm; left out: only list.")
    ] = "",
    all_clusters: Annotated[
        bool, typer.Option("--all-clusters", help="Without questions: on every cluster where it waits.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the history.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Lists deletions that wait for a person's word, and lets them go ahead.

    What is confirmed is exactly what is shown: if more comes to it meanwhile, it has to be confirmed anew.

    \b
    yardarm confirm
    yardarm confirm web
    yardarm confirm prod-eu-1/shop/web --reason "moved to the new store" --yes
    """  # noqa: D301 - \b keeps the lines of an example apart
    client = _client()
    application, unit = _scope(what)
    waiting = [
        entry for found in client.get("confirmations", application=application)["items"] if (entry := _of(found, unit))
    ]
    if not what:
        emit({"items": waiting}, output, lambda: _lines(waiting))
        return
    if not waiting:
        raise Trouble(f"nothing of {what} waits to be confirmed; `yardarm confirm` lists what does")
    chosen = _chosen(waiting, all_clusters, yes, output)
    if not chosen:
        raise Trouble("nothing was confirmed", FOUND_TROUBLE)
    body = {"application": application, "units": [unit] if unit else [], "reason": reason, "tokens": _tokens(chosen)}
    done = client.post("confirmations", body)
    emit(done, output, lambda: _done(done["items"]))


def _scope(what: str) -> tuple[str, str]:
    """(application, unit): at most one of them."""
    parts = what.split("/")
    if len(parts) == 3 and all(parts):
        return parts[2], what
    if len(parts) != 1:
        usage(f"{what!r} is neither an application nor CLUSTER/NAMESPACE/APPLICATION")
    return what, ""


def _of(entry: Entry, unit: str) -> Entry | None:
    """The part of an entry that is about one unit; without a unit all of it."""
    if not unit:
        return entry
    units = [each for each in entry["units"] if _unit(each) == unit]
    return {**entry, "units": units} if units else None


def _chosen(waiting: Sequence[Entry], all_clusters: bool, yes: bool, output: Output) -> list[Entry]:
    """What the person agrees to."""
    if yes:
        clusters = sorted({each["cluster"] for entry in waiting for each in entry["units"]})
        if len(clusters) > 1 and not all_clusters:
            names = ", ".join(clusters[:5]) + (", …" if len(clusters) > 5 else "")
            usage(f"it waits on {len(clusters)} clusters ({names}): add --all-clusters, or name one as CLUSTER/NS/APP")
        return list(waiting)
    if not sys.stdin.isatty() or output is not Output.TABLE:
        show(_lines(waiting))
        usage("nobody can be asked here: add --yes")
    chosen = []
    for entry in waiting:
        show(_entry(entry))
        if typer.confirm("Let this go ahead?", default=False):
            chosen.append(entry)
    return chosen


def _tokens(entries: Iterable[Entry]) -> list[str]:
    tokens = {each["token"] for entry in entries for each in entry["units"]}
    return sorted(tokens | {entry["token"] for entry in entries if entry["token"]})


def _lines(waiting: Sequence[Entry]) -> Iterable[Table | str]:
    if not waiting:
        yield "nothing waits to be confirmed"
    for entry in waiting:
        yield from _entry(entry)


def _entry(entry: Entry) -> Iterable[Table | str]:
    yield f"{_headline(entry)} (for {age(max(0.0, _now() - entry['since']))})"
    yield f"  {entry['reason']}"
    names = [object_name(each) for each in entry["objects"]] or entry["items"]
    yield from (f"  - {name}" for name in names[:SHOWN])
    if entry["count"] > min(SHOWN, len(names)):
        yield f"  - and {entry['count'] - min(SHOWN, len(names))} more"
    units = [_unit(each) for each in entry["units"]]
    if units:
        more = f" and {len(units) - SHOWN} more" if len(units) > SHOWN else ""
        yield f"  on {', '.join(units[:SHOWN])}{more}"


def _headline(entry: Entry) -> str:
    match entry["kind"]:
        case "objects":
            clusters = counted(len(entry["units"]), "cluster")
            return f"{entry['application']}: delete {counted(entry['count'], 'object')} on {clusters}"
        case "applications":
            return f"remove {counted(entry['count'], 'application')} from the fleet"
        case "clusters":
            return f"{entry['application']}: leave {counted(entry['count'], 'cluster')}"
        case _:
            return f"{entry['application']}: remove what it moved away from"


def _done(entries: Sequence[Entry]) -> Iterable[str]:
    yield from (f"confirmed: {_headline(entry)}" for entry in entries)


def _unit(each: dict[str, str]) -> str:
    return f"{each['cluster']}/{each['namespace']}/{each['application']}"
