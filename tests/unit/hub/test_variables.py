"""Variables in manifests: what is ours is put in, what is not stays, and slips are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.documents import API_VERSION
from hub.domain.fleet import build_fleet
from hub.domain.reading import parse_document
from hub.domain.variables import Scope, scope, substitute
from hub.domain.yamldoc import Document, load_documents
from shared.model import Place
from tests.fakes.imports import asked


def document(kind, name, spec, labels=None, annotations=None):
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    return parse_document(
        Document("f.yaml", 1, {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
    )


FLEET = [
    document("Cluster", "eu", {"variables": {"domain": "eu.example.com", "level": "cluster"}}, {"env": "prod"}),
    document("Cluster", "us", {"variables": {"only_us": 1}}, {"env": "prod"}),
    document(
        "Environment", "prod", {"where": [{"labels": {"env": "prod"}}], "variables": {"level": "env", "tier": "gold"}}
    ),
]


def scope_of(cluster="eu", overrides=(), annotations=None):
    spec = {"namespace": "shop", "overrides": list(overrides)}
    web = document("Application", "web", spec, annotations=annotations)
    fleet = build_fleet([*FLEET, web])
    return scope(web.resource, cluster, fleet, list(enumerate(web.resource.spec.overrides)))


SCOPE = Scope(
    {"domain": "example.com", "replicas": 3, "ratio": 0.5, "debug": False, "cluster": "eu"},
    known=frozenset({"domain", "replicas", "ratio", "debug", "cluster", "only_us"}),
)


def put(text, variables=SCOPE):
    (loaded,) = load_documents(text, file="f.yaml")
    return substitute(loaded.value, variables, Place("f.yaml", loaded.line))


def test_later_layers_win_and_every_value_knows_its_origin():
    found = scope_of(overrides=[{"variables": {"tier": "silver"}}, {"variables": {"tier": "bronze"}}])

    assert found.values == {
        "level": "cluster",
        "tier": "bronze",
        "domain": "eu.example.com",
        "cluster": "eu",
        "environment": "prod",
        "application": "web",
        "namespace": "shop",
    }
    assert found.origins["tier"] == "override 2 of web"
    assert found.origins["level"] == "cluster eu"
    assert found.origins["cluster"] == "set by Yardarm"
    assert "only_us" in found.known


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${domain}", "example.com"), ("https://${domain}:80/${cluster}", "https://example.com:80/eu"), ("${replicas}", 3),
        ('"${replicas}"', "3"), ("${debug}", False), ("'${debug}'", "false"), ("x${replicas}", "x3"), ("${ratio}", 0.5),
        ("${only_us:-}", None), ('"${only_us:-7}"', "7"), ("${only_us:-7}", 7), ("a${only_us:-b}", "ab"),
        ("$${domain}", "${domain}"), ("a $${domain} ${domain}", "a ${domain} example.com"),
        ("${HOME}", "${HOME}"), ("$${HOME}", "$${HOME}"), ("${HOME:-/root}/${domain}", "${HOME:-/root}/example.com"),
        ("$(domain)", "$(domain)"), ("$domain", "$domain"), ("${domain%%.*}", "example"), ("${#domain}", 11),
        ("${domain^^}", "EXAMPLE.COM"), ("${missing^^}", "${missing^^}"), ("${domain!}", "${domain!}"), ("${domain", "${domain"),
        ("${only_us:=${cluster}-7}", "eu-7"), ("${replicas:-5}", 3), ('"${replicas:0:1}${replicas}"', "33"),
    ],
)  # fmt: skip
def test_what_is_put_in(text, value):
    result = put(f"a: {text}\n")

    assert result.manifest["a"] == value
    assert type(result.manifest["a"]) is type(value) or isinstance(value, str)
    assert result.problems == ()


def test_a_value_cannot_change_the_structure():
    evil = Scope({"domain": 'x"\nkind: Secret\n- {'}, known=frozenset({"domain"}))

    assert put("a: ${domain}\nb: [1]\n", evil).manifest == {"a": 'x"\nkind: Secret\n- {', "b": [1]}


def test_a_default_stands_in_for_an_empty_value_as_in_shells():
    empty = Scope({"environment": "", "zero": 0}, known=frozenset({"environment", "zero"}))

    manifest = put(
        "a: '${environment:-none}'\nb: x${environment}\nc: ${environment:-1}\nd: ${zero:-9}\n", empty
    ).manifest

    assert manifest == {"a": "none", "b": "x", "c": 1, "d": 0}


def test_scripts_stay_as_they_are():
    script = "data:\n  run.sh: |\n    for f in ${FILES[@]}; do echo ${f} ${HOME:-/} $${PID} ${f##*/}; done\n"

    result = put(script)

    assert "${HOME:-/} $${PID} ${f##*/}" in result.manifest["data"]["run.sh"]
    assert result.problems == ()


def test_keys_are_strings_with_variables_too():
    result = put("data: {'${domain}': 1, 'a-${replicas}': 2}\n")

    assert result.manifest == {"data": {"example.com": 1, "a-3": 2}}
    assert "two keys are called 'example.com'" in str(put("{'${domain}': 1, example.com: 2}\n").problems[0])


def test_a_variable_that_only_other_clusters_have_is_an_error():
    (problem,) = put("spec:\n  hosts:\n  - ${only_us}\n").problems

    assert problem.severity == "error"
    assert str(problem).startswith(
        "f.yaml:1: spec.hosts[0]: error: the variable ${only_us} has no value on this cluster"
    )


def test_a_slip_of_the_pen_is_a_warning():
    (problem,) = put("a: ${Domain} ${Domain}\n").problems

    assert problem.severity == "warning"
    assert "did you mean ${domain}?" in str(problem)


def test_used_names_are_all_that_occur():
    assert put("a: ${domain} ${HOME}\nb: ['$${cluster}', '${only_us:-x}']\n").used == {
        "domain",
        "HOME",
        "cluster",
        "only_us",
    }


def test_a_manifest_without_variables_is_not_copied():
    manifest = {"a": [{"b": "c"}], "d": "${HOME}"}

    assert substitute(manifest, SCOPE).manifest is manifest


def test_the_given_manifest_is_not_changed():
    manifest = {"a": [{"b": "${domain}"}], "c": {"d": 1}}

    result = substitute(manifest, SCOPE)

    assert manifest == {"a": [{"b": "${domain}"}], "c": {"d": 1}}
    assert result.manifest["c"] is manifest["c"]


def test_an_object_or_an_application_can_opt_out():
    text = "metadata: {annotations: {yardarm.dev/substitute: disabled}}\na: ${domain}\n"

    assert put(text).manifest["a"] == "${domain}"
    assert scope_of(annotations={"yardarm.dev/substitute": "disabled"}) == Scope()
    some = scope_of(annotations={"yardarm.dev/substitute": "variables"})
    assert "domain" in some.known
    assert "namespace" not in some.known


def test_builtins_leave_foreign_repositories_alone():
    fleet = build_fleet(
        asked({"apps/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"}, "apps").parsed(),
        None,
        [FLEET[0]],
    )

    found = scope(fleet.applications["apps"], "eu", fleet)

    assert put("a: kubectl -n ${namespace}\nb: ${domain}\n", found).manifest == {
        "a": "kubectl -n ${namespace}",
        "b": "eu.example.com",
    }


@pytest.mark.parametrize("name", ["NAMESPACE", "CLUSTER", "namespaces"])
def test_no_warning_for_what_only_looks_like_a_builtin(name):
    assert put(f"a: ${{{name}}}\n", scope_of()).problems == ()


@given(st.text())
def test_any_text_is_handled(text):
    result = substitute({"a": text}, SCOPE)

    if "${" not in text:
        assert result.manifest == {"a": text}


@given(st.dictionaries(st.sampled_from(sorted(SCOPE.known)), st.text() | st.integers() | st.booleans()))
def test_the_values_of_used_names_decide_the_result(values):
    text = "a: ${domain}-${HOME}\nb: ${replicas}\n"
    before = put(text, Scope(values, known=SCOPE.known))
    only_used = {name: value for name, value in values.items() if name in before.used}

    assert put(text, Scope(only_used, known=SCOPE.known)) == before
