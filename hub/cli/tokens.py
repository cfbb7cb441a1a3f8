"""`yardarm token`: makes API tokens for persons and machines, lists and revokes them. The hub keeps hashes only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.output import Output, Table, age, emit
from hub.cli.read import Format, _client, _now
from hub.cli.trouble import usage
from shared.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(help="API tokens with names and roles.", no_args_is_help=True)

PREFIX = "yardarm_"
"""Lets scanners for leaked secrets tell a token by its looks."""


@app.command()
def create(  # noqa: PLR0917 - options of the command
    name: Annotated[str, typer.Argument(help="Of the person or machine that will hold it.")],
    role: Annotated[
        list[str], typer.Option("--role", help="viewer, operator, admin, or a team's name; several by repeating.")
    ] = ["viewer"],  # noqa: B006 - typer only reads it
    project: Annotated[
        list[str], typer.Option("--project", help="Only in this project; several by repeating; left out: in all.")
    ] = [],  # noqa: B006 - typer only reads it
    env: Annotated[
        list[str], typer.Option("--env", help="Only in this environment; several by repeating; left out: in all.")
    ] = [],  # noqa: B006 - typer only reads it
    email: Annotated[
        list[str], typer.Option("--email", help="An address the holder commits with; several by repeating.")
    ] = [],  # noqa: B006 - typer only reads it
    expires: Annotated[str, typer.Option("--expires", help="How long it is good, like 90d; left out: for ever.")] = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Asks no hub: prints the entry for a hub's settings.")
    ] = False,
    output: Format = Output.TABLE,
) -> None:
    """Makes a token, which is good at once. It is printed this once and kept nowhere.

    With --offline, it is good once the entry that is printed stands in the hub's settings and the hub was started.

    \b
    yardarm token create pipeline --role operator --project web --env dev --expires 90d
    yardarm token create ann --role operator --role sre --email ann@example.com
    yardarm token create ann --role admin --offline
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.domain.principals import ROLES

    teams = [each for each in role if each not in ROLES]
    grants = [
        {"role": each} | ({"projects": project} if project else {}) | ({"environments": env} if env else {})
        for each in role
        if each in ROLES
    ]
    ends = _moment(expires) if expires else None
    if offline:
        _offline(name, role if not (project or env) else teams, grants if project or env else [], email, ends, output)
        return
    body: dict[str, Any] = {"name": name, "grants": grants or [{"role": ROLES[0]}], "teams": teams, "emails": email}
    made = _client().post("tokens", body | ({"expires": ends} if ends is not None else {}))
    emit(made, output, lambda: _told(made["name"], made["token"]))


@app.command("list")
def list_(output: Format = Output.TABLE) -> None:
    """Lists tokens that were made through the hub; those in its settings are not among them."""
    found = _client().items("tokens")
    emit(found, output, lambda: [_table(found)])


@app.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `yardarm token list` shows it.")],
    output: Format = Output.TABLE,
) -> None:
    """Has a token open nothing any more, at once."""
    done = _client().delete(f"tokens/{identity}")
    emit(done, output, lambda: [f"token {done['id']} opens nothing any more"])


def _offline(  # the parts of an entry
    name: str,
    roles: list[str],
    grants: list[dict[str, Any]],
    emails: list[str],
    ends: float | None,
    output: Output,
) -> None:
    import hashlib
    import secrets

    token = PREFIX + secrets.token_urlsafe(32)
    entry: dict[str, Any] = {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "roles": roles}
    entry |= {"grants": grants} if grants else {}
    entry |= {"emails": emails} if emails else {}
    entry |= {"expires": datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")} if ends is not None else {}
    _check(entry)
    emit({"token": token, "settings": {"tokens": [entry]}}, output, lambda: _told(name, token, entry))


def _moment(lasting: str) -> float:
    from hub.domain.fields import parse_duration

    try:
        return _now() + parse_duration(lasting)
    except ValueError as error:
        usage(f"--expires: {error}")


def _check(entry: dict[str, Any]) -> None:
    """Ends the command over an entry that the hub would not take."""
    from hub.settings import api_token

    try:
        api_token(entry)
    except DocumentError as error:
        usage(str(error))


def _told(name: str, token: str, entry: Mapping[str, Any] | None = None) -> Iterator[Table | str]:
    from hub.domain.yamltext import to_yaml

    yield f"The token of {name}, for YARDARM_TOKEN; it is not shown again:"
    yield ""
    yield f"  {token}"
    if entry is not None:
        yield ""
        yield "In the hub's settings:"
        yield ""
        yield to_yaml({"tokens": [dict(entry)]}).rstrip("\n")


def _table(tokens: list[dict[str, Any]]) -> Table:
    now = _now()
    rows = [
        (
            each["id"],
            each["name"],
            "; ".join([*map(_grant, each["grants"]), *each["teams"]]),
            each["createdBy"],
            f"{age(now - each['used'])} ago" if each["used"] is not None else "never",
            _end(each["expires"], now),
        )
        for each in tokens
    ]
    return Table(("ID", "NAME", "MAY", "MADE BY", "USED", "EXPIRES"), rows, "no tokens but those in the hub's settings")


def _grant(grant: Mapping[str, Any]) -> str:
    from hub.domain.principals import Grant

    return str(Grant(grant["role"], tuple(grant["projects"]), tuple(grant["environments"])))


def _end(expires: float | None, now: float) -> str:
    if expires is None:
        return "never"
    return f"in {age(expires - now)}" if expires > now else "expired"
