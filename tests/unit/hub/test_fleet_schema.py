"""The JSON Schemas for editors agree with what the hub accepts."""

import jsonschema
import pytest

from hub.domain.documents import KINDS
from hub.domain.reading import FleetDocument, parse_document
from hub.domain.schema import schema
from hub.domain.yamldoc import Document, load_documents

VALIDATOR = jsonschema.Draft202012Validator(schema())

SPECS = [
    "{}",
    "{placement: {environments: [a], pick: {count: 2}}, dependsOn: [b]}",
    "{placement: {enviroments: [a]}}",
    "{placement: {environments: a}}",
    "{sync: {timeout: 5m, deletion: {budget: 3}}}",
    "{sync: {timeout: 1h30m, deletion: {budget: 25%}}}",
    "{sync: {timeout: 5}}",
    "{sync: {timeout: ''}}",
    "{sync: {drift: no}}",
    "{releaseSet: shop, dependsOn: [b, {application: c, clusters: [d]}, {application: c}]}",
    "{releaseSet: Shop}",
    "{dependsOn: [{clusters: [d]}]}",
    "{dependsOn: [{application: c, cluster: d}]}",
    "{dependsOn: [5]}",
    "{rollout: staged}",
    "{rollout: {stages: [{name: a, soak: 5m, checks: [{http: 'http://x', for: 1m}]}]}}",
    "{rollout: {stages: [{name: a, approve: {by: [sre, 'user:ann.b'], count: 2, expires: 8h, notAuthor: true}}]}}",
    "{rollout: {stages: [{name: a, approve: {by: ['user:']}}]}}",
    "{rollout: {stages: [{name: a, approve: {by: [SRE]}}]}}",
    "{rollout: {stages: [{name: a, checks: [{name: smoke, job: checks/a.yaml}]}]}}",
    "{rollout: {stages: [{name: a, checks: [{prometheus: 'http://x', query: up, above: 1, interval: 5}]}]}}",
    "{rollout: {stages: [{name: a, checks: [{http: 'http://x', status: 99}]}]}}",
    "{rollout: 5}",
    "{namespace: Shop}",
    "{overrides: [{variables: {a: 1, b: true, c: x}, patches: [{patch: [{op: remove, path: /a}]}]}]}",
    "{overrides: [{variables: {a: [1]}}]}",
    "{render: {helm: {skipCRDs: true, valueFiles: [a]}}}",
    "{source: {repo: 'https://x', chart: y, version: '1'}}",
]


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert set(KINDS) < set(schema()["$defs"])


@pytest.mark.parametrize("spec", SPECS)
def test_editors_and_hub_agree(spec):
    text = f"apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {{name: web}}\nspec: {spec}\n"
    (loaded,) = load_documents(text, file="f.yaml")

    accepted = isinstance(parse_document(Document("f.yaml", 1, loaded.value)), FleetDocument)

    assert VALIDATOR.is_valid(loaded.value) is accepted


@pytest.mark.parametrize(
    "spec",
    [
        "{windows: [{allow: '0 22 * * MON-THU', for: 4h, timezone: Europe/Madrid}]}",
        "{windows: [{allow: '0 22 * *', for: 4h}]}",
        "{windows: [{allow: '0 0 22 * * *', for: 4h}]}",
        "{windows: [{allow: '0 22 * * *', for: 4}]}",
        "{windows: [{allow: '0 22 * * *'}]}",
        "{freezes: [{from: 2026-12-20, to: 2027-01-02, timezone: Europe/Madrid, reason: end of year}]}",
        "{freezes: [{from: '2026-12-20T18:00', to: '2026-12-20 18:00:01'}]}",
        "{freezes: [{from: 2026-12-20}]}",
        "{freezes: [{from: 20 December, to: 2027-01-02}]}",
        "{freezes: [{from: '2026-12-20T18:00Z', to: 2027-01-02}]}",
    ],
)
def test_editors_and_hub_agree_on_when_an_environment_is_open(spec):
    text = f"apiVersion: yardarm.dev/v1alpha1\nkind: Environment\nmetadata: {{name: prod}}\nspec: {spec}\n"
    (loaded,) = load_documents(text, file="f.yaml")

    accepted = isinstance(parse_document(Document("f.yaml", 1, loaded.value)), FleetDocument)

    assert VALIDATOR.is_valid(loaded.value) is accepted


def test_kind_decides():
    head = {"apiVersion": "yardarm.dev/v1alpha1", "metadata": {"name": "a"}}

    assert VALIDATOR.is_valid({**head, "kind": "Cluster"})
    assert not VALIDATOR.is_valid({**head, "kind": "Environment"})
    assert not VALIDATOR.is_valid({**head, "kind": "Clustr"})
