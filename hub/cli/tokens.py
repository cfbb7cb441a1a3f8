"""`yardarm token`: makes API tokens for persons and machines. The hub is given their hashes only, in its settings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.output import Output, emit
from hub.cli.read import Format, _now
from hub.cli.trouble import usage
from shared.errors import DocumentError

if TYPE_CHECKING:
    from hub.cli.output import Table

app = typer.Typer(help="API tokens with names and roles.", no_args_is_help=True)

PREFIX = "yardarm_"
"""Lets scanners for leaked secrets tell a token by its looks."""


@app.callback()
def _group() -> None:
    """API tokens with names and roles."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Of the person or machine that will hold it.")],
    role: Annotated[
        list[str], typer.Option("--role", help="viewer, operator, admin, or a team's name; several by repeating.")
    ] = ["viewer"],  # noqa: B006 - typer only reads it
    email: Annotated[
        list[str], typer.Option("--email", help="An address the holder commits with; several by repeating.")
    ] = [],  # noqa: B006 - typer only reads it
    expires: Annotated[str, typer.Option("--expires", help="How long it is good, like 90d; left out: for ever.")] = "",
    output: Format = Output.TABLE,
) -> None:
    """Makes a token, and the entry for the hub's settings that lets it in.

    The token is printed this once and kept nowhere; the entry holds its hash. The hub reads settings when it starts.

    \b
    yardarm token create ann --role operator --role sre --email ann@example.com
    yardarm token create pipeline --role viewer --expires 90d
    """  # noqa: D301 - \b keeps the lines of an example apart
    import hashlib
    import secrets

    token = PREFIX + secrets.token_urlsafe(32)
    entry: dict[str, Any] = {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "roles": role}
    if email:
        entry["emails"] = email
    if expires:
        entry["expires"] = _moment(expires)
    _check(entry)
    emit({"token": token, "settings": {"tokens": [entry]}}, output, lambda: _told(token, entry))


def _moment(lasting: str) -> str:
    from hub.domain.fields import parse_duration

    try:
        seconds = parse_duration(lasting)
    except ValueError as error:
        usage(f"--expires: {error}")
    return datetime.fromtimestamp(_now() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check(entry: dict[str, Any]) -> None:
    """Ends the command over an entry that the hub would not take."""
    from hub.settings import api_token

    try:
        api_token(entry)
    except DocumentError as error:
        usage(str(error))


def _told(token: str, entry: dict[str, Any]) -> Iterator[Table | str]:
    from hub.domain.yamltext import to_yaml

    yield f"The token of {entry['name']}, for YARDARM_TOKEN; it is not shown again:"
    yield ""
    yield f"  {token}"
    yield ""
    yield "In the hub's settings:"
    yield ""
    yield to_yaml({"tokens": [entry]}).rstrip("\n")
