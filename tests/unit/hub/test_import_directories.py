"""A repository that nobody has described: which of its directories are applications, and where that is not decided."""

from __future__ import annotations

import pytest

from tests.fakes.imports import SHAPES, asked, names, spec
from tests.fakes.memorytree import MemoryTree

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


def shape(name: str, path: str = "", **how):
    return asked(MemoryTree.of(SHAPES / name).files, path, **how)


def test_each_chart_kustomization_and_folder_of_manifests_is_an_application():
    found = shape("argocd-example-apps")

    assert names(found) == [
        "blue-green", "guestbook", "helm-guestbook", "kustomize-guestbook", "pre-post-sync", "sock-shop", "sync-waves",
    ]  # fmt: skip
    assert spec(found, "blue-green") == {"source": {"path": "blue-green"}, "namespace": "blue-green"}
    told = {problem.place.file: problem.message for problem in found.problems}
    assert told == {
        "apps": "left out: it makes definitions of Argo CD: point at it, and they are imported",
        "plugins/kustomized-helm": "left out: it is a chart and a kustomization at once, which takes a plugin to render",
    }


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        (
            "podinfo",
            ["charts/podinfo, kustomize", "deploy/overlays/dev, deploy/overlays/production, deploy/overlays/staging"],
        ),
        ("microservices-demo", ["kubernetes-manifests, kustomize, release"]),
    ],
)
def test_where_directories_are_several_ways_to_install_one_thing_nothing_is_chosen(name, groups):
    found = shape(name)

    assert found.documents == ()
    errors = sorted(problem.message.partition(": ")[0] for problem in found.problems if problem.severity == "error")
    assert errors == groups


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("podinfo", "kustomize"),
        ("podinfo", "charts/podinfo"),
        ("podinfo", "deploy/overlays/production"),
        ("microservices-demo", "kustomize"),
        ("microservices-demo", "release"),
        ("microservices-demo", "helm-chart"),
        ("microservices-demo", "kubernetes-manifests"),
    ],
)
def test_each_of_them_is_one_application_when_it_is_pointed_at(name, path):
    found = shape(name, path)

    assert found.how == "one"
    assert [each.value["spec"]["source"] for each in found.documents] == [{"path": path}]


def test_a_base_is_part_of_the_kustomization_that_includes_it():
    found = asked(
        {
            "base/kustomization.yaml": "resources: [a.yaml, b.yaml]\n",
            "base/a.yaml": CONFIG % "a",
            "base/b.yaml": CONFIG % "b",
            "prod/kustomization.yaml": "resources: [../base]\nnamespace: prod\n",
        }
    )

    assert names(found) == ["prod"]


def test_other_yaml_is_no_application():
    found = asked(
        {
            "chart/Chart.yaml": "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
            "chart/templates/a.yaml": CONFIG % "a",
            "ci/pipeline.yaml": "stages: [a, b]\n",
            "docs/example.yaml": "apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {name: example}\n",
            ".github/workflows/test.yaml": "on: push\n",
            "library/Chart.yaml": "apiVersion: v2\nname: library\nversion: 1.0.0\ntype: library\n",
        }
    )

    assert names(found) == ["chart"]


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("apps/My Shop", "", "my-shop"),
        ("", "podinfo", "podinfo"),
        ("", "", "app"),
        ("k8s_manifests", "x", "k8s-manifests"),
    ],
)
def test_a_directory_of_manifests_is_one_application_called_like_it_and_says_so(path, name, expected):
    found = asked({f"{path}/a.yaml".lstrip("/"): CONFIG % "a"}, path, name=name)

    assert names(found) == [expected]
    assert "all manifests are taken as one application" in found.findings[0].message


def test_what_runs_as_one_application_stays_one():
    files = {"web/kustomization.yaml": "resources: [a.yaml]\n", "web/a.yaml": CONFIG % "a", "db/b.yaml": CONFIG % "b"}
    found = asked(files, present={"repo": "."})

    assert names(asked(files)) == ["db", "web"]
    assert names(found) == ["repo"]
    assert "clusters have . as one application, 'repo', so it stays one" in found.findings[0].message


def test_a_folder_without_manifests_is_an_error():
    found = asked({"a/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n"})

    assert [problem.message for problem in found.problems] == [
        "no fleet documents, and no directory that can be an application"
    ]
