"""HelmReleases among an application's objects, put in place by their charts."""

from __future__ import annotations

from typing import Any

import yaml

from hub.domain.yamldoc import Document
from hub.importing.flux.expanding import Expanded, expand
from hub.importing.home import Home

OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: apps}
spec: {url: https://charts.example.com}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: values, namespace: apps}
data: {values.yaml: "a: 1\\nb: 2\\n"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: apps}
spec:
  chart: {spec: {chart: web, version: 1.x, sourceRef: {kind: HelmRepository, name: charts}}}
  valuesFrom: [{kind: ConfigMap, name: values}]
  values: {b: 3}
  install: {crds: Skip}
  postRenderers: [{kustomize: {images: [{name: web, newTag: "2"}]}}]
"""


def expanded(text: str, home: Home | None = None) -> Expanded:
    values: list[dict[str, Any]] = [each for each in yaml.safe_load_all(text) if each]
    return expand([Document("rendered", number, value) for number, value in enumerate(values)], home)


def test_the_chart_takes_the_place_of_its_release_and_its_source():
    found = expanded(OBJECTS)

    assert [each.value["kind"] for each in found.remaining] == ["Namespace", "ConfigMap"]
    (chart,) = found.charts
    assert chart.source == {"repo": "https://charts.example.com", "chart": "web", "version": "1.x"}
    assert (chart.release, chart.namespace, chart.values, chart.crds) == ("web", "apps", {"a": 1, "b": 3}, False)
    assert chart.images == ({"name": "web", "newTag": "2"},)
    assert not any(problem.severity == "error" for problem in found.problems)


def test_a_release_whose_source_is_not_there_is_an_error_and_others_go_on():
    lost = OBJECTS.rpartition("---")[2].replace("name: web,", "name: lost,").replace("name: charts}", "name: lost}")
    found = expanded(f"{OBJECTS}---{lost}")

    assert [each.name for each in found.charts] == ["web"]
    errors = [problem.message for problem in found.problems if problem.severity == "error"]
    assert errors == ["HelmRelease apps/lost: there is no HelmRepository apps/lost among what is read"]


def test_values_that_are_not_at_hand_fail_the_release():
    found = expanded(OBJECTS.replace("kind: ConfigMap, name: values", "kind: Secret, name: hidden"))

    assert found.charts == ()
    errors = [problem.message for problem in found.problems if problem.severity == "error"]
    assert errors == ["HelmRelease apps/web: no Secret apps/hidden"]


def test_a_suspended_release_and_other_objects_of_flux_are_left_out_and_said():
    alert = "apiVersion: notification.toolkit.fluxcd.io/v1\nkind: Alert\nmetadata: {name: a}\n"
    found = expanded(OBJECTS.replace("spec:\n  chart", "spec:\n  suspend: true\n  chart") + "---\n" + alert)

    assert found.charts == ()
    assert [each.value["kind"] for each in found.remaining] == ["Namespace", "ConfigMap"]
    assert [problem.message for problem in found.problems] == [
        "HelmRelease apps/web is suspended: its chart is left out",
        "Alert a: left out, Flux itself is not at work here",
    ]


def test_a_chart_of_this_repository_is_one_at_the_same_commit():
    git = OBJECTS.replace(
        "kind: HelmRepository\nmetadata: {name: charts", "kind: GitRepository\nmetadata: {name: charts"
    )
    git = git.replace(
        "url: https://charts.example.com", "url: https://git.example.com/team/repo.git, ref: {branch: main}"
    )
    git = git.replace(
        "{chart: web, version: 1.x, sourceRef: {kind: HelmRepository",
        "{chart: ./charts/web, sourceRef: {kind: GitRepository",
    )
    (here,) = expanded(git, Home(("https://git.example.com/team/repo",), "main")).charts
    (elsewhere,) = expanded(git).charts

    assert here.source == {"path": "charts/web"}
    assert elsewhere.source == {"repo": "https://git.example.com/team/repo.git", "ref": "main", "path": "charts/web"}
