"""`--watch`: draws again when the hub's stream says that something changed.

The stream only says when to look; what is drawn is always asked for, so that a lost event costs nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator

from hub.cli.client import Client
from hub.cli.output import Table, console, plain_table, rich_table
from hub.cli.trouble import Trouble

LEAST = 0.25
"""Seconds between two drawings at the least, however many events there are."""
MOST = 5.0
"""Seconds after which ages are drawn anew, on a terminal."""
RETRY = 1.0

Parts = list[Table | str]


def follow(client: Client, draw: Callable[[], Iterable[Table | str]], over: Callable[[], bool] = lambda: False) -> None:
    """Shows what `draw` returns until Ctrl-C, or until it is `over`. A hub that goes away is waited for."""
    changed = _changes(client)
    try:
        _live(draw, changed, over) if sys.stdout.isatty() else _lines(draw, changed, over)
    except KeyboardInterrupt:
        return


def looks(client: Client) -> Iterator[None]:
    """Now, and again whenever the stream says that something changed, or a while has passed. Without end."""
    changed = _changes(client)
    while True:
        yield
        _wait(changed, MOST)


def _changes(client: Client) -> threading.Event:
    """Is set whenever something changes."""
    changed = threading.Event()
    threading.Thread(target=_listen, args=(client, changed), daemon=True).start()
    return changed


def _listen(client: Client, changed: threading.Event) -> None:
    pause = threading.Event()
    while True:
        try:
            for _ in client.stream():
                changed.set()
        except Trouble:
            changed.set()
        pause.wait(RETRY)


def _parts(draw: Callable[[], Iterable[Table | str]]) -> Parts:
    try:
        return list(draw())
    except Trouble as trouble:
        return [f"{trouble}; trying again …"]


def _live(draw: Callable[[], Iterable[Table | str]], changed: threading.Event, over: Callable[[], bool]) -> None:
    from rich.console import Group
    from rich.live import Live

    with Live(console=console(), auto_refresh=False, screen=True) as screen:
        while True:
            drawn = [rich_table(part) if isinstance(part, Table) else part for part in _parts(draw)]
            screen.update(Group(*drawn), refresh=True)
            if over():
                return
            _wait(changed, MOST)


def _lines(draw: Callable[[], Iterable[Table | str]], changed: threading.Event, over: Callable[[], bool]) -> None:
    """Not a terminal: a new block whenever something differs."""
    shown = ""
    while True:
        text = "\n".join(plain_table(part) if isinstance(part, Table) else part for part in _parts(draw))
        if text != shown:
            sys.stdout.write(f"{text}\n\n")
            sys.stdout.flush()
            shown = text
        if over():
            return
        _wait(changed, None)


def _wait(changed: threading.Event, most: float | None) -> None:
    changed.wait(most)
    changed.clear()
    threading.Event().wait(LEAST)
