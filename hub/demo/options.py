"""What a person asks of a demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hub.cli.output import Output


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """As on the command line; None and empty mean that it was left out. `timeout` is in seconds."""

    repo: str | None = None
    path: str = ""
    ref: str = ""
    clusters: str | None = None
    port: int = 0
    once: bool = False
    timeout: float = 180.0
    info: Path | None = None
    folder: Path | None = None
    keep: bool = False
    kubeconfig: Path | None = None
    contexts: tuple[str, ...] = ()
    output: Output = Output.TABLE
