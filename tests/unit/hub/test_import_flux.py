"""Flux definitions as fleet documents: what each field becomes, and what is said of those that become nothing."""

from __future__ import annotations

import base64

import pytest

from hub.domain.fleet import build_fleet
from hub.domain.reading import Rejected
from hub.domain.yamldoc import Document
from hub.importing.home import Home
from hub.importing.notes import want
from hub.importing.recognising import Question, answer
from shared.model import Problem
from tests.fakes.imports import SHAPES, URL, asked, names, said, spec
from tests.fakes.memorytree import MemoryTree

GIT = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: flux-system, namespace: flux-system}
spec: {url: "ssh://git@git.example.com/team/repo.git", ref: {branch: main}, interval: 1m, secretRef: {name: key}}
"""
HELM = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: apps}
spec: {url: "https://charts.example.com/", interval: 1h}
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {host: %s}\n"


def kustomization(name: str, path: str, more: str = "", prune: str = "true") -> str:
    return f"""
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}, namespace: flux-system}}
spec:
  interval: 10m
  prune: {prune}
  sourceRef: {{kind: GitRepository, name: flux-system}}
  path: {path}
{more}"""


def release(name: str = "web", more: str = "", chart: str = "") -> str:
    chart = chart or "chart: {spec: {chart: web, version: 1.x, sourceRef: {kind: HelmRepository, name: charts}}}"
    return f"""
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {{name: {name}, namespace: apps}}
spec:
  interval: 10m
  {chart}
{more}"""


def flux(path_files: dict[str, str], more: str = "", **others: str):
    cluster = {"cluster/git.yaml": GIT, "cluster/web.yaml": kustomization("web", "./apps/web", more)}
    return asked({**cluster, **{f"apps/web/{name}": text for name, text in path_files.items()}, **others})


def test_a_kustomization_is_an_application_of_its_path_in_this_repository():
    found = flux({"config.yaml": CONFIG % "a"}, "  timeout: 3m\n  targetNamespace: shop\n")

    assert spec(found, "web") == {"source": {"path": "apps/web"}, "namespace": "shop", "sync": {"timeout": "3m"}}
    assert said(found, "left") == [
        "cluster/git.yaml:5: spec.secretRef: secretRef: access is given per host, in the hub's settings (git.access)"
    ]


def test_what_is_not_pruned_stays_when_the_application_goes():
    found = asked({"web.yaml": kustomization("web", "apps", prune="false"), "apps/config.yaml": CONFIG % "a"})

    assert spec(found, "web")["sync"] == {"prune": False, "deletion": {"onDelete": "orphan"}}


def test_the_order_of_kustomizations_is_the_order_of_applications():
    more = {"cluster/db.yaml": kustomization("db", "apps/db"), "apps/db/config.yaml": CONFIG % "b"}
    found = flux({"config.yaml": CONFIG % "a"}, "  dependsOn: [{name: db}]\n", **more)

    assert spec(found, "web")["dependsOn"] == ["db"]


def test_patches_of_manifests_come_after_and_of_a_kustomization_before():
    patch = "  patches: [{target: {kind: ConfigMap}, patch: '[{op: add, path: /data/a, value: b}]'}]\n"
    plain = flux({"config.yaml": CONFIG % "a"}, patch)
    kustomized = flux({"config.yaml": CONFIG % "a", "kustomization.yaml": "resources: [config.yaml]\n"}, patch)
    expected = [{"target": {"kind": "ConfigMap"}, "patch": [{"op": "add", "path": "/data/a", "value": "b"}]}]

    assert spec(plain, "web")["overrides"] == [{"patches": expected}]
    assert spec(kustomized, "web")["render"] == {"kustomize": {"patches": expected}}


def test_substitution_defines_every_name_that_occurs_as_flux_does():
    more = "  postBuild: {substitute: {host: shop.example.com, count: '3'}}\n"
    found = flux({"config.yaml": CONFIG % '"${host} ${count} ${other} ${region:=eu}"'}, more)

    assert spec(found, "web")["overrides"] == [
        {"variables": {"host": "shop.example.com", "count": 3, "other": "", "region": ""}}
    ]
    assert any("other: without a value, put in as nothing" in text for text in said(found, "differs"))


def test_without_values_nothing_is_substituted():
    found = flux({"config.yaml": CONFIG % '"${host}"'})

    made = next(each for each in found.documents if each.name == "web")
    assert made.value["metadata"]["annotations"] == {"yardarm.dev/substitute": "disabled"}
    assert "overrides" not in spec(found, "web")


def test_values_of_a_config_map_in_the_repository_are_copied_those_of_others_left_to_clusters():
    more = "  postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}, {kind: Secret, name: keys}]}\n"
    vars_ = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vars, namespace: flux-system}\ndata: {host: a.example.com}\n"
    )
    found = flux({"config.yaml": CONFIG % '"${host} ${token}"'}, more, **{"cluster/vars.yaml": vars_})

    assert spec(found, "web")["overrides"] == [{"variables": {"host": "a.example.com"}}]
    assert any("token: nobody here gives them a value (Secret keys may)" in text for text in said(found, "left"))


def test_health_expressions_speak_of_the_object():
    more = """  healthCheckExprs:
  - {apiVersion: example.com/v1, kind: Widget, current: "status.phase == 'Ready' && metadata.generation == status.seen",
     failed: "status.phase == 'Failed'"}
"""
    found = flux({"config.yaml": CONFIG % "a"}, more)

    assert spec(found, "web")["health"] == [
        {
            "kind": "example.com/Widget",
            "healthy": "object.status.phase == 'Ready' && object.metadata.generation == object.status.seen",
            "failed": "object.status.phase == 'Failed'",
        }
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("  decryption: {provider: sops}\n", "decryption: each cluster decrypts with a key of its own"),
        ("  kubeConfig: {secretRef: {name: other}}\n", "kubeConfig: the cluster's own agent applies here"),
        ("  serviceAccountName: web\n", "serviceAccountName: the account is that of the Project"),
        ("  novelty: 1\n", "novelty: a field that this version does not know"),
        ("  components: [../more]\n", "components: only a kustomization has it"),
    ],
)
def test_what_cannot_be_carried_over_is_listed_with_its_place(more, message):
    found = flux({"config.yaml": CONFIG % "a"}, more)

    assert [text for text in said(found, "left") if message in text and text.startswith("cluster/web.yaml:")]


def test_suspended_definitions_are_not_imported():
    assert names(flux({"config.yaml": CONFIG % "a"}, "  suspend: true\n")) == []


def test_a_release_is_an_application_of_its_chart():
    more = "  releaseName: shop\n  targetNamespace: shop\n  values: {replicas: 2}\n  dependsOn: [{name: db}]\n"
    found = asked({"a.yaml": HELM + "---" + release(more=more) + "---" + release("db")})

    assert spec(found, "web") == {
        "source": {"repo": "https://charts.example.com", "chart": "web", "version": "1.x"},
        "render": {"helm": {"release": "shop", "values": {"replicas": 2}}},
        "namespace": "shop",
        "sync": {"drift": "report", "createNamespace": False},
        "dependsOn": ["db"],
    }
    assert spec(found, "db")["render"]["helm"]["release"] == "db"


def test_a_release_without_a_name_is_called_as_flux_calls_it():
    found = asked({"a.yaml": HELM + "---" + release("web", "  targetNamespace: shop\n")})
    long = asked({"a.yaml": HELM + "---" + release("w" * 50, "  targetNamespace: shop\n")})

    assert spec(found, "web")["render"]["helm"]["release"] == "shop-web"
    name = spec(long, "w" * 50)["render"]["helm"]["release"]
    assert len(name) == 53
    assert name.startswith("shop-www")


def test_values_from_objects_come_in_order_below_those_of_the_release():
    values = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base, namespace: apps}\ndata: {values.yaml: 'a: {b: 1, c: 2}'}\n"
    secret = base64.b64encode(b"hush").decode()
    keys = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: keys, namespace: apps}}\ndata: {{word: {secret}}}\n"
    more = """  valuesFrom:
  - {kind: ConfigMap, name: base}
  - {kind: Secret, name: keys, valuesKey: word, targetPath: auth.word}
  values: {a: {c: 3}}
"""
    found = asked({"a.yaml": f"{HELM}---{release(more=more)}---\n{values}---\n{keys}"})

    assert spec(found, "web")["render"]["helm"]["values"] == {"a": {"b": 1, "c": 3}, "auth": {"word": "hush"}}
    assert any("the content of ConfigMap base is copied" in text for text in said(found, "differs"))


def test_values_that_only_the_cluster_has_are_listed():
    found = asked({"a.yaml": HELM + "---" + release(more="  valuesFrom: [{kind: Secret, name: keys}]\n")})

    assert any("there is no Secret apps/keys among what is read" in text for text in said(found, "left"))


def test_a_chart_in_an_oci_registry_is_named_by_its_last_part():
    oci = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: web, namespace: apps}
spec: {url: "oci://registry.example.com/charts/web", ref: {semver: 2.x}}
"""
    found = asked({"a.yaml": oci + "---" + release(chart="chartRef: {kind: OCIRepository, name: web}")})

    assert spec(found, "web")["source"] == {
        "repo": "oci://registry.example.com/charts",
        "chart": "web",
        "version": "2.x",
    }


def test_a_chart_of_this_repository_keeps_to_its_commit():
    git = GIT.replace("namespace: flux-system", "namespace: apps")
    chart = "chart: {spec: {chart: ./charts/web, valuesFiles: [./charts/web/values-prod.yaml], sourceRef: {kind: GitRepository, name: flux-system}}}"
    files = {
        "a.yaml": git + "---" + release(chart=chart),
        "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    }
    made = spec(asked(files), "web")

    assert made["source"] == {"path": "charts/web"}
    assert made["render"]["helm"]["valueFiles"] == ["/charts/web/values-prod.yaml"]


def test_a_release_in_a_kustomization_waits_for_the_rest_of_it():
    found = flux({"config.yaml": CONFIG % "a", "release.yaml": HELM + "---" + release()})

    assert names(found) == ["web", "web-release"] or names(found) == ["apps-web", "flux-system-web"]
    chart = next(each for each in found.documents if "chart" in each.value["spec"]["source"])
    other = next(each for each in found.documents if each is not chart)
    assert chart.value["spec"]["dependsOn"] == [other.name]
    assert other.value["spec"]["overrides"][-1]["patches"][0]["patch"] == {"$patch": "delete"}


def test_a_release_gets_the_variables_of_its_kustomization():
    more = "  postBuild: {substitute: {host: shop.example.com}}\n"
    found = flux({"release.yaml": HELM + "---" + release(more="  values: {host: '${host}'}\n")}, more)

    assert spec(found, names(found)[0])["render"]["helm"]["values"] == {"host": "shop.example.com"}


def test_what_a_kustomization_makes_of_releases_is_asked_for_and_then_taken():
    tree = MemoryTree.of(SHAPES / "flux2-kustomize-helm-example")
    first = asked(tree.files)

    assert {each.path for each in first.wants} == {"apps/production", "apps/staging"}

    renders = {}
    for each in first.wants:
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "podinfo"}},
            {
                "apiVersion": "source.toolkit.fluxcd.io/v1",
                "kind": "HelmRepository",
                "metadata": {"name": "podinfo", "namespace": "podinfo"},
                "spec": {"url": "https://charts.example.com/podinfo"},
            },
            {
                "apiVersion": "helm.toolkit.fluxcd.io/v2",
                "kind": "HelmRelease",
                "metadata": {"name": "podinfo", "namespace": "podinfo"},
                "spec": {
                    "chart": {"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}},
                    "values": {"host": each.path},
                },
            },
        ]
        renders[each] = tuple(Document(each.path, 0, value) for value in objects)
    found = asked(tree.files, renders=renders)

    assert found.wants == ()
    assert names(found, "Environment") == ["production", "staging"]
    assert spec(found, "staging", "Environment")["order"] < spec(found, "production", "Environment")["order"]
    made = spec(found, "production-podinfo")
    assert made["placement"] == {"environments": ["production"]}
    assert made["render"]["helm"]["values"] == {"host": "apps/production"}
    assert made["dependsOn"] == ["production-apps"]
    assert spec(found, "production-apps")["dependsOn"] == ["production-infra-configs"]
    assert spec(found, "production-infra-configs")["dependsOn"] == [
        "production-cert-manager",
        "production-infra-controllers",
    ]
    issuer = spec(found, "production-infra-configs")["render"]["kustomize"]["patches"][0]
    assert issuer["patch"][0]["value"] == "https://acme-v02.example.com/directory"


def test_one_cluster_directory_is_for_every_cluster():
    tree = MemoryTree.of(SHAPES / "flux2-kustomize-helm-example")
    found = asked(tree.files, "clusters/staging")

    assert names(found, "Environment") == []
    assert "placement" not in spec(found, "infra-configs")


def test_what_does_not_render_is_expanded_where_it_is_rendered():
    files = {"config.yaml": CONFIG % "a", "release.yaml": HELM + "---" + release()}
    files["kustomization.yaml"] = (
        "resources: [config.yaml, release.yaml, https://example.com/more.yaml]\nnamePrefix: a-\n"
    )
    unanswered = flux(files)

    assert unanswered.wants == (want("apps/web", {}),)
    assert spec(unanswered, "web")["render"] == {"helmReleases": "expand"}


def test_what_does_not_render_now_is_broken_and_keeps_what_was_made_of_it():
    files = {
        "git.yaml": GIT,
        "web.yaml": kustomization("web", "./apps/web"),
        "apps/web/kustomization.yaml": "resources: [release.yaml]\nnamePrefix: a-\n",
        "apps/web/release.yaml": HELM + "---" + release(),
    }
    why = Problem("error", "kustomize is not here")
    question = Question("", Home((URL,), "main"), "repo")
    found = answer(MemoryTree(files), question, {want("apps/web", {}): why})

    assert found.documents == ()
    assert dict(found.broken) == {"apps/web": why, "web.yaml": why}
    assert [each.file for each in found.parsed() if isinstance(each, Rejected)] == ["apps/web", "web.yaml"]


def test_a_definition_that_is_not_yaml_any_more_keeps_what_was_made_of_its_file():
    files = {"git.yaml": GIT, "web.yaml": kustomization("web", "./apps/web"), "apps/web/config.yaml": CONFIG % "a"}
    question = Question("", Home((URL,), "main"), "repo")
    before = build_fleet(answer(MemoryTree(files), question, {}).parsed())
    files["web.yaml"] = files["web.yaml"].replace("spec:", "spec: [")
    after = build_fleet(answer(MemoryTree(files), question, {}).parsed(), before)

    assert after.applications["web"] is before.applications["web"]
    assert [problem.severity for problem in after.problems if problem.place.file == "web.yaml"] == ["error"]
