"""NATS, rendering, rollouts as a whole, logs and traces."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hub.settings.section import Section


class NatsSettings(Section):
    """The way to NATS."""

    url: str = ""
    """`nats://host:4222` or `tls://…`, several with commas. Default empty: the hub runs a server of its own on
    loopback, which is enough for one machine."""
    credentials: Path | None = None
    """A NATS credentials file for the account HUB. Default: minted from the hub's own keys, which is right whenever
    the servers run with the configuration that `Identity.server_config` makes."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port of the hub's own server. Default 0: a free one, kept over restarts so that agents find it again."""
    replicas: Literal[1, 3, 5] = 1
    """Copies of each stream. Default 1, as one server can hold no more; 3 where NATS is a cluster."""


class RolloutSettings(Section):
    """What holds for all rollouts together."""

    rate: float = Field(default=0.0, ge=0)
    """Assignments a second over the whole fleet, so that a change to thousands of clusters does not ask the registries
    for everything at once. Default 0: no limit. Rolling back is never slowed down."""


class RenderSettings(Section):
    """Rendering, which handles other people's input."""

    workers: int = Field(default=0, ge=0, le=64)
    """Processes. Default 0: as many as there are processor cores, at most 4."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds for one variant of one application. Default 60; a chart with 800 documents takes 0.02."""
    memory: int = Field(default=1024, ge=64)
    """MiB of address space for one worker. Default 1024: ten times what a large chart needs."""
    helm_binary: str = ""
    """A helm executable that renders charts, a path or a name on PATH. Default: Helm as a library, which is faster."""
    kustomize_binary: str = ""
    """The program that builds kustomizations: kustomize or kubectl, a path or a name on PATH. Default: kustomize, else
    kubectl."""
    kustomize_remotes: tuple[str, ...] = ()
    """Addresses outside their repository that kustomizations may name, by prefix (`github.com/team`). They are had
    through the hub's own mirrors. Default none: what a build reads is in the repository."""


class TelemetrySettings(Section):
    """Logs and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe records written. Default info: what an operator wants to know afterwards."""
    log_style: Literal["json", "text"] = "json"
    """`json` for machines (the default), `text` for a terminal."""
