"""All commands under one name, and how they end.

Commands live in one module per way of working: reading from a hub, offline work on a repository, running the parts.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import typer

from hub.cli import (
    audit,
    confirm,
    doctor,
    dora,
    holds,
    importing,
    keys,
    login,
    offline,
    previews,
    read,
    rollouts,
    running,
    secrets,
    timeline,
    tokens,
)
from hub.cli.trouble import FOUND_TROUBLE, Trouble
from hub.demo import command
from shared.errors import YardarmError

READ = "Read from a hub (YARDARM_HUB, YARDARM_TOKEN, or the running demo)"
STEER = "Steer"
OFFLINE = "Offline, for editors and CI"
RUN = "Run"

app = typer.Typer(
    name="yardarm",
    help="""Keeps a fleet of Kubernetes clusters in line with Git.

\b
Try it on this machine:      yardarm demo
Then, in another terminal:   yardarm status
                             yardarm drift --watch
                             yardarm trace web
Check a fleet repository:    yardarm validate .

Exit codes: 0 fine, 1 found trouble, 2 wrong usage.""",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command(rich_help_panel=RUN)(command.demo)
app.command(rich_help_panel=RUN)(running.hub)
app.command(
    rich_help_panel=RUN,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(running.agent)
app.add_typer(keys.app, name="keys", rich_help_panel=RUN)
app.add_typer(tokens.app, name="token", rich_help_panel=RUN)
app.add_typer(secrets.app, name="secret", rich_help_panel=OFFLINE)

app.command(rich_help_panel=READ)(login.login)
app.command(rich_help_panel=READ)(login.logout)
app.command(rich_help_panel=READ)(read.status)
read.get.command("rollouts")(rollouts.list_)
app.add_typer(read.get, name="get", rich_help_panel=READ)
app.command(rich_help_panel=READ)(read.explain)
app.command(rich_help_panel=READ)(read.drift)
app.command(rich_help_panel=READ)(timeline.trace)
app.command(rich_help_panel=READ)(dora.dora)
app.command(rich_help_panel=READ)(audit.audit)
app.add_typer(rollouts.app, name="rollout", rich_help_panel=STEER)
app.command(rich_help_panel=STEER)(holds.hold)
app.command(rich_help_panel=STEER)(holds.release)
app.command(rich_help_panel=STEER)(holds.sync)
app.command(rich_help_panel=STEER)(confirm.confirm)

app.command(rich_help_panel=OFFLINE)(offline.validate)
app.command(rich_help_panel=OFFLINE)(offline.render)
app.command(rich_help_panel=OFFLINE)(previews.diff)
app.command(rich_help_panel=OFFLINE)(previews.plan)
app.command("import", rich_help_panel=OFFLINE)(importing.import_)
app.command(rich_help_panel=OFFLINE)(offline.schema)
app.command(rich_help_panel=OFFLINE)(command.sample)
app.command()(doctor.doctor)
app.command()(running.version)


def run() -> None:
    """Runs the command that the arguments name; what goes wrong on purpose is one line, not a traceback."""
    if sys.stdout is None:  # closed by the caller
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may know fewer characters than a commit message
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where its failure can still be told
    except Trouble as trouble:
        sys.stderr.write(f"yardarm: {trouble}\n")
        sys.exit(trouble.code)
    except YardarmError as error:
        sys.stderr.write(f"yardarm: {error}\n")
        sys.exit(FOUND_TROUBLE)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"yardarm: {error}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still in the buffer goes nowhere
        sys.exit(FOUND_TROUBLE)
