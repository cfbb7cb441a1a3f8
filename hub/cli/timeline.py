"""`yardarm trace`: where one revision's time went, as a waterfall with one line per cluster.

The drawing is pure: times in, text out. Agents' times are on their own clocks, so a step never begins before the one
ahead of it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from hub.cli.output import Output, age, emit, short

Item = dict[str, Any]

DELIVER, FETCH, APPLY, SETTLE = "░", "▒", "█", "▓"
LEGEND = f"{DELIVER} deliver  {FETCH} fetch  {APPLY} apply  {SETTLE} become healthy  … not there yet"
WIDTH = 100
"""Columns where the terminal does not say how many it has."""
LEAST_BAR = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time, in seconds from the beginning, and the character it is drawn with."""

    start: float
    end: float
    mark: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the waterfall. `note` is what is said behind it."""

    label: str
    state: str
    segments: tuple[Segment, ...]
    note: str


def trace(
    application: Annotated[str, typer.Argument(metavar="APP", help="The application.")],
    revision: Annotated[
        str | None, typer.Option("--revision", help="A revision or commit, or its first digits; else the newest.")
    ] = None,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="table for people, json or yaml for programs.")
    ] = Output.TABLE,
) -> None:
    """Shows where a commit's time went: planned, rendered, published, then delivered, applied and healthy per cluster.

    \b
    yardarm trace web
    yardarm trace web --revision 3f2a91c
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.cli.client import Client
    from hub.cli.settings import target

    found = Client(target()).get(f"applications/{application}/trace", revision=revision)
    emit(found, output, lambda: ["\n".join(waterfall(found, _width()))])


def waterfall(found: Item, width: int = WIDTH) -> Iterator[str]:
    """The lines of a trace, no wider than `width` where the names allow it."""
    commit = found.get("commit") or {}
    subject = f" “{commit['subject']}”" if commit.get("subject") else ""
    by = f" by {commit['author']}" if commit.get("author") else ""
    by += f", signed by {commit['signed']['by']}" if commit.get("signed") else ""
    yield f"{found['application']}: commit {short(commit.get('sha'))}{subject}{by}"
    yield f"revision {found['revision'][:12]} · trace {found.get('trace') or 'none'}{_lag(found)}"
    yield ""
    bars = [*_hub_bars(found), *map(_cluster_bar, found["clusters"])]
    begin, end = _bounds(bars)
    labels = max((len(bar.label) for bar in bars), default=0)
    states = max((len(bar.state) for bar in bars), default=0)
    room = max(LEAST_BAR, width - labels - states - 4 - max((len(bar.note) for bar in bars), default=0))
    ruler = f"0s{age(end - begin).rjust(room - 2)}"
    yield f"{'':{labels}}  {'':{states}}  {ruler}"
    for bar in bars:
        drawn = _drawn(bar.segments, begin, end, room)
        yield f"{bar.label:{labels}}  {bar.state:{states}}  {drawn} {bar.note}".rstrip()
    yield ""
    yield from _footer(found)


def _lag(found: Item) -> str:
    times = found.get("times") or {}
    if times.get("committed") and times.get("detected"):
        return f" · seen {age(times['detected'] - times['committed'])} after it was committed"
    return ""


def _hub_bars(found: Item) -> Iterator[Bar]:
    times = found.get("times") or {}
    reached = times.get("detected")
    for label, name in (("plan", "planned"), ("render", "rendered"), ("publish", "published")):
        at = times.get(name)
        if at is None or reached is None:
            continue
        yield Bar(f"hub: {label}", "", (Segment(reached, max(at, reached), APPLY),), age(at - reached))
        reached = max(at, reached)


def _cluster_bar(row: Item) -> Bar:
    steps = (("delivered", DELIVER), ("fetched", FETCH), ("applied", APPLY), ("healthy", SETTLE))
    reached = row.get("published")
    segments: list[Segment] = []
    for name, mark in steps:
        at = row.get(name)
        if at is None or reached is None:
            continue
        segments.append(Segment(reached, max(at, reached), mark))
        reached = max(at, reached)
    took = row.get("seconds")
    note = age(took) if took is not None else "…"
    return Bar(row["cluster"], row["state"], tuple(segments), f"{note} {row.get('reason') or ''}".strip())


def _bounds(bars: Sequence[Bar]) -> tuple[float, float]:
    times = [edge for bar in bars for segment in bar.segments for edge in (segment.start, segment.end)]
    return (min(times), max(times)) if times else (0.0, 0.0)


def _drawn(segments: Sequence[Segment], begin: float, end: float, room: int) -> str:
    """Every stretch gets at least one column; where they do not fit beside each other, the later one is seen."""
    cells = [" "] * room
    span = end - begin
    for segment in segments:
        # Divided first: the shortest of spans would make a scale that is no number.
        start, stop = ((segment.start - begin) / span, (segment.end - begin) / span) if span > 0 else (0.0, 0.0)
        first = min(room - 1, int(start * room))
        last = min(room, max(first + 1, round(stop * room)))
        cells[first:last] = segment.mark * (last - first)
    return "".join(cells)


def _footer(found: Item) -> Iterator[str]:
    yield LEGEND
    seconds = found.get("seconds") or {}
    total, healthy = found.get("total", len(found["clusters"])), found.get("healthy", 0)
    text = f"healthy on {healthy} of {total} clusters"
    if seconds.get("max") is not None:
        text += f"; from seen to healthy: half within {age(seconds['p50'])}, all of these within {age(seconds['max'])}"
    yield text
    hidden = total - len(found["clusters"])
    if hidden > 0:
        yield f"{hidden} more clusters, all quicker, are not shown"


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((WIDTH, 24)).columns
