"""`yardarm demo --once`: from nothing to a settled fleet, and an honest answer when it does not come to that."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.fakes.demo import ROOT
from tests.fakes.gitrepo import GitRepo

pytestmark = pytest.mark.timeout(300)

MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: b}\n"


@pytest.fixture
def once(tmp_path):
    def run(*args):
        for name in ("run", "tmp"):
            (tmp_path / name).mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path / "run"),
            "TMPDIR": str(tmp_path / "tmp"),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "hub", "demo", "--once", "-o", "json", *map(str, args)]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=280
        )
        assert result.stdout, result.stderr
        assert list((tmp_path / "tmp").iterdir()) == []
        return result.returncode, json.loads(result.stdout)

    return run


def test_the_sample_settles(once):
    code, found = once()

    assert code == 0, found
    assert (found["clusters"], found["applications"], found["result"]) == (6, 4, "fine")
    assert found["units"]["total"] == found["units"]["Ready"] == 22
    assert len(found["commit"]) == 40
    assert len(found["trace"]) == 32
    assert found["problems"] == []
    assert found["seconds"] > 0


def test_a_directory_of_manifests_runs_on_all_clusters(once, tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.write("deploy/a.yaml", MANIFEST % "a")
    repo.write("elsewhere/b.yaml", MANIFEST % "b")
    head = repo.commit()

    code, found = once("--repo", repo.path, "--path", "deploy", "--clusters", "3")

    assert code == 0, found
    assert (found["clusters"], found["applications"], found["units"]["total"]) == (3, 1, 3)
    assert found["commit"] == head
    assert any("one application" in problem["message"] for problem in found["problems"])


def test_what_cannot_come_up_is_1_and_named(once, tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.write(
        "fleet.yaml",
        "apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {name: web}\n"
        "spec: {source: {path: apps}, sync: {timeout: 5s}}\n",
    )
    repo.write(
        "apps/web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n"
        "  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n"
        "    spec: {containers: [{name: c, image: 'example.com/web:broken'}]}\n",
    )
    repo.commit()

    code, found = once("--repo", repo.path, "--clusters", "2")

    assert code == 1
    assert found["result"] == "trouble"
    assert {unit["cluster"] for unit in found["unready"]} == {"dev-eu-1", "stage-eu-1"}
    assert {unit["state"] for unit in found["unready"]} == {"Failed"}
    assert all("web" in unit["reason"] for unit in found["unready"])


def test_a_repository_that_is_not_there_is_1_and_named(once, tmp_path):
    code, found = once("--repo", tmp_path / "nowhere", "--clusters", "1")

    assert code == 1
    assert any("nowhere" in problem["message"] for problem in found["problems"])


def test_one_broken_document_does_not_stop_the_rest(once, tmp_path):
    repo = GitRepo(tmp_path / "repo")
    for name in ("good", "bad"):
        repo.write(
            f"fleet/{name}.yaml",
            f"apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\n"
            f"spec: {{source: {{path: apps/{name}}}}}\n",
        )
    repo.write("apps/good/cm.yaml", MANIFEST % "good")
    repo.write("apps/bad/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, name: b}\n")
    repo.write(
        "fleet/worse.yaml",
        "apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {name: worse}\nspec: {nonsense: 1}\n",
    )
    repo.commit()

    code, found = once("--repo", repo.path, "--clusters", "2")

    assert code == 1
    assert found["units"]["total"] == found["units"]["Ready"] == 2
    places = {(problem["place"]["file"], problem["place"]["line"]) for problem in found["problems"] if problem["place"]}
    assert {("apps/bad/cm.yaml", 3), ("fleet/worse.yaml", 4)} <= places
