"""`yardarm audit`: who did what, when, from where, and what came of it; for people, and as an export."""

from __future__ import annotations

import enum
import itertools
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.output import Output, Table, emit, printable
from hub.cli.read import Format, Limit, _client, _now
from hub.cli.trouble import usage
from hub.domain.auditing import Result, Via, cloudevent

if TYPE_CHECKING:
    from hub.cli.client import Client

Item = dict[str, Any]

PAGE = 500
PAUSE = 1.0
"""Seconds between looks at what has come, with `--follow`."""
HEADINGS = ("TIME", "ACTOR", "FROM", "ACTION", "TARGET", "RESULT", "WHY")


class Lines(enum.StrEnum):
    """What one line of an export is."""

    JSONL = "jsonl"
    CLOUDEVENTS = "cloudevents"


def audit(  # noqa: PLR0917 - typer's options
    since: Annotated[str, typer.Option("--since", help="From then on: 24h, 7d, or 2026-11-26T08:00:00Z.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to then, as for --since.")] = "",
    actor: Annotated[str, typer.Option("--actor", help="Only of this person or machine.")] = "",
    action: Annotated[str, typer.Option("--action", help="Only this: rollout.approve, or rollout for all of it.")] = "",
    target: Annotated[str, typer.Option("--target", help="Only what was done to this.")] = "",
    result: Annotated[Result | None, typer.Option("--result", help="Only what ended like this.")] = None,
    via: Annotated[Via | None, typer.Option("--via", help="Only what came this way.")] = None,
    source: Annotated[str, typer.Option("--source", help="Only from this address.")] = "",
    limit: Limit = None,
    form: Annotated[
        Lines | None, typer.Option("--format", help="Everything, the oldest first, one JSON document a line.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Goes on with what comes, until Ctrl-C.")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Shows the audit trail: every change, refusal, approval, join, login and key event. Needs the role admin.

    \b
    yardarm audit --since 24h --result refused
    yardarm audit --actor ann --action rollout
    yardarm audit --since 30d --format jsonl > audit.jsonl
    yardarm audit --format cloudevents --follow | vector --config siem.toml
    """  # noqa: D301 - \b keeps the lines of an example apart
    if output is not Output.TABLE and (form is not None or follow):
        usage("-o makes one document of what there is now: use --format jsonl for an export, or with --follow")
    now = _now()
    query: Item = {
        "since": _moment("--since", since, now),
        "until": _moment("--until", until, now),
        "actor": actor,
        "action": action,
        "target": target,
        "result": result,
        "via": via,
        "source": source,
    }
    client = _client()
    if form is None and not follow:
        items = client.items("audit", limit or 100, **query)
        items.reverse()
        emit(items, output, lambda: [Table(HEADINGS, [_row(item) for item in items], "nothing of this in the trail")])
        return
    _export(client, query, form, limit, follow=follow, hub=client.address)


def _export(client: Client, query: Item, form: Lines | None, limit: int | None, *, follow: bool, hub: str) -> None:
    """Writes lines as they come: an export of years must not have to fit in memory."""
    if follow and form is None and not query["since"]:
        query = query | {"since": _now()}
    for item in itertools.islice(_entries(client, query, follow=follow), limit):
        sys.stdout.write(_line(item, form, hub) + "\n")
        if follow:
            sys.stdout.flush()


def _entries(client: Client, query: Item, *, follow: bool) -> Iterator[Item]:
    number = 0
    while True:
        page = client.get("audit", **query, after=number, limit=PAGE)
        yield from page["items"]
        reached = int(page["next"] or 0)
        if reached == number:
            if not follow:
                return
            time.sleep(PAUSE)
        number = reached


def _line(item: Item, form: Lines | None, hub: str) -> str:
    if form is None:
        return printable("  ".join(cell for cell in _row(item) if cell))
    return json.dumps(cloudevent(item, hub) if form is Lines.CLOUDEVENTS else item, ensure_ascii=False)


def _row(item: Item) -> tuple[str, ...]:
    times = f" ({item['count']} times)" if item["count"] > 1 else ""
    why = " — ".join(part for part in (item["detail"], item["reason"]) if part)
    return (
        datetime.fromtimestamp(item["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        item["actor"] or "(unknown)",
        f"{item['source'] or item['hub']} ({item['via']})",
        item["action"],
        item["target"],
        item["result"] + times,
        why,
    )


def _moment(option: str, given: str, now: float) -> float | None:
    """Unix seconds of a moment, or of a time ago."""
    from hub.domain.fields import parse_duration

    if not given:
        return None
    try:
        moment = datetime.fromisoformat(given)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        pass
    try:
        return now - parse_duration(given)
    except ValueError as error:
        usage(f"{option}: {error}; or write a moment, like 2026-11-26T08:00:00Z")
