"""`yardarm explain`: why an application is on a cluster or not, and where each of its values comes from."""

import pytest

from hub.cli import explaining
from hub.domain.fleet import build_fleet
from hub.domain.items import lookups_of
from hub.domain.listing import listings_in
from hub.domain.reading import read_documents
from hub.explainer import explanation, overview
from tests.fakes.memorytree import MemoryTree

HEAD = "apiVersion: yardarm.dev/v1alpha1\n"
CLUSTERS = f"""\
{HEAD}kind: Cluster
metadata:
  name: prod-1
  labels: {{env: prod}}
spec:
  variables:
    domain: one.example.com
---
{HEAD}kind: Cluster
metadata: {{name: dev-1, labels: {{env: dev}}}}
---
{HEAD}kind: Environment
metadata: {{name: prod}}
spec:
  where: [{{labels: {{env: prod}}}}]
  variables:
    domain: example.com
    tier: gold
"""
WEB = f"""\
{HEAD}kind: Application
metadata: {{name: web}}
spec:
  source:
    path: charts/web
  placement:
    environments: [prod]
  render:
    helm:
      values:
        replicas: 1
        image:
          tag: "1"
      valueFiles: [values-base.yaml]
  overrides:
    - when: {{environments: [prod]}}
      values:
        image:
          tag: "2"
      images: [{{name: web, newTag: "2"}}]
    - when: {{where: [{{labels: {{env: dev}}}}]}}
      variables: {{tier: bronze}}
    - when: {{where: [{{facts: {{kubernetes: ">=1.30"}}}}]}}
      path: charts/new
"""


def fleet_of(*texts, files=None):
    parsed = [each for n, text in enumerate(texts) for each in read_documents(text, file=f"f{n}.yaml")]
    return build_fleet(parsed, listings=listings_in(MemoryTree(files or {}), lookups_of(parsed)))


def values(found):
    return {each["path"]: (each["value"], each["from"], each["written"]) for each in found["values"]}


def test_every_value_says_what_it_is_where_from_and_where_that_is_written():
    found = explanation("web", "prod-1", fleet_of(CLUSTERS, WEB), {"prod-1": {"kubernetes": "v1.29.3"}})

    told = values(found)
    assert told["values.image.tag"] == ("2", "override 1 of web", "f1.yaml:20: spec.overrides[0].values.image.tag")
    assert told["values.replicas"] == (1, "application web", "f1.yaml:12: spec.render.helm.values.replicas")
    assert told["valueFiles[0]"] == (
        "values-base.yaml", "application web", "f1.yaml:15: spec.render.helm.valueFiles[0]",
    )  # fmt: skip
    assert told["variables.domain"] == ("one.example.com", "cluster prod-1", "f0.yaml:8: spec.variables.domain")
    assert told["variables.tier"] == ("gold", "environment prod", "f0.yaml:21: spec.variables.tier")
    assert told["variables.cluster"] == ("prod-1", "set by Yardarm", "")
    assert told["images.web"] == ("web:2", "override 1 of web", "f1.yaml:21: spec.overrides[0].images")
    assert told["path"] == ("charts/web", "application web", "f1.yaml:6: spec.source.path")


def test_overrides_say_why_they_apply_or_not():
    fleet = fleet_of(CLUSTERS, WEB)
    old = explanation("web", "prod-1", fleet, {"prod-1": {"kubernetes": "v1.29.3"}})
    new = explanation("web", "prod-1", fleet, {"prod-1": {"kubernetes": "v1.31.0"}})

    assert [(each["applies"], each["reasons"]) for each in old["overrides"]] == [
        (True, ["in environment prod"]),
        (False, ["label env is 'prod', wanted 'dev'"]),
        (False, ["fact kubernetes is 'v1.29.3', wanted >=1.30"]),
    ]
    assert old["overrides"][1]["written"] == "f1.yaml:22: spec.overrides[1]"
    assert values(new)["path"] == ("charts/new", "override 3 of web", "f1.yaml:25: spec.overrides[2].path")


def test_a_cluster_that_is_not_selected_says_every_reason():
    found = explanation("web", "dev-1", fleet_of(CLUSTERS, WEB), {})

    assert not found["selected"]
    assert found["verdict"] == "dev-1 is not selected for web"
    assert found["reasons"][0] == "not in environment prod (it is in none)"
    assert "f1.yaml:7: spec.placement" in found["reasons"][-1]


SET = f"""\
{HEAD}kind: ApplicationSet
metadata: {{name: all}}
spec:
  forEach: [{{directories: {{path: apps/*}}}}]
  template:
    metadata: {{name: "${{item.name}}"}}
    spec:
      source:
        path: ${{item.path}}
"""


def test_an_application_of_a_set_names_its_set_and_item_and_the_template():
    found = explanation("api", "prod-1", fleet_of(CLUSTERS, SET, files={"apps/api/cm.yaml": ""}), {})

    assert found["set"]["name"] == "all"
    assert found["set"]["item"]["path"] == "apps/api"
    assert values(found)["path"] == ("apps/api", "application api", "f1.yaml:10: spec.template.spec.source.path")
    text = [line for line in explaining.lines(found, [], 0.0) if isinstance(line, str)]
    assert "  - ApplicationSet all made it of {path: apps/api, name: api}" in text


def test_what_is_not_there_says_what_is_and_who_may_have_it():
    fleet = fleet_of(CLUSTERS, WEB, SET.replace("path: apps/*", "path: apps/*, repo: https://git.example.com/a"))

    with pytest.raises(LookupError, match=r"ApplicationSet 'all' may have it: .* is not looked into here"):
        explanation("api", "prod-1", fleet, {})
    with pytest.raises(LookupError, match="there is no cluster 'prod-9'; there are dev-1, prod-1"):
        explanation("web", "prod-9", fleet, {})


def test_without_a_cluster_all_are_listed_with_every_reason_on_one_line():
    found = overview("web", fleet_of(CLUSTERS, WEB), {}, previous=["dev-1"])

    head, _, table, _, more = explaining.told(found, [], 0.0)
    assert head == "web goes to 1 of 2 clusters; the placement is at f1.yaml:7"
    assert table.rows == [
        (
            "dev-1",
            "",
            "no",
            "not in environment prod (it is in none); it has the application now, and will be asked to let it go",
        ),
        ("prod-1", "prod", "yes", "in environment prod"),
    ]
    assert more == "more of one: yardarm explain web --cluster dev-1"
    with pytest.raises(LookupError, match="there is no application 'wbe'"):
        overview("wbe", fleet_of(CLUSTERS, WEB), {})


def test_the_only_cluster_of_a_fleet_need_not_be_named():
    alone = f"{HEAD}kind: Cluster\nmetadata: {{name: home}}\n"

    assert explaining.only_cluster(overview("web", fleet_of(alone, WEB), {})) == "home"
    assert explaining.only_cluster(overview("web", fleet_of(CLUSTERS, WEB), {})) == ""
    assert explaining.only_cluster(overview("web", fleet_of(WEB), {})) == ""
