"""Where the commands find a hub: the environment, and the note that a running `yardarm demo` leaves for this user.

The only place of the command line that reads the environment.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Target:
    """A hub's API: its address and a token; `origin` says where they were found. Both may be empty."""

    url: str
    token: str
    origin: str

    def __repr__(self) -> str:
        return f"Target({self.url!r}, …)"  # a token must not reach a log


def demo_note(environment: Mapping[str, str] | None = None) -> Path:
    """The file in which a running demo tells this user's other commands where it is."""
    environment = os.environ if environment is None else environment
    if folder := environment.get("XDG_RUNTIME_DIR"):
        return Path(folder) / "yardarm" / "demo.json"
    return Path(tempfile.gettempdir()) / f"yardarm-{os.getuid()}" / "demo.json"


def login_file(environment: Mapping[str, str] | None = None) -> Path:
    """Where `yardarm login` keeps what it was given: `yardarm/login.json` in XDG_CONFIG_HOME, or in ~/.config."""
    environment = os.environ if environment is None else environment
    folder = environment.get("XDG_CONFIG_HOME", "")
    return (Path(folder) if folder else Path.home() / ".config") / "yardarm" / "login.json"


def target(environment: Mapping[str, str] | None = None) -> Target:
    """The hub to talk to: `YARDARM_HUB` and `YARDARM_TOKEN`, else the running demo, else where somebody logged in.

    A token in the environment also goes to the other two; for `YARDARM_HUB` without one, a login at just that hub is
    used. A note that another user could have written is not read.
    """
    environment = os.environ if environment is None else environment
    url, token = environment.get("YARDARM_HUB", "").rstrip("/"), environment.get("YARDARM_TOKEN", "")
    login = login_file(environment)
    if url:
        return Target(url, token or _logged_in(login, url), "YARDARM_HUB")
    note = _read_note(demo_note(environment))
    if note is not None:
        return Target(str(note["url"]).rstrip("/"), token or str(note["token"]), "the running demo")
    note = _read_note(login)
    if note is not None:
        url = str(note["url"]).rstrip("/")
        return Target(url, token or _logged_in(login, url), "`yardarm login`")
    return Target("", token, "")


def _logged_in(path: Path, url: str) -> str:
    """The token of a login at this hub, renewed if it is about to end; empty without one."""
    note = _read_note(path)
    if note is None or str(note["url"]).rstrip("/") != url:
        return ""
    from hub.cli.loggedin import fresh

    return fresh(path, note)


def _read_note(path: Path) -> dict[str, object] | None:
    import json

    try:
        status = path.stat(follow_symlinks=False)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            return None
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and {"url", "token"} <= note.keys() else None


def otlp_endpoint(environment: Mapping[str, str] | None = None) -> str:
    """Where spans go (`OTEL_EXPORTER_OTLP_ENDPOINT`), empty for nowhere."""
    environment = os.environ if environment is None else environment
    return environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


def charts_cache(environment: Mapping[str, str] | None = None) -> Path:
    """Where charts that were fetched are kept for this user: `yardarm/charts` in XDG_CACHE_HOME, or in ~/.cache."""
    environment = os.environ if environment is None else environment
    folder = environment.get("XDG_CACHE_HOME", "")
    return (Path(folder) if folder else Path.home() / ".cache") / "yardarm" / "charts"


def kustomize(environment: Mapping[str, str] | None = None) -> str:
    """The program for kustomizations, by the hub's own variable, so that both render alike; empty to look for one."""
    environment = os.environ if environment is None else environment
    return environment.get("YARDARM_RENDER__KUSTOMIZE_BINARY", "")


def helm(environment: Mapping[str, str] | None = None) -> str:
    """The program for charts, by the hub's own variable, as for `kustomize`; empty for Helm as a library."""
    environment = os.environ if environment is None else environment
    return environment.get("YARDARM_RENDER__HELM_BINARY", "")
