"""Argo CD definitions as fleet documents: Application, ApplicationSet, AppProject, and what is said of the rest."""

from __future__ import annotations

import textwrap

import pytest
import yaml

from hub.domain.yamldoc import Document
from hub.importing.notes import want
from tests.fakes.imports import SHAPES, URL, asked, names, said, spec
from tests.fakes.memorytree import MemoryTree

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
SHAPE = MemoryTree.of(SHAPES / "argocd-example-apps").files
CLUSTER = """
apiVersion: v1
kind: Secret
metadata: {name: eu, labels: {argocd.argoproj.io/secret-type: cluster, env: prod}}
stringData: {name: prod-eu, server: "https://1.2.3.4"}
"""


def application(spec: str, metadata: str = "", name: str = "web") -> str:
    body = textwrap.indent(textwrap.dedent(spec).strip(), "  ")
    return f"""
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  namespace: argocd
  finalizers: [resources-finalizer.argocd.argoproj.io]
{metadata}
spec:
  destination: {{name: prod-eu, namespace: shop}}
{body}
"""


SOURCE = f"source: {{repoURL: {URL}, path: apps/web, targetRevision: HEAD}}\n"
AUTOMATED = "syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}\n"


def one(text: str, metadata: str = "", **files: str):
    return asked({"argo/web.yaml": application(text, metadata), "apps/web/config.yaml": CONFIG, **files})


def test_an_application_is_an_application():
    assert spec(one(SOURCE + AUTOMATED), "web") == {
        "source": {"path": "apps/web"},
        "namespace": "shop",
        "placement": {"clusters": ["prod-eu"]},
    }


def test_how_it_is_synced():
    by_hand = spec(one(SOURCE), "web")["sync"]
    without_finalizer = asked(
        {
            "a.yaml": application(SOURCE + AUTOMATED).replace(
                "finalizers: [resources-finalizer.argocd.argoproj.io]", ""
            ),
            "apps/web/config.yaml": CONFIG,
        }
    )

    assert by_hand == {"drift": "report", "prune": False, "createNamespace": False}
    assert spec(without_finalizer, "web")["sync"] == {"deletion": {"onDelete": "orphan"}}


def test_ignored_differences_are_pointers():
    found = one(
        SOURCE
        + AUTOMATED
        + """
ignoreDifferences:
- {group: apps, kind: Deployment, jsonPointers: [/spec/replicas], jqPathExpressions: ['.spec.template.spec.containers[].image', '.a[] | select(.b)']}
- {kind: "*", managedFieldsManagers: [hpa]}
"""
    )

    assert spec(found, "web")["sync"]["ignore"] == [
        {"kind": "Deployment", "group": "apps", "fields": ["/spec/replicas", "/spec/template/spec/containers/*/image"]},
        {"managers": ["hpa"]},
    ]
    assert any("chooses more than a path" in text for text in said(found, "left"))


def test_helm_parameters_are_values():
    found = one(
        """
source:
  repoURL: https://charts.example.com
  chart: web
  targetRevision: 1.2.x
  helm:
    releaseName: shop
    values: "a: {b: 1}"
    parameters: [{name: a.c, value: "2"}, {name: tag, value: "1.10", forceString: true}]
    valueFiles: [values-prod.yaml]
"""
        + AUTOMATED
    )

    made = spec(found, "web")
    assert made["source"] == {"repo": "https://charts.example.com", "chart": "web", "version": "1.2.x"}
    assert made["render"] == {
        "helm": {
            "release": "shop",
            "values": {"a": {"b": 1, "c": 2}, "tag": "1.10"},
            "valueFiles": ["values-prod.yaml"],
        }
    }


def test_values_from_another_source_keep_their_name():
    found = one(
        f"""
sources:
- {{repoURL: https://charts.example.com, chart: web, targetRevision: 1.2.3, helm: {{valueFiles: [$config/values/web.yaml]}}}}
- {{repoURL: {URL}, targetRevision: main, ref: config}}
"""
        + AUTOMATED
    )

    made = spec(found, "web")
    assert made["sources"] == [{"name": "config"}]
    assert made["render"]["helm"]["valueFiles"] == ["$config/values/web.yaml"]


def test_kustomize_options():
    found = one(
        f"""
source:
  repoURL: {URL}
  path: apps/web
  kustomize:
    namePrefix: a-
    images: [web=registry.example.com/web:2, db:3]
    replicas: [{{name: web, count: 4}}]
    commonLabels: {{team: x}}
"""
        + AUTOMATED
    )

    assert spec(found, "web")["render"] == {
        "kustomize": {
            "images": [
                {"name": "web", "newName": "registry.example.com/web", "newTag": "2"},
                {"name": "db", "newTag": "3"},
            ],
            "replicas": [{"name": "web", "count": 4}],
            "namePrefix": "a-",
            "labels": {"team": "x"},
        }
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SOURCE, "syncPolicy.automated: it is synced by hand only"),
        (SOURCE + "syncPolicy: {automated: {}, syncOptions: [Replace=true]}\n", "Replace=true for all objects"),
        (SOURCE + "novelty: 1\n", "novelty: a field that this version does not know"),
        (
            f"source: {{repoURL: {URL}, path: apps/web, plugin: {{name: x}}}}\n",
            "config management plugins have no counter",
        ),
        (f"source: {{repoURL: {URL}, path: apps/none}}\n", "there is no apps/none in this repository"),
        (f"source: {{repoURL: {URL}, path: ../x}}\n", "leads out of the repository"),
    ],
)
def test_what_cannot_be_carried_over_is_listed_with_its_place(text, message):
    assert [each for each in said(one(text), "left") if message in each and each.startswith("argo/web.yaml:")]


def test_an_address_of_a_cluster_is_its_name_where_the_cluster_is_known():
    text = application(SOURCE + AUTOMATED).replace(
        "{name: prod-eu, namespace: shop}", '{server: "https://1.2.3.4", namespace: shop}'
    )
    known = asked({"a.yaml": text, "c.yaml": CLUSTER, "apps/web/config.yaml": CONFIG})
    unknown = asked({"a.yaml": text, "apps/web/config.yaml": CONFIG})

    assert spec(known, "web")["placement"] == {"clusters": ["prod-eu"]}
    assert names(known, "Cluster") == ["prod-eu"]
    assert any("is an address, and clusters are called by name here" in each for each in said(unknown, "left"))


def test_waves_of_applications_are_an_order():
    db = application(SOURCE + AUTOMATED, '  annotations: {argocd.argoproj.io/sync-wave: "-1"}', "db")
    found = asked({"argo/all.yaml": application(SOURCE + AUTOMATED) + "---" + db, "apps/web/config.yaml": CONFIG})

    assert spec(found, "web")["dependsOn"] == ["db"]
    assert "dependsOn" not in spec(found, "db")


def test_an_application_of_applications_is_what_it_holds():
    root = application(f"source: {{repoURL: {URL}, path: argo}}\n", name="root")
    found = asked({"root.yaml": root, "argo/web.yaml": application(SOURCE + AUTOMATED), "apps/web/config.yaml": CONFIG})

    assert names(found) == ["web"]


def test_a_chart_that_makes_applications_is_rendered_and_read():
    first = asked(SHAPE, "apps")
    request = want("apps", {}, "apps", "argocd")
    assert first.wants == (request,)

    made = []
    for name in ("guestbook", "helm-guestbook"):
        text = application(f"source: {{repoURL: {URL}, path: {name}}}\n" + AUTOMATED, name=name)
        made.append(Document("apps", 0, yaml.safe_load(text)))
    found = asked(SHAPE, "apps", {request: tuple(made)})

    assert names(found) == ["guestbook", "helm-guestbook"]
    assert spec(found, "helm-guestbook")["source"] == {"path": "helm-guestbook"}


def project(text: str):
    document = f"apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: team}}\nspec:\n{textwrap.indent(text, '  ')}"
    return asked({"p.yaml": document})


def test_a_project_is_a_fence():
    found = project("""
sourceRepos: [https://git.example.com/team/*]
destinations: [{name: prod-eu, namespace: team-*}]
clusterResourceWhitelist: [{group: "", kind: Namespace}]
clusterResourceBlacklist: [{group: rbac.authorization.k8s.io, kind: "*"}]
namespaceResourceWhitelist: [{group: apps, kind: Deployment}, {group: "", kind: "*"}, {group: "*", kind: Ingress}]
namespaceResourceBlacklist: [{group: "", kind: ResourceQuota}]
""")

    assert spec(found, "team", "Project") == {
        "sources": ["https://git.example.com/team/*"],
        "clusters": {"clusters": ["prod-eu"]},
        "namespaces": ["team-*"],
        "kinds": {
            "allow": ["*/Ingress", "apps/Deployment", "core/*"],
            "deny": ["ResourceQuota", "rbac.authorization.k8s.io/*"],
        },
        "clusterScoped": ["Namespace"],
    }


def test_a_project_that_allows_all_kinds_denies_what_it_did():
    everything = "[{group: '*', kind: '*'}]"
    found = project(
        f"clusterResourceWhitelist: {everything}\nnamespaceResourceWhitelist: {everything}\n"
        "namespaceResourceBlacklist: [{group: '', kind: Secret}]\n"
    )

    assert spec(found, "team", "Project") == {"kinds": {"deny": ["Secret"]}, "clusterScoped": ["*"]}
    assert said(found, "left") == []


def test_what_a_project_cannot_say_here_is_listed():
    found = project("sourceRepos: ['https://git.example.com/{a,b}']\nsyncWindows: [{kind: deny}]\nroles: [{name: x}]\n")

    told = " ".join(said(found, "left"))
    for field in ("sourceRepos", "syncWindows", "roles"):
        assert field in told


def an_set(generators: str, template: str, more: str = ""):
    text = f"""
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {{name: set, namespace: argocd}}
spec:
  generators:
{textwrap.indent(textwrap.dedent(generators).strip(), "  ")}
  template:
{textwrap.indent(textwrap.dedent(template).strip(), "    ")}
{more}"""
    return asked({"set.yaml": text, "apps/web/config.yaml": CONFIG, "c.yaml": CLUSTER})


def template(name: str, path: str, destination: str) -> str:
    return f"""
metadata: {{name: '{name}'}}
spec:
  project: default
  source: {{repoURL: {URL}, targetRevision: HEAD, path: '{path}'}}
  destination: {destination}
  syncPolicy: {{automated: {{prune: true, selfHeal: true}}, syncOptions: [CreateNamespace=true]}}
"""


def test_a_set_over_clusters_is_one_application_with_a_placement():
    found = an_set(
        "- clusters: {selector: {matchLabels: {env: prod}}}",
        template("{{name}}-web", "apps/web", "{server: '{{server}}', namespace: shop}"),
    )

    assert names(found, "ApplicationSet") == []
    assert spec(found, "web")["placement"] == {"where": [{"labels": {"env": "prod"}}]}


def test_a_set_over_directories_stays_a_set():
    found = an_set(
        f"- git: {{repoURL: {URL}, revision: HEAD, directories: [{{path: apps/*}}, {{path: apps/old, exclude: true}}]}}",
        template("{{path.basename}}", "{{path}}", "{name: prod-eu, namespace: '{{path.basename}}'}"),
    )

    made = spec(found, "set", "ApplicationSet")
    assert made["forEach"] == [{"directories": {"path": "apps/*", "exclude": ["apps/old"]}}]
    assert made["template"]["metadata"]["name"] == "${item.name}"
    assert made["template"]["spec"]["source"] == {"path": "${item.path}"}
    assert made["template"]["spec"]["namespace"] == "${item.name}"


def test_a_list_in_the_words_of_go():
    found = an_set(
        "- list: {elements: [{team: a, ns: one}, {team: b, ns: two}]}",
        template("{{ .team }}-web", "apps/web", "{name: prod-eu, namespace: '{{ .ns }}'}"),
        "  goTemplate: true\n",
    )

    made = spec(found, "set", "ApplicationSet")
    assert made["forEach"] == [{"list": [{"team": "a", "ns": "one"}, {"team": "b", "ns": "two"}]}]
    assert made["template"]["metadata"]["name"] == "${item.team}-web"


@pytest.mark.parametrize(
    ("generators", "name", "message"),
    [
        ("- pullRequest: {}", "a", "pull requests make no applications"),
        ("- list: {elements: [{a: b}]}", "{{ .a | upper }}", "only plain references are carried over"),
        ("- list: {elements: [{a: b}]}\n- list: {elements: [{a: c}]}", "a", "several of them are several sets here"),
    ],
)
def test_sets_that_compute_are_listed(generators, name, message):
    found = an_set(generators, template(name, "apps/web", "{name: prod-eu}"), "  goTemplate: true\n")

    assert names(found, "ApplicationSet") == []
    assert any(message in text for text in said(found, "left"))
