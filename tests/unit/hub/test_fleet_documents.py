"""Reading fleet documents: the schema of DESIGN section 3, and errors a person can act on."""

import pytest

from hub.domain.documents import Application
from hub.domain.fields import parse_duration, portion
from hub.domain.reading import FleetDocument, Rejected, read_documents
from hub.domain.staging import Strategy

HEAD = "apiVersion: yardarm.dev/v1alpha1\n"


def read(text, file="fleet.yaml"):
    return read_documents(text, file=file)


def application(spec):
    (document,) = read(f"{HEAD}kind: Application\nmetadata: {{name: web}}\nspec: {spec}\n")
    assert isinstance(document, FleetDocument), document.problems
    return document.resource


def findings(text):
    return [str(problem) for item in read(text) if isinstance(item, Rejected) for problem in item.problems]


FULL = """\
apiVersion: yardarm.dev/v1alpha1
kind: Cluster
metadata: {name: prod-eu-1, labels: {env: prod, region: eu}}
spec:
  variables: {domain: eu.example.com, replicas: 3, debug: false}
  taints: [{key: drain, effect: NoNew}]
  paused: false
---
apiVersion: yardarm.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec:
  order: 30
  where: [{labels: {env: prod}}]
  variables: {tier: gold}
  windows: [{allow: "0 22 * * 1-4", for: 4h, timezone: Europe/Madrid}]
---
apiVersion: yardarm.dev/v1alpha1
kind: Application
metadata: {name: podinfo, labels: {team: web}}
spec:
  project: default
  source: {repo: ".", ref: main, path: ./apps/podinfo/}
  render:
    helm: {release: podinfo, values: {a: {b: [1]}}, valueFiles: [values.yaml], skipCRDs: false}
  namespace: podinfo
  placement:
    environments: [dev, stage, prod]
    where: [{labels: {region: eu}, match: ["gpu in (a100,h200)"], facts: {kubernetes: ">=1.29"}}]
    exclude: [prod-eu-9]
    pick: {count: 3, spread: region}
    tolerate: [drain]
    onLeave: orphan
  overrides:
    - when: {environments: [prod]}
      path: apps/podinfo/overlays/prod
      values: {replicaCount: 3}
      variables: {log: warn}
      patches: [{target: {kind: Deployment}, patch: [{op: remove, path: /spec/replicas}]}]
  sync:
    drift: report
    prune: true
    ignore: [{kind: Deployment, fields: [/spec/replicas], managers: [kube-controller-manager]}]
    timeout: 5m
    createNamespace: true
    adopt: ifUnowned
    deletion: {budget: 50%, onDelete: delete}
  health: [{kind: example.com/Widget, healthy: "object.status.phase == 'Ready'", failed: "false"}]
  dependsOn: [cert-manager]
  rollout: staged
---
apiVersion: yardarm.dev/v1alpha1
kind: RolloutStrategy
metadata: {name: staged}
spec:
  stages:
    - {name: dev, environments: [dev]}
    - name: canary
      environments: [prod]
      pick: {count: 1}
      soak: 10m
      checks: [{prometheus: "http://p", query: up, below: 0.01, for: 5m}]
    - {name: prod, environments: [prod], maxConcurrent: 25%, maxFailures: 1, approve: {by: [sre]}}
  deadline: 10m
  offline: {after: 2m}
  onFailure: rollback
---
apiVersion: yardarm.dev/v1alpha1
kind: Project
metadata: {name: shop}
spec: {sources: ["https://git.example.com/*"], clusters: {environments: [prod]}, namespaces: ["shop-*"], serviceAccount: shop}
---
apiVersion: yardarm.dev/v1alpha1
kind: Notification
metadata: {name: chat}
spec: {severity: error, to: {webhook: {url: "https://chat.example.com"}}}
"""


def test_the_whole_schema_is_read():
    documents = read(FULL)

    assert [type(document) for document in documents] == [FleetDocument] * 6
    podinfo = documents[2].resource
    assert isinstance(podinfo, Application)
    assert podinfo.spec.source.path == "apps/podinfo"
    assert podinfo.spec.sync.timeout == 300
    assert podinfo.spec.placement.pick.count == 3
    assert documents[1].resource.spec.windows[0].for_ == 4 * 3600
    assert documents[3].resource.spec.stages[1].checks[0].below == 0.01
    assert documents[0].resource.spec.variables == {"domain": "eu.example.com", "replicas": 3, "debug": False}


def test_most_can_be_left_out():
    web = application("{}")

    assert web.spec.source.path == "."
    assert web.spec.project == "default"
    assert web.spec.rollout is None
    assert web.spec.sync.prune is True


def test_a_strategy_can_be_written_inline():
    web = application("{rollout: {stages: [{name: all, maxConcurrent: 2}], onFailure: continue}}")

    assert isinstance(web.spec.rollout, Strategy)
    assert web.spec.rollout.stages[0].max_concurrent == 2


def test_other_yaml_is_left_alone():
    assert read("kind: Deployment\napiVersion: apps/v1\n") == []
    assert read("{{- if .Values.x }}\nbroken: [\n") == []
    assert read(b"\xff\xfe\x00\xd8binary") == []
    assert read("metadata: {annotations: {yardarm.dev/substitute: disabled}}\n") == []
    documents = read(f"kind: Service\napiVersion: v1\n---\n{HEAD}kind: Cluster\nmetadata: {{name: a}}\n")
    assert [document.name for document in documents] == ["a"]


def test_json_and_utf16_are_read_as_well():
    text = '{"apiVersion": "yardarm.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "a"}}'

    assert [document.name for document in read(text)] == ["a"]
    assert [document.name for document in read(text.encode("utf-16"))] == ["a"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("\n  placment: {}", "fleet.yaml:5: spec.placment: error: unknown field 'placment' (did you mean 'placement'?)"),
        (
            "\n  placement:\n    where:\n    - label: {a: b}",
            "fleet.yaml:7: spec.placement.where[0].label: error: unknown field 'label' (did you mean 'labels'?)",
        ),
        (
            "\n  sync:\n    drift: corect",
            "fleet.yaml:6: spec.sync.drift: error: 'corect' is not one of 'correct' or 'report' (did you mean 'correct'?)",
        ),
        ("\n  namespace: Shop", "fleet.yaml:5: spec.namespace: error: 'Shop' is not a name: at most 63 of a-z, 0-9 and '-'"),
        ("\n  namespace: 7", "fleet.yaml:5: spec.namespace: error: must be a string, not 7 (put it in quotes)"),
        ("\n  dependsOn: db", 'fleet.yaml:5: spec.dependsOn: error: must be a list, not "db" (write [db])'),
        ("\n  sync: {timeout: 5}", "fleet.yaml:5: spec.sync.timeout: error: 5 is not a duration: write it like 90s, 5m"),
        ("\n  sync: {deletion: {budget: 101%}}", "spec.sync.deletion.budget: error: '101%' is neither a number nor"),
        ("\n  source: {path: a/../../b}", "spec.source.path: error: 'a/../../b' leaves the repository"),
        ("\n  source: {path: /etc}", "spec.source.path: error: '/etc' leaves the repository"),
        ("\n  source: {chart: redis}", "spec.source: error: a chart needs repo"),
        ("\n  render: {helm: {}, plain: {}}", "spec.render: error: helm and plain cannot be used together"),
        ("\n  placement: {where: [{match: [a inn (b)]}]}", "spec.placement.where[0].match: error: 'a inn (b)' is not a label"),
        ("\n  placement: {where: [{facts: {k: ''}}]}", "spec.placement.where[0].facts: error: '' is not a comparison"),
        ("\n  placement: {pick: {count: -1}}", "spec.placement.pick.count: error: input should be greater than or equal to 0"),
        ("\n  overrides:\n  - variables: {cluster: a}", "fleet.yaml:6: spec.overrides[0].variables: error: the variable 'cluster' is"),
        ("\n  overrides:\n  - variables: {a-b: a}", "'a-b' is not a variable name"),
        ("\n  overrides:\n  - variables: {a: [1]}", "spec.overrides[0].variables.a: error: a variable is a string"),
        ("\n  overrides:\n  - patches: [{patch: 3}]", "spec.overrides[0].patches[0].patch: error: a patch is text, a map"),
        ("\n  rollout: {stages: [{}]}", "spec.rollout.stages[0].name: error: name is required"),
        ("\n  rollout: 5", "spec.rollout: error: must be a string, not 5"),
        ("", "fleet.yaml:4: spec: error: must be a map, not empty"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_field_and_cure(spec, expected):
    (found,) = findings(f"{HEAD}kind: Application\nmetadata: {{name: web}}\nspec:{spec}\n")

    assert expected in found


def test_all_errors_of_a_document_are_named_at_once():
    found = findings(f"{HEAD}kind: Cluster\nmetadata: {{labels: {{a: yes}}}}\nspec: {{pausd: true}}\n")

    assert len(found) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apiVersion: yardarm.dev/v9\nkind: Cluster\n", "fleet.yaml:1: apiVersion: error: this version of Yardarm reads"),
        (f"{HEAD}kind: Clustr\n", "fleet.yaml:2: kind: error: 'Clustr' is not a kind of fleet document (did you mean 'Cluster'?)"),
        (f"{HEAD}metadata: {{}}\n", "kind is missing"),
        (f"{HEAD}kind: Cluster\nkind: Cluster\n", "fleet.yaml:3: error: duplicate key 'kind': first on line 2"),
        (f"{HEAD}kind: [\n", "not valid YAML"),
        (
            f"{HEAD}kind: Environment\nmetadata: {{name: x}}\nspec: {{where: [{{facts: {{a: b}}}}]}}\n",
            "an agent could report itself into it",
        ),
    ],
)  # fmt: skip
def test_what_is_no_good_document_is_said(text, expected):
    assert any(expected in found for found in findings(text))


def test_a_rejected_document_is_known_by_name_where_it_can_be():
    text = f"{HEAD}kind: Application\nmetadata: {{name: web}}\nspec: {{x: 1}}\n---\n{HEAD}kind: [\n---\n{FULL}"

    bad, unreadable, *good = read(text)

    assert (bad.kind, bad.name, bad.problems[0].application) == ("Application", "web", "web")
    assert (unreadable.kind, unreadable.name) == ("", "")
    assert len(good) == 6


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("0s", 0), ("1h5s", 3605)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "1m1h", "-5m", "1.5h", 7, None, True])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_portions_round_down():
    assert [portion("25%", 10), portion("25%", 3), portion(4, 2), portion("100%", 7)] == [2, 0, 4, 7]
