"""Which program builds kustomizations here: the one that is configured, else kustomize, else kubectl."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shared.errors import YardarmError

_VERSION = re.compile(r"v?(\d+\.\d+\.\d+[\w.+-]*)")
_PATIENCE = 30
"""Seconds to say a version."""


@dataclass(frozen=True, slots=True)
class Kustomize:
    """A program that builds: `command` and a directory. Results depend on its `version`."""

    command: tuple[str, ...]
    version: str


def find(configured: str = "") -> Kustomize:
    """The program to use. `configured` is a path or a name on PATH, of kustomize or kubectl; empty to look for them.

    Raises:
        YardarmError: there is none that works; says what was tried and what to do.
    """
    names = (configured,) if configured else ("kustomize", "kubectl")
    complaints: list[str] = []
    for name in names:
        place = shutil.which(name)
        if place is None:
            complaints.append(f"there is no {name}" + ("" if "/" in name else " on PATH"))
            continue
        try:
            return _ask(str(Path(place).absolute()))
        except YardarmError as error:
            complaints.append(str(error))
    raise YardarmError(
        f"kustomizations cannot be built: {'; '.join(complaints)} "
        "(install kustomize or kubectl, or name one in render.kustomize_binary)"
    )


def _ask(place: str) -> Kustomize:
    """What the program at `place` is.

    Raises:
        YardarmError: neither kustomize nor kubectl, or it does not run.
    """
    kubectl = Path(place).name.startswith("kubectl")
    arguments = ("version", "--client", "--output=yaml") if kubectl else ("version",)
    try:
        asked = subprocess.run(  # noqa: S603 - the operator's own program
            [place, *arguments],
            env={"PATH": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise YardarmError(f"{place} cannot be run: {error}") from None
    text = asked.stdout.decode(errors="replace")
    found = _VERSION.search(text.partition("kustomizeVersion:")[2] if kubectl else text)
    if asked.returncode or found is None:
        said = asked.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise YardarmError(f"{place} is no kustomize and no kubectl that has one" + (f": {said}" if said else ""))
    return Kustomize((place, "kustomize" if kubectl else "build"), found[1])
