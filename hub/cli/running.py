"""Commands that run something: demo, hub, agent; and version."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.trouble import usage, why
from shared.errors import YardarmError

if TYPE_CHECKING:
    from hub.settings import HubSettings


def hub(
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file with settings; the environment (YARDARM_…) wins over it.")
    ] = None,
) -> None:
    """Runs the hub.

    Settings are in docs/CONFIGURATION.md; the least is the fleet repository.

    \b
    yardarm hub --config hub.yaml
    YARDARM_FLEET_REPO=https://github.com/you/fleet yardarm hub
    """  # noqa: D301 - \b keeps the lines of an example apart
    import asyncio

    from hub.settings import load
    from shared.telemetry import configure_logging, configure_tracing

    settings = load(_document(config), str(config or ""))
    if not settings.fleet_repo:
        usage("no fleet repository: set fleet_repo in the file, or YARDARM_FLEET_REPO")
    configure_logging(level=settings.telemetry.log_level, style=settings.telemetry.log_style)
    tracing = configure_tracing("yardarm-hub", settings.otlp_endpoint)
    try:
        asyncio.run(_until_signal(settings))
    finally:
        if tracing is not None:
            tracing.shutdown()


def agent(context: typer.Context) -> None:
    """Runs an agent: the same as `yardarm-agent`, whose options it takes (`yardarm agent --help`)."""
    os.execv(sys.executable, [sys.executable, "-m", "agent", *context.args])  # noqa: S606 - no shell is the point


def version() -> None:
    """Prints the version."""
    from shared import __version__

    typer.echo(f"yardarm {__version__}")


async def _until_signal(settings: HubSettings) -> None:
    """Runs the hub until it is told to end, which is no error."""
    import asyncio
    import signal

    from hub.app import Hub

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(Hub(settings).run())
            stopping = group.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            stopping.cancel()
    except* (YardarmError, OSError) as failed:
        raise why(failed, settings.port) from None


def _document(config: Path | None) -> dict[str, object]:
    from hub.domain.yamldoc import load_documents

    if config is None:
        return {}
    try:
        documents = load_documents(config.read_bytes(), file=str(config))
    except OSError as error:
        usage(f"cannot read {config}: {error.strerror}")
    value = documents[0].value if documents else {}
    if len(documents) > 1 or not isinstance(value, dict):
        usage(f"{config} must be one YAML map of settings")
    return value
