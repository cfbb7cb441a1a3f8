"""`yardarm doctor`: what is missing on a machine, said with what to do. Real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def doctor(tmp_path):
    def run(*args, path, **environment):
        env = {"PATH": str(path), "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "hub", "doctor", *map(str, args)]
        return subprocess.run(command, env=env | environment, capture_output=True, text=True, cwd=tmp_path, check=False)

    return run


@pytest.fixture
def programs(tmp_path):
    """A folder of programs that say these things."""

    def make(**said: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in said.items():
            (folder / name).write_text(f"#!{sys.executable}\nprint({text!r})\n")
            (folder / name).chmod(0o755)
        return folder

    return make


def findings(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(result.stdout)}


def test_a_machine_without_kustomize_does_for_what_is_no_kustomization(doctor, programs):
    result = doctor("-o", "json", path=programs())

    found = findings(result)
    assert result.returncode == 0, result.stderr
    assert found["python"]["state"] == found["helm"]["state"] == found["jsonnet"]["state"] == "ok"
    assert found["kustomize"]["state"] == "missing"
    assert "there is no kustomize on PATH; there is no kubectl on PATH" in found["kustomize"]["what"]
    assert "install kustomize or kubectl" in found["kustomize"]["advice"]
    assert found["hub"]["state"] == "missing"
    assert "YARDARM_HUB" in found["hub"]["advice"]


def test_kustomize_is_found_with_its_version_else_kubectl(doctor, programs):
    kubectl = findings(doctor("-o", "json", path=programs(kubectl="kustomizeVersion: v5.5.0")))["kustomize"]
    kustomize = findings(doctor("-o", "json", path=programs(kustomize="v5.7.1")))["kustomize"]

    assert (kubectl["state"], kustomize["state"]) == ("ok", "ok")
    assert str(kubectl["what"]).startswith("5.5.0 by ")
    assert str(kubectl["what"]).endswith("/bin/kubectl kustomize")
    assert str(kustomize["what"]).endswith("/bin/kustomize build")


def test_a_program_that_was_asked_for_is_needed(doctor, programs):
    folder = programs(odd="hello")

    absent = doctor("--kustomize", "/nowhere/kustomize", path=folder)
    odd = doctor("-o", "json", path=folder, YARDARM_RENDER__KUSTOMIZE_BINARY="odd")

    assert absent.returncode == 1
    assert "there is no /nowhere/kustomize" in absent.stdout
    assert odd.returncode == 1
    assert "is no kustomize" in str(findings(odd)["kustomize"]["what"])


def test_a_helm_is_spoken_of_when_one_is_configured(doctor, programs):
    folder = programs(helm="v3.19.0+g1234567", odd="hello")

    none = findings(doctor("-o", "json", path=folder))
    named = doctor("-o", "json", "--helm", folder / "helm", path=folder)
    absent = doctor("-o", "json", path=folder, YARDARM_RENDER__HELM_BINARY="helm-2")
    odd = doctor("-o", "json", path=folder, YARDARM_RENDER__HELM_BINARY="odd")

    assert "helm binary" not in none
    assert named.returncode == 0
    assert findings(named)["helm binary"]["what"] == f"v3.19.0+g1234567 at {folder}/helm, in place of the library"
    assert (absent.returncode, odd.returncode) == (1, 1)
    assert findings(absent)["helm binary"]["state"] == "broken"
    assert "there is no helm-2" in str(findings(absent)["helm binary"]["what"])
    assert "is no helm" in str(findings(odd)["helm binary"]["what"])


def test_a_folder_that_cannot_be_written_and_a_hub_that_does_not_answer_are_broken(doctor, programs, tmp_path):
    (tmp_path / "file").write_text("")

    result = doctor(
        "-o", "json", path=programs(), XDG_CACHE_HOME=str(tmp_path / "file"), YARDARM_HUB="http://127.0.0.1:9"
    )

    found = findings(result)
    assert found["charts"]["state"] == "broken"
    assert "XDG_CACHE_HOME" in found["charts"]["advice"]
    assert found["hub"]["state"] == "broken"
    assert "http://127.0.0.1:9" in found["hub"]["what"]
