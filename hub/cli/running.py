"""Commands that run something: demo, hub, agent; and version."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.output import Output
from hub.cli.trouble import usage, why
from shared.errors import YardarmError

if TYPE_CHECKING:
    from hub.settings import HubSettings


def demo(  # noqa: PLR0917 - one parameter per option
    repo: Annotated[
        str | None, typer.Option("--repo", help="Fleet repository: address or path; else a sample is made.")
    ] = None,
    path: Annotated[str, typer.Option("--path", help="Folder in the repository.")] = "",
    ref: Annotated[str, typer.Option("--ref", help="Branch, tag or commit; else the repository's HEAD.")] = "",
    clusters: Annotated[
        str | None,
        typer.Option("--clusters", help="How many sandbox clusters, or a file with Cluster documents or names."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the API; 0 takes a free one.")] = 0,
    once: Annotated[
        bool, typer.Option("--once", help="Wait until the fleet has settled, print it, end with 0 or 1.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds that --once waits at the most.")] = 180,
    info: Annotated[
        Path | None, typer.Option("--info", help="Write {url, token, repo, kubeconfig, nats} here as JSON.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's folder when it ends.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Work in this folder and leave it; a demo that ended goes on there.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="Real clusters in place of sandboxes: a kubeconfig file,")
    ] = None,
    contexts: Annotated[str, typer.Option("--contexts", help="and which of its contexts, separated by commas.")] = "",
    output: Annotated[
        Output, typer.Option("--output", "-o", help="What --once prints: table, json or yaml.")
    ] = Output.TABLE,
) -> None:
    """Runs a whole fleet on this machine: NATS, the hub, and sandbox clusters with an agent each.

    Nothing listens beyond loopback. Ctrl-C ends it and leaves nothing behind, unless told to keep it.

    \b
    yardarm demo
    yardarm demo --repo https://github.com/you/your-fleet --clusters 3
    yardarm demo --repo ~/src/manifests --path apps/web
    yardarm demo --once -o json
    yardarm demo --kubeconfig ~/.kube/config --contexts kind-a,kind-b
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.demo.options import DemoOptions

    if bool(kubeconfig) != bool(contexts):
        usage("--kubeconfig and --contexts belong together: name the file and the contexts to use")
    if kubeconfig and clusters:
        usage("--clusters is for sandboxes; with --kubeconfig the contexts are the clusters")
    if output is not Output.TABLE and not once:
        usage("-o is for --once: a demo that goes on shows itself; read it with `yardarm status -o json`")
    options = DemoOptions(
        repo=repo,
        path=path,
        ref=ref,
        clusters=clusters,
        port=port,
        once=once,
        timeout=timeout,
        info=info,
        folder=folder,
        keep=keep or folder is not None,
        kubeconfig=kubeconfig,
        contexts=tuple(name.strip() for name in contexts.split(",") if name.strip()),
        output=output,
    )
    from hub.demo.program import run

    raise typer.Exit(run(options))


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
