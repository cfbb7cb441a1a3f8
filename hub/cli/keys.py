"""`yardarm keys`: what a NATS of your own and agents need from the hub's keys, before any hub runs.

The keys themselves never leave the hub's state folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.trouble import usage

app = typer.Typer(
    help="The hub's keys: configuration for a NATS of your own, credentials for agents.", no_args_is_help=True
)

State = Annotated[Path, typer.Option("--state", help="The hub's state folder; its keys are made when missing.")]
Out = Annotated[Path | None, typer.Option("--out", help="File to write, readable by its owner; else it is printed.")]


@app.command()
def nats(
    state: State,
    out: Out = None,
    listen: Annotated[str, typer.Option(help="Where NATS will listen.")] = "0.0.0.0:4222",
    store: Annotated[Path, typer.Option(help="Where NATS keeps its streams.")] = Path("/data"),
    monitor: Annotated[str, typer.Option(help="Where NATS answers /healthz and /varz, e.g. 0.0.0.0:8222.")] = "",
) -> None:
    """Prints a nats-server configuration that trusts this hub.

    \b
    yardarm keys nats --state /var/lib/yardarm --out nats.conf
    nats-server -c nats.conf
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.identity import Identity

    extra = f'http: "{monitor}"' if monitor else ""
    _give(Identity.load_or_create(state).server_config(listen, store, extra), out)


@app.command()
def agent(cluster: Annotated[str, typer.Argument(help="The cluster's name.")], state: State, out: Out = None) -> None:
    """Prints credentials for the agent of one cluster.

    \b
    yardarm keys agent prod-eu-1 --state /var/lib/yardarm --out prod-eu-1.creds
    yardarm-agent --cluster prod-eu-1 --nats nats://… --creds prod-eu-1.creds
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.identity import Identity
    from shared.model import is_token

    if not is_token(cluster):
        usage(f"{cluster!r} cannot be the name of a cluster: only a-z, 0-9 and '-', at most 63 characters")
    _give(str(Identity.load_or_create(state).agent_credentials(cluster)), out)


def _give(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.touch(mode=0o600)
    out.write_text(text, encoding="utf-8")
