"""What a person agrees to before something is done: shown first, then asked, and why it is done."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hub.cli.output import Output, show
from hub.cli.trouble import Trouble, usage

Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def agreed(effect: str, yes: bool, output: Output) -> None:
    """Shows what would be done and asks whether it should be; comes back if so.

    Raises:
        Trouble: it should not, or nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty() or output is not Output.TABLE:
        usage(f"{effect}; nobody can be asked here: add --yes")
    show([effect])
    if not typer.confirm("Do that?", default=False):
        raise Trouble("nothing was done")


def because(reason: str, needed: bool) -> str:
    """The reason that was given, or that a person is asked for where one is needed.

    Raises:
        Trouble: nobody can be asked.
    """
    if reason or not needed:
        return reason
    if not sys.stdin.isatty():
        usage('say why, it is kept in the history: add --reason "…"')
    return str(typer.prompt("Why? It is kept in the history"))
