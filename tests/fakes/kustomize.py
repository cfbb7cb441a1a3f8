"""The programs that build kustomizations, where this machine has them, and the way from a folder to a job for them.

A kustomize that is not on PATH is named in YARDARM_TEST_KUSTOMIZE.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hub.render.footprint import read_files
from hub.render.job import Additions, KustomizeJob
from hub.render.kustomize.closure import Closure, Closures
from tests.fakes.foldertree import FolderTree

KUSTOMIZE = os.environ.get("YARDARM_TEST_KUSTOMIZE") or shutil.which("kustomize")
KUBECTL = shutil.which("kubectl")
COMMANDS = {
    name: (place, verb) for name, place, verb in (("kustomize", KUSTOMIZE, "build"), ("kubectl", KUBECTL, "kustomize"))
}

NONE = Additions()

needs_kustomize = pytest.mark.skipif(KUSTOMIZE is None, reason="there is no kustomize on this machine")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on this machine")
either = pytest.mark.skipif(KUSTOMIZE is None and KUBECTL is None, reason="neither kustomize nor kubectl is here")
each_program = pytest.mark.parametrize(
    "command",
    [
        pytest.param(COMMANDS["kustomize"], id="kustomize", marks=needs_kustomize),
        pytest.param(COMMANDS["kubectl"], id="kubectl", marks=needs_kubectl),
    ],
)


def any_command() -> tuple[str, ...]:
    """A program that builds."""
    return next((place, verb) for place, verb in COMMANDS.values() if place is not None)


def closure(root: Path, path: str, additions: Additions = NONE, allowed: Sequence[str] = ()) -> Closure:
    return Closures(FolderTree(root), allowed=allowed).closure(path, additions.components)


def job(root: Path, path: str, command: tuple[str, ...], additions: Additions = NONE, **more: Any) -> KustomizeJob:
    """The job for the kustomization at `path` of a folder."""
    found = closure(root, path, additions)
    files, problems = read_files(FolderTree(root), found.footprint.paths)
    return KustomizeJob(
        application="web",
        path=found.root,
        files=files,
        kustomizations=found.kustomizations,
        links=found.footprint.links,
        command=command,
        additions=additions,
        outside=found.outside,
        problems=(*found.footprint.problems, *problems),
        **more,
    )


def built(root: Path, path: str, command: tuple[str, ...], *options: str) -> bytes:
    """What the program itself makes of it, run as a person would."""
    done = subprocess.run([*command, path, *options], cwd=root, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def as_kubectl_reads(data: bytes) -> list[dict[str, Any]]:
    """The objects that `kubectl apply` would send for these manifests."""
    done = subprocess.run(
        ["kubectl", "annotate", "--local", "-f", "-", "-o", "json", "none-"],
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    text, objects = done.stdout.decode(), []
    # What no integer of Go can hold is a float there, printed without an exponent.
    decoder = json.JSONDecoder(parse_int=lambda digits: int(digits) if abs(int(digits)) < 2**63 else float(digits))
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        objects.append(value)
        text = text[end:]
    return objects
