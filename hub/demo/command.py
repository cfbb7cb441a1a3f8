"""The commands `yardarm demo` and `yardarm sample`: their options, and nothing of what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.output import Output
from hub.cli.trouble import usage


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


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to make it; must not hold anything yet.")],
    clusters: Annotated[int, typer.Option("--clusters", min=1, help="How many clusters it describes.")] = 6,
) -> None:
    """Makes the fleet repository that `yardarm demo` starts with, to begin one's own from.

    \b
    yardarm sample my-fleet
    yardarm validate my-fleet
    """  # noqa: D301 - \b keeps the lines of an example apart
    from hub.demo.clusters import spread
    from hub.demo.repository import create
    from shared.tasks import Clock

    if folder.exists() and any(folder.iterdir()):
        usage(f"{folder} is not empty: name a new folder")
    commit = create(folder, spread(clusters), Clock().now())
    typer.echo(f"{folder}: a fleet repository at commit {commit[:7]}")
