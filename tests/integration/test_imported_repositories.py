"""Repositories in the layouts of well-known ones, imported and used directly: from the command line to manifests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.fakes.gitrepo import GitRepo
from tests.fakes.imports import SHAPES
from tests.fakes.kustomize import KUSTOMIZE, any_command, built, either

ROOT = Path(__file__).parents[2]
CLUSTERS = "".join(
    f"---\napiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {env}, labels: {{env: {env}}}}}\n"
    for env in ("dev", "test", "prod")
)
RELEASE = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: flux-system, namespace: shop}
spec: {url: ., interval: 1m}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: values, namespace: shop}
data: {values.yaml: "replicaCount: 5"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: shop}
spec:
  targetNamespace: shop
  chart: {spec: {chart: charts/podinfo, sourceRef: {kind: GitRepository, name: flux-system}}}
  valuesFrom: [{kind: ConfigMap, name: values}]
"""


@pytest.fixture
def place(tmp_path):
    def make(shape: str) -> GitRepo:
        shutil.copytree(SHAPES / shape, tmp_path / "copy" / shape)
        repo = GitRepo(tmp_path / "copy" / shape)
        repo.commit("as it is")
        return repo

    return make


@pytest.fixture
def yardarm(tmp_path):
    found = [os.environ["PATH"], *([str(Path(KUSTOMIZE).parent)] if KUSTOMIZE else [])]
    env = {"PATH": os.pathsep.join(found), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def run(repo: GitRepo, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hub", *args]
        return subprocess.run(command, env=env, capture_output=True, text=True, cwd=repo.path, check=False)

    return run


def by_name(text: str) -> dict[tuple[str, str], dict]:
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text) if each}


@either
def test_applications_made_by_a_chart_are_imported_and_render(place, yardarm):
    repo = place("argocd-example-apps")

    done = yardarm(repo, "import", "apps", "--to", "fleet")
    assert done.returncode == 0, done.stderr
    assert "example.plugin-made: not carried over: source.plugin" in done.stderr
    assert len(done.stdout.splitlines()) == 6
    checked = yardarm(repo, "validate", "fleet")
    assert checked.returncode == 0, checked.stdout
    rendered = yardarm(repo, "render", "fleet", "--cluster", "any", "--app", "example-pre-post-sync")
    assert by_name(rendered.stdout) == by_name(built(repo.path, "pre-post-sync", any_command()).decode())
    chart = yardarm(repo, "render", "fleet", "--cluster", "any", "--app", "example-helm-guestbook")
    assert set(by_name(chart.stdout)) == {
        ("Deployment", "helm-guestbook-helm-guestbook"),
        ("Service", "helm-guestbook-helm-guestbook"),
    }


def test_a_repository_of_other_tools_is_used_as_it_is(place, yardarm):
    repo = place("argocd-example-apps")

    done = yardarm(repo, "render", "apps", "--cluster", "here", "--app", "example-guestbook")

    assert done.returncode == 0, done.stderr
    assert set(by_name(done.stdout)) == {("Deployment", "guestbook-ui"), ("Service", "guestbook-ui")}
    assert "definitions of Argo CD are taken, 6 applications" in yardarm(repo, "validate", "apps").stdout


@either
def test_releases_and_kustomizations_per_environment(place, yardarm):
    repo = place("flux2-kustomize-helm-example")

    done = yardarm(repo, "import", ".", "--to", "fleet", "--strict")
    assert done.returncode == 0, done.stderr
    repo.write("fleet/clusters.yaml", CLUSTERS)
    podinfo = yaml.safe_load((repo.path / "fleet/applications/production-podinfo.yaml").read_text())
    assert podinfo["spec"]["render"]["helm"]["values"]["httpRoute"]["hostnames"] == ["podinfo.production"]
    assert podinfo["spec"]["source"]["version"] == ">=1.0.0"
    rendered = yardarm(repo, "render", "fleet", "--cluster", "prod", "--app", "production-infra-configs")
    issuer = by_name(rendered.stdout)["ClusterIssuer", "letsencrypt"]
    assert issuer["spec"]["acme"]["server"] == "https://acme-v02.example.com/directory"
    others = yardarm(repo, "render", "fleet", "--cluster", "prod", "--app", "production-apps")
    assert set(by_name(others.stdout)) == {("Namespace", "podinfo")}
    elsewhere = yardarm(repo, "render", "fleet", "--cluster", "dev", "--app", "production-apps")
    assert "production-apps is not placed on dev" in elsewhere.stderr


@either
@pytest.mark.parametrize(
    ("application", "replicas", "replica_kept", "kind"),
    [
        ("multi-cluster-helm", {"dev": 1, "test": 3, "prod": 3}, {"test", "prod"}, "LoadBalancer"),
        ("manifests", {"dev": 1, "test": 3, "prod": 3}, {"test", "prod"}, "LoadBalancer"),
        ("kustomize", {"dev": 0, "test": 3, "prod": 4}, {"dev", "test", "prod"}, None),
    ],
)
def test_bundles_differ_by_cluster(place, yardarm, application, replicas, replica_kept, kind):
    repo = place("fleet-examples")
    assert yardarm(repo, "import", ".", "--to", "fleet").returncode == 0
    repo.write("fleet/clusters.yaml", CLUSTERS)

    for cluster, count in replicas.items():
        done = yardarm(repo, "render", "fleet", "--cluster", cluster, "--app", application)
        assert done.returncode == 0, done.stderr
        objects = by_name(done.stdout)
        assert objects["Deployment", "frontend"]["spec"]["replicas"] == count
        assert (("Deployment", "redis-slave") in objects) is (cluster in replica_kept)
        if cluster == "prod" and kind:
            assert objects["Service", "frontend"]["spec"]["type"] == kind


@either
@pytest.mark.parametrize(
    ("shape", "path", "count"),
    [
        ("podinfo", "kustomize", 3),
        ("podinfo", "charts/podinfo", 2),
        ("podinfo", "deploy/overlays/staging", 7),
        ("microservices-demo", "kustomize", 7),
        ("microservices-demo", "kustomize/tests/with-all-components", 7),
        ("microservices-demo", "release", 6),
        ("microservices-demo", "kubernetes-manifests", 6),
        ("microservices-demo", "helm-chart", 6),
    ],
)
def test_a_directory_that_is_pointed_at_is_an_application(place, yardarm, shape, path, count):
    repo = place(shape)

    done = yardarm(repo, "render", path, "--cluster", "here")

    assert done.returncode == 0, done.stderr
    assert len(by_name(done.stdout)) == count
    if (repo.path / path / "kustomization.yaml").exists():
        assert by_name(done.stdout) == by_name(built(repo.path, path, any_command()).decode())


def test_several_ways_to_install_one_thing_are_an_error_that_says_what_to_do(place, yardarm):
    done = yardarm(place("podinfo"), "import")

    assert done.returncode == 1
    assert done.stdout == ""
    assert "charts/podinfo, kustomize: these directories hold mostly the same objects" in done.stderr
    assert "point the hub at one of them" in done.stderr


def test_what_a_program_gets(place, yardarm):
    done = yardarm(place("argocd-example-apps"), "import", "apps", "-o", "json")

    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert {each["document"]["kind"] for each in report["documents"]} == {"Application"}
    left = [note for note in report["notes"] if note["kind"] == "left"]
    assert [note["subject"] for note in left] == ["Application argocd/example.plugin-made"]
    assert report["problems"] == []


def test_anything_that_is_left_is_1_when_asked_for(place, yardarm):
    repo = place("argocd-example-apps")

    assert yardarm(repo, "import", "apps", "-o", "table").returncode == 0
    assert yardarm(repo, "import", "apps", "-o", "table", "--strict").returncode == 1


def test_files_that_are_there_are_not_replaced_and_wrong_usage_is_2(place, yardarm, tmp_path):
    repo = place("argocd-example-apps")
    assert yardarm(repo, "import", "apps", "--to", "fleet").returncode == 0

    again = yardarm(repo, "import", "apps", "--to", "fleet")
    assert again.returncode == 2
    assert "would be replaced: add --force" in again.stderr
    assert yardarm(repo, "import", "apps", "--to", "fleet", "--force").returncode == 0
    outside = yardarm(repo, "import", "apps", "--to", str(tmp_path / "other"))
    assert outside.returncode == 2
    assert "--repo" in outside.stderr
    url = "https://git.example.com/team/apps.git"
    named = yardarm(repo, "import", "apps", "--to", str(tmp_path / "other"), "--repo", url)
    assert named.returncode == 0
    made = yaml.safe_load((tmp_path / "other/applications/example-guestbook.yaml").read_text())
    assert made["spec"]["source"] == {"repo": url, "path": "guestbook"}
    assert yardarm(repo, "import", "nowhere").returncode == 2


@either
def test_releases_are_put_in_place_by_what_their_charts_make(place, yardarm):
    repo = place("podinfo")
    repo.write("app/kustomization.yaml", "resources: [all.yaml]\n")
    repo.write("app/all.yaml", RELEASE)
    document = "apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {name: web}\nspec:\n  namespace: web\n"
    repo.write("fleet/web.yaml", f"{document}  source: {{path: app}}\n  render: {{helmReleases: expand}}\n")

    done = yardarm(repo, "render", "fleet", "--cluster", "here")
    assert done.returncode == 0, done.stderr
    objects = by_name(done.stdout)
    assert set(objects) == {("ConfigMap", "values"), ("Deployment", "shop-web"), ("Pod", "shop-web-test")}
    assert objects["Deployment", "shop-web"]["spec"]["replicas"] == 5
    assert objects["Deployment", "shop-web"]["metadata"]["namespace"] == "shop"

    repo.write("app/all.yaml", RELEASE.replace("name: values}]", "name: other}]"))
    failed = yardarm(repo, "render", "fleet", "--cluster", "here")
    assert failed.returncode == 1
    assert "HelmRelease shop/web: no ConfigMap shop/other" in failed.stderr
