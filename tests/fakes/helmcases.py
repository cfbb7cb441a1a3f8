"""Charts in tests/data/helm with what `helm template` made of them, and the way to ask a real helm again.

A case is a folder: `chart/`, `case.yaml` (release, namespace, kubeVersion, apiVersions, valueFiles, values) and
`expected.yaml`, which `python -m tests.fakes.helmcases` records from the helm on PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hub.render.helm.layout import assemble, lay_out
from hub.render.job import File, HelmJob
from tests.fakes.memorytree import MemoryTree

FOLDER = Path(__file__).parents[1] / "data/helm"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())

Documents = dict[str, list[str]]
"""The documents of each template, by its path below the chart."""


def helm_binary() -> str | None:
    """A real helm, when there is one: named in YARDARM_TEST_HELM, or on PATH."""
    return os.environ.get("YARDARM_TEST_HELM") or shutil.which("helm")


def load(name: str) -> dict[str, Any]:
    """A case's inputs."""
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name / "case.yaml").read_text())
    return loaded


def job_of(name: str, **more: Any) -> HelmJob:
    """The same inputs as a job."""
    case = load(name)
    tree = MemoryTree.of(FOLDER / name)
    layout = lay_out(tree, "chart")
    assert layout.problems == ()
    return HelmJob(
        application="web",
        namespace=case["namespace"],
        release=case["release"],
        chart=f"charts/{name}",
        archive=assemble(tree, layout, {}),
        value_files=tuple(File(f"{at}.yaml", text.encode()) for at, text in enumerate(case.get("valueFiles", ()))),
        values=case.get("values", {}),
        kube_version=case["kubeVersion"],
        api_versions=tuple(case.get("apiVersions", ())),
        **more,
    )


def helm_template(binary: str, name: str) -> str:
    """What a real helm prints."""
    case = load(name)
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "template", case["release"], str(FOLDER / name / "chart"), "--include-crds"]
        command += ["--namespace", case["namespace"], "--kube-version", case["kubeVersion"]]
        for version in case.get("apiVersions", ()):
            command += ["--api-versions", version]
        for at, text in enumerate([*case.get("valueFiles", ()), yaml.safe_dump(case.get("values", {}))]):
            path = Path(folder) / f"{at}.yaml"
            path.write_text(text)
            command += ["--values", str(path)]
        return subprocess.run(command, check=True, capture_output=True, env={"HOME": folder}).stdout.decode()


def recorded(name: str) -> Documents:
    """The documents that helm printed when this case was recorded."""
    return printed((FOLDER / name / "expected.yaml").read_bytes().decode())


def printed(output: str) -> Documents:
    """The documents that helm printed."""
    found: Documents = {}
    path = ""
    for text in re.split(r"^---\n", output, flags=re.MULTILINE):
        source = re.match(r"# Source: [^/]+/(.*)\n", text)
        path = source[1] if source else path
        document = text[source.end() :] if source else text
        if is_something(document):
            found.setdefault(path, []).append(document.strip())
    return ordered(found)


def made(files: Iterable[File]) -> Documents:
    """The documents in rendered files."""
    return ordered(
        {
            file.path: [
                d.strip() for d in re.split(r"^---[^\S\n]*$", file.data.decode(), flags=re.MULTILINE) if is_something(d)
            ]
            for file in files
        }
    )


def is_something(document: str) -> bool:
    return any(line.strip() and not line.startswith("#") for line in document.splitlines())


def ordered(documents: Mapping[str, list[str]]) -> Documents:
    return {path: sorted(texts) for path, texts in sorted(documents.items()) if texts}


if __name__ == "__main__":
    binary = helm_binary()
    if binary is None:
        sys.exit("there is no helm on PATH")
    for each in CASES:
        (FOLDER / each / "expected.yaml").write_bytes(helm_template(binary, each).encode())
