"""A helm executable in place of the library: for who must have one certain version, or one with changes of their own.

It gets the chart's archive and the values as files in a directory of its own, and no network. What it prints is read
back into the texts of single templates.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.render import program
from hub.render.helm.errors import HelmFailure
from hub.render.helm.output import LIMIT, Output
from hub.render.job import HelmJob, RenderError
from shared.errors import YardarmError
from shared.model import Problem

_LIMITS = program.Limits(seconds=60, memory=512 * 1024**2, output=LIMIT + LIMIT // 4)
"""More output than objects may have, as each comes with a comment."""
_SOURCE = re.compile(r"^---\n# Source: (\S.*)\n", re.MULTILINE)
_DEPRECATED = "chart is deprecated"
_VERSION = re.compile(r"v\d+\.\d+(?:\.\d+)?[\w.+-]*")
_PATIENCE = 30
"""Seconds to say a version."""


@dataclass(frozen=True, slots=True)
class Executable:
    """A helm; results depend on its `version`."""

    path: str
    version: str


def find(configured: str) -> Executable:
    """The program at a path, or of a name on PATH.

    Raises:
        YardarmError: there is none, or it is no helm.
    """
    place = shutil.which(configured)
    if place is None:
        raise YardarmError(f"charts cannot be rendered: there is no {configured} (render.helm_binary)")
    path = str(Path(place).absolute())
    try:
        asked = subprocess.run(  # noqa: S603 - the operator's own program
            [path, "version", "--short"],
            env={"PATH": "/nonexistent", "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise YardarmError(f"{path} cannot be run: {error} (render.helm_binary)") from None
    found = _VERSION.search(asked.stdout.decode(errors="replace"))
    if asked.returncode or found is None:
        said = asked.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise YardarmError(f"{path} is no helm (render.helm_binary)" + (f": {said}" if said else ""))
    return Executable(path, found[0])


def render(job: HelmJob, values: dict[str, Any]) -> Output:
    """The chart's rendered templates and its definitions.

    Raises:
        HelmFailure: Helm refuses.
        RenderError: it cannot be run, or needs more than it may.
    """
    with tempfile.TemporaryDirectory(prefix="yardarm-helm-") as temporary:
        folder = Path(temporary).resolve()
        try:
            (folder / "chart.tgz").write_bytes(job.archive)
            (folder / "values.json").write_text(json.dumps(values))
            outcome = program.run(_command(job), folder, _LIMITS)
        except OSError as error:
            problem = Problem("error", f"{job.program} cannot be run: {error}", application=job.application)
            raise RenderError((problem,), transient=True) from None
    if outcome.limited:
        raise RenderError((Problem("error", f"helm {outcome.failure}", application=job.application),))
    said = "\n".join(line for line in outcome.said.splitlines() if _DEPRECATED not in line)
    if outcome.failure:
        start = said.find("Error: ")
        raise HelmFailure(said[start:] if start >= 0 else said or outcome.failure)
    return printed(outcome.output.decode(errors="replace"), said, deprecated=said != outcome.said)


def _command(job: HelmJob) -> tuple[str, ...]:
    # What begins with a dash is no option when it comes after an equals sign, and positions come after `--`.
    return (
        job.program,
        "template",
        "--values=values.json",
        f"--namespace={job.namespace}",
        "--skip-crds" if job.skip_crds else "--include-crds",
        *((f"--kube-version={job.kube_version}",) if job.kube_version else ()),
        *(f"--api-versions={each}" for each in job.api_versions),
        "--",
        job.release,
        "chart.tgz",
    )


def printed(output: str, said: str = "", *, deprecated: bool = False) -> Output:
    """What `helm template` printed, sorted into the files that its comments name."""
    templates: dict[str, str] = {}
    crds: dict[str, str] = {}
    pieces = _SOURCE.split(output)
    for path, text in zip(pieces[1::2], pieces[2::2], strict=True):
        # Definitions are what lies in crds/ of a chart; a template lies in templates/, whatever is below that.
        files = templates if "/templates/" in path else crds
        files[path] = f"{files[path]}---\n{text}" if path in files else text
    return Output(templates, tuple(crds.items()), said, deprecated)
