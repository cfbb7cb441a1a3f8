"""How results are printed: as a table for people, as JSON or YAML for programs.

On a terminal tables are coloured and cut to its width; anywhere else they are plain columns that nothing cuts.
"""

from __future__ import annotations

import enum
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STYLES = {
    "Ready": "green",
    "Progressing": "cyan",
    "Waiting": "blue",
    "Paused": "dim",
    "Drifted": "yellow",
    "Stale": "magenta",
    "Blocked": "red",
    "Failed": "bold red",
    "Healthy": "green",
    "Degraded": "bold red",
    "Missing": "red",
    "Suspended": "dim",
    "Completed": "green",
    "Done": "green",
    "Restored": "green",
    "RollingBack": "yellow",
    "RolledBack": "yellow",
    "Aborted": "yellow",
    "Kept": "yellow",
    "Soaking": "cyan",
    "Checking": "cyan",
    "Assigned": "cyan",
    "Restoring": "cyan",
    "Offline": "magenta",
    "Pending": "dim",
    "Skipped": "dim",
    "Superseded": "dim",
    "error": "bold red",
    "warning": "yellow",
}
"""Colours of states, healths, phases of rollouts, and severities, wherever they are shown."""


class Output(enum.StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings. A cell that is a known state is coloured. `empty` is said when there is no row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    empty: str = "nothing"


def emit(data: Any, output: Output, people: Callable[[], Iterable[Table | str]]) -> None:
    """Prints `data` for a program, or what `people()` makes of it for a person."""
    if output is Output.JSON:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    elif output is Output.YAML:
        from hub.domain.yamltext import to_yaml

        sys.stdout.write(to_yaml(data))
    else:
        show(people())


def show(parts: Iterable[Table | str]) -> None:
    """Prints tables and lines for a person."""
    if sys.stdout.isatty():
        terminal = console()
        for part in parts:
            drawn = rich_table(part) if isinstance(part, Table) else printable(part, keep="\n")
            terminal.print(drawn, markup=False, highlight=False)
        return
    for part in parts:
        sys.stdout.write((plain_table(part) if isinstance(part, Table) else printable(part, keep="\n")) + "\n")


def printable(text: str, keep: str = "") -> str:
    """Without what would steer a terminal: commit messages and clusters' answers are other people's words."""
    return (
        "".join(each if each in keep or not unicodedata.category(each).startswith("C") else " " for each in text)
        if not text.isprintable()
        else text
    )


def console() -> Console:
    """Standard output as a rich console."""
    from rich.console import Console

    return Console(highlight=False)


def rich_table(table: Table) -> RenderableType:
    """The coloured form."""
    from rich.table import Table as RichTable
    from rich.text import Text

    if not table.rows:
        return Text(table.empty, style="dim")
    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    last = len(table.columns) - 1
    for number, column in enumerate(table.columns):
        drawn.add_column(column, overflow="fold", ratio=1 if number == last and number else None)
    for row in table.rows:
        drawn.add_row(*(Text(printable(cell), style=STYLES.get(cell.partition(" ")[0], "")) for cell in row))
    return drawn


def plain_table(table: Table) -> str:
    """Columns separated by at least three blanks, as kubectl prints them."""
    if not table.rows:
        return table.empty
    lines = [table.columns, *([printable(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(table.columns))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def age(seconds: float) -> str:
    """A duration in its two largest parts at most: `20ms`, `0.4s`, `12s`, `3m5s`, `2h10m`, `4d`."""
    if seconds < 0.0005:
        return "0s"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s".replace(".0s", "s")
    whole = round(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f"{rest}{name}" if rest else "")
    return f"{whole}s"


def counted(number: int, what: str) -> str:
    """`1 cluster`, `2 clusters`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def object_name(ref: dict[str, Any]) -> str:
    """An object reference as people write it: `Deployment shop/web`."""
    name = f"{ref['namespace']}/{ref['name']}" if ref.get("namespace") else ref["name"]
    return f"{ref['kind']} {name}"


def short(sha: str | None) -> str:
    """The first seven digits of a commit or digest."""
    return (sha or "").removeprefix("sha256:")[:7]


def value(content: Any) -> str:
    """A field's value on one line, cut where it is long."""
    if content is None:
        return "—"
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    text = text.replace("\n", "\\n")
    return text if len(text) <= 60 else text[:59] + "…"
