"""Rancher Fleet's bundles as fleet documents: targets, customizations, overlays, and what is said of the rest."""

from __future__ import annotations

import pytest

from tests.fakes.imports import SHAPES, asked, names, said, spec
from tests.fakes.memorytree import MemoryTree

SHAPE = MemoryTree.of(SHAPES / "fleet-examples").files
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
GROUP = """
apiVersion: fleet.cattle.io/v1alpha1
kind: ClusterGroup
metadata: {name: edge, labels: {tier: far}}
spec: {selector: {matchLabels: {site: edge}}}
"""


def bundle(text: str, **files: str):
    chart = {"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "app/templates/a.yaml": CONFIG}
    return asked({"app/fleet.yaml": text, **chart, **files})


def test_every_directory_with_a_fleet_yaml_is_an_application():
    found = asked(SHAPE, urls=())

    assert names(found) == [
        "helm-kustomize", "kustomize", "manifests", "monitoring", "multi-cluster-helm", "simple", "single-cluster-helm",
    ]  # fmt: skip
    assert spec(found, "single-cluster-helm") == {
        "source": {"path": "single-cluster/helm"},
        "render": {"helm": {"release": "guestbook", "values": {"replicas": 2}}},
        "namespace": "fleet-helm-example",
        "sync": {"drift": "report"},
    }
    assert spec(found, "monitoring") == {
        "source": {"repo": "https://charts.example.com", "chart": "monitoring", "version": "104.1.0"},
        "render": {"helm": {"release": "monitoring"}},
        "namespace": "cattle-monitoring-system",
        "sync": {
            "drift": "report",
            "ignore": [
                {
                    "kind": "MutatingWebhookConfiguration",
                    "group": "admissionregistration.k8s.io",
                    "name": "monitoring-admission",
                    "fields": ["/webhooks/0/failurePolicy"],
                }
            ],
        },
        "dependsOn": ["single-cluster-helm"],
    }


def test_a_git_repo_says_which_clusters_its_paths_are_for():
    assert spec(asked(SHAPE, urls=()), "simple")["placement"] == {"where": [{"labels": {"env": "dev"}}]}


def test_customizations_are_overrides_of_the_first_that_matches():
    found = bundle("""
targetCustomizations:
- {name: canary, clusterSelector: {matchLabels: {canary: "yes"}}, helm: {values: {a: 1}}}
- {name: prod, clusterSelector: {matchLabels: {env: prod}}, helm: {values: {a: 2}}}
- {name: rest, clusterSelector: {}, helm: {values: {a: 3}}}
""")

    assert spec(found, "app")["overrides"] == [
        {"when": {"where": [{"labels": {"canary": "yes"}}]}, "values": {"a": 1}},
        {"when": {"where": [{"labels": {"env": "prod"}, "match": ["canary!=yes"]}]}, "values": {"a": 2}},
        {"when": {"where": [{"match": ["canary!=yes", "env!=prod"]}]}, "values": {"a": 3}},
    ]


def test_in_mode_all_matches_each_that_matches_counts():
    found = bundle("""
targetCustomizationMode: AllMatches
targetCustomizations:
- {name: canary, clusterSelector: {matchLabels: {canary: "yes"}}, helm: {values: {a: 1}}}
- {name: prod, clusterSelector: {matchLabels: {env: prod}}, helm: {values: {b: 2}}}
""")

    assert [each["when"]["where"] for each in spec(found, "app")["overrides"]] == [
        [{"labels": {"canary": "yes"}}],
        [{"labels": {"env": "prod"}}],
    ]


def test_clusters_that_get_nothing_are_left_out_of_the_placement():
    found = bundle("targetCustomizations: [{name: no, clusterName: old, doNotDeploy: true}]\n")

    assert spec(found, "app")["placement"] == {"exclude": ["old"]}


def test_groups_are_environments():
    found = bundle("overrideTargets: [{clusterGroup: edge}]\n", **{"groups.yaml": GROUP})
    by_label = bundle("overrideTargets: [{clusterGroupSelector: {matchLabels: {tier: far}}}]\n", **{"g.yaml": GROUP})

    assert spec(found, "edge", "Environment") == {"where": [{"labels": {"site": "edge"}}]}
    assert spec(found, "app")["placement"] == {"environments": ["edge"]}
    assert spec(by_label, "app")["placement"] == {"environments": ["edge"]}


def test_overlays_take_the_place_of_files_or_are_merged_into_them():
    overrides = spec(asked(SHAPE, urls=()), "manifests")["overrides"]

    assert overrides[0]["patches"] == [
        {"target": {"group": "apps", "kind": "Deployment", "name": "redis-slave"}, "patch": {"$patch": "delete"}},
        {"target": {"kind": "Service", "name": "redis-slave"}, "patch": {"spec": {"selector": {"role": "master"}}}},
    ]
    assert [each["target"]["kind"] for each in overrides[2]["patches"]] == ["Service", "Deployment"]


def test_an_overlay_that_adds_objects_is_listed():
    found = asked(
        {
            "app/fleet.yaml": "targetCustomizations: [{name: a, clusterName: a, yaml: {overlays: [more]}}]\n",
            "app/config.yaml": CONFIG,
            "app/overlays/more/extra.yaml": CONFIG.replace("settings", "extra"),
        }
    )

    assert "overrides" not in spec(found, "app")
    assert any("adds ConfigMap extra: make an application of it" in text for text in said(found, "left"))


def test_a_kustomization_per_target_is_the_path_on_these_clusters_and_nowhere_else():
    made = spec(asked(SHAPE, urls=()), "kustomize")

    assert made["placement"] == {"where": [{"labels": {"env": env}} for env in ("dev", "test", "prod")]}
    assert [each["path"] for each in made["overrides"]] == [
        f"multi-cluster/kustomize/overlays/{env}" for env in ("dev", "test", "prod")
    ]
    assert made["render"] == {"kustomize": {"namespace": "fleet-mc-kustomize-example"}}


def test_a_kustomization_over_a_chart_is_its_patches():
    assert spec(asked(SHAPE, urls=()), "helm-kustomize")["overrides"][0]["patches"] == [
        {
            "patch": {
                "kind": "Deployment",
                "apiVersion": "apps/v1",
                "metadata": {"name": "redis-slave"},
                "spec": {"replicas": 0},
            }
        }
    ]


def test_value_files_win_over_values_as_they_do_in_fleet():
    found = bundle(
        "helm: {values: {a: {b: 1, c: 2}, d: 3}, valuesFiles: [prod.yaml]}\n", **{"app/prod.yaml": "a: {b: 9}\n"}
    )

    assert spec(found, "app")["render"]["helm"] == {
        "values": {"a": {"c": 2}, "d": 3},
        "valueFiles": ["/app/prod.yaml"],
    }


def test_a_clusters_own_values_are_variables():
    cluster = "apiVersion: fleet.cattle.io/v1alpha1\nkind: Cluster\nmetadata: {name: a, labels: {env: dev}}\nspec: {templateValues: {zone: z1}}\n"
    values = "helm: {values: {name: '${ .ClusterName }', zone: '${ .ClusterValues.zone }', env: '${ .ClusterLabels.env }'}}\n"
    found = bundle(values, **{"clusters.yaml": cluster})

    assert spec(found, "a", "Cluster") == {"variables": {"zone": "z1"}}
    made = spec(found, "app")["render"]["helm"]["values"]
    assert (made["name"], made["zone"]) == ("${cluster}", "${zone}")
    document = next(each for each in found.documents if each.kind == "Application")
    assert "yardarm.dev/substitute" not in document.value["metadata"].get("annotations", {})
    assert any("${.ClusterLabels.env} is computed from the cluster" in text for text in said(found, "left"))


def test_partitions_are_stages():
    found = bundle("""
rolloutStrategy:
  partitions:
  - {name: canary, maxUnavailable: 1, clusterSelector: {matchLabels: {canary: "yes"}}}
  - {name: rest, maxUnavailable: 25%, clusterSelector: {}}
""")

    assert spec(found, "app")["rollout"] == {
        "stages": [
            {"name": "canary", "where": [{"labels": {"canary": "yes"}}], "maxConcurrent": 1},
            {"name": "rest", "maxConcurrent": "25%"},
        ]
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("correctDrift: {enabled: true}\n", None),
        ("keepResources: true\n", {"drift": "report", "deletion": {"onDelete": "orphan"}}),
        ("helm: {timeoutSeconds: 90}\n", {"drift": "report", "timeout": "1m30s"}),
    ],
)
def test_how_a_bundle_is_kept(text, expected):
    assert spec(bundle(text), "app").get("sync") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("namespaceLabels: {a: b}\n", "namespaceLabels: the namespace is made without them"),
        ("serviceAccount: app\n", "serviceAccount: the account is that of the Project"),
        ("helm: {valuesFrom: [{configMapKeyRef: {name: a}}]}\n", "helm.valuesFrom: they are read from the cluster"),
        ("novelty: 1\n", "novelty: a field that this version does not know"),
        ("helm: {chart: ../../outside}\n", "is neither a chart of this repository nor an address of one"),
        (
            "targetCustomizations: [{name: a, clusterName: a, namespace: other}]\n",
            "namespace: an application is in one namespace",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_listed_with_its_place(text, message):
    assert [each for each in said(bundle(text), "left") if message in each and each.startswith("app/fleet.yaml:")]


def test_paths_of_another_repository_are_listed():
    repo = "kind: GitRepo\napiVersion: fleet.cattle.io/v1alpha1\nmetadata: {name: other}\nspec: {repo: https://git.example.com/team/other, paths: [app]}\n"
    found = bundle("{}\n", **{"repo.yaml": repo})

    assert any("is another repository: what bundles it holds cannot be seen" in text for text in said(found, "left"))
