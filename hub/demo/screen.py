"""Where the demo shows itself: a live table under scrolling news on a terminal, plain lines anywhere else.

It is told what to show; it asks nobody and decides nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from hub.cli import matrix
from hub.cli.output import STYLES, Table, console, plain_table, rich_table
from hub.demo.progress import Line, Snapshot


class Screen(Protocol):
    """What the demo can tell a person."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tell(self, lines: Sequence[Line]) -> None:
        """News, below what was told before."""

    def draw(self, snapshot: Snapshot) -> None:
        """The fleet as it is now."""


class Terminal:
    """The fleet stays in view at the bottom; the news scroll by above it."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=console(), auto_refresh=False, transient=False)
        self._drawn: tuple[str, Table] | None = None

    def __enter__(self) -> Terminal:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def tell(self, lines: Sequence[Line]) -> None:
        """News, below what was told before."""
        from rich.text import Text

        if lines:
            coloured = (Text(line.text, style=STYLES.get(line.tone, "")) for line in lines)
            self._live.console.print(Text("\n").join(coloured), soft_wrap=True)

    def draw(self, snapshot: Snapshot) -> None:
        """The fleet as it is now."""
        from rich.console import Group
        from rich.text import Text

        drawn = (matrix.headline(snapshot.summary), matrix.matrix(snapshot.units, snapshot.clusters))
        if drawn != self._drawn:
            self._drawn = drawn
            head, table = drawn
            self._live.update(Group(Text(""), Text(head, style="bold"), rich_table(table)), refresh=True)


class Lines:
    """One line per piece of news. The fleet is not drawn, because nothing could be drawn over."""

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def tell(self, lines: Sequence[Line]) -> None:
        """News, below what was told before."""
        for line in lines:
            sys.stdout.write(f"{line.text}\n")
        sys.stdout.flush()

    def draw(self, snapshot: Snapshot) -> None:
        """Nothing: the news say it."""


class Silent:
    """Shows nothing: standard output belongs to a program."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def tell(self, lines: Sequence[Line]) -> None:
        """Nothing."""

    def draw(self, snapshot: Snapshot) -> None:
        """Nothing."""


def fleet_table(snapshot: Snapshot) -> str:
    """The fleet as plain text, for the end of `--once`."""
    return f"{matrix.headline(snapshot.summary)}\n\n{plain_table(matrix.matrix(snapshot.units, snapshot.clusters))}"
