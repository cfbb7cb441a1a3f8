"""What projects allow: sources, places, kinds, and how much. The same decision wherever it is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.documents import API_VERSION
from hub.domain.fleet import build_fleet
from hub.domain.placement import place
from hub.domain.projects import ProjectSpec, Quota
from hub.domain.reading import Rejected, parse_document
from hub.domain.tenancy import Fences, Usage, address_refused, limits_of, means, rationed, refused
from hub.domain.variants import policy_of
from hub.domain.yamldoc import Document
from shared.messages import Limits, Policy
from shared.model import ObjectRef


def document(kind, name, spec, labels=None):
    metadata = {"name": name, "labels": labels or {}}
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
    return parse_document(Document("f.yaml", 1, value))


CLUSTERS = [
    document("Cluster", "dev", {}, {"env": "dev"}),
    document("Cluster", "prod", {}, {"env": "prod"}),
    document("Environment", "dev", {"where": [{"labels": {"env": "dev"}}]}),
    document("Environment", "prod", {"where": [{"labels": {"env": "prod"}}]}),
]


def fleet_of(project, spec=None, *more):
    web = document("Application", "web", {"project": "shop", **(spec or {})})
    return build_fleet([*CLUSTERS, document("Project", "shop", project), web, *more])


def errors(fleet):
    return [problem for problem in fleet.problems if problem.severity == "error"]


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "address", "meant"),
    [
        ("https://git.example.com/shop/*", "https://git.example.com/shop/web.git", True),
        ("https://git.example.com/shop/*", "https://user:secret@git.example.com/shop/web", True),
        ("https://git.example.com/shop/*", "https://git.example.com/shop/web/more", False),
        ("https://git.example.com/shop/**", "https://git.example.com/shop/web/more", True),
        ("https://git.example.com/shop/*", "https://git.example.com/shop", False),
        ("https://git.example.com/*", "http://git.example.com/web", False),
        ("https://git.example.com/*", "https://git.example.com.evil.com/web", False),
        ("https://git.example.com/*", "https://git.example.com@evil.com/web", False),
        ("https://git.example.com/*", "https://git.example.com:8443/web", False),
        ("https://git.example.com/shop/**", "https://git.example.com/shop/../other/web", False),
        ("https://git.example.com/shop/**", "https://git.example.com/shop/%2e%2e/other/web", False),
        ("https://git.example.com/shop/**", "https://git.example.com/shop/..%5cother", False),
        ("git.example.com/shop/*", "git@git.example.com:shop/web.git", True),
        ("git.example.com/shop/*", "https://git.example.com/Shop/Web", True),
        ("git@git.example.com:shop/*", "ssh://git@git.example.com/shop/web", True),
        ("oci://registry.example.com/charts/*", "oci://registry.example.com/charts/web", True),
        ("https://*.example.com/**", "https://git.example.com/a/b", True),
        ("**", "https://git.example.com/a/b", True),
    ],
)
def test_patterns_mean_addresses_in_any_form(pattern, address, meant):
    assert means(pattern, address) is meant


steps = st.lists(st.sampled_from(["a", "b", "..", ".", "%2e%2e", "%2E."]), min_size=1, max_size=5)


@given(steps)
def test_no_way_upwards_leads_out_of_a_pattern(path):
    address = f"https://git.example.com/shop/{'/'.join(path)}"

    assert means("https://git.example.com/shop/**", address) is (set(path) <= {"a", "b"})


@pytest.mark.parametrize(
    ("spec", "repo", "chart", "said"),
    [
        ({}, "https://anywhere.example.com/x", "", ""),
        ({"sources": ["https://git.example.com/shop/*"]}, ".", "", ""),
        (
            {"sources": ["https://git.example.com/shop/*"]},
            "https://git.example.com/other/x",
            "",
            "not among its sources",
        ),
        ({"sources": ["https://charts.example.com/*"]}, "https://charts.example.com/shop", "web", ""),
        ({"charts": ["https://charts.example.com/web"]}, "https://charts.example.com/", "web", ""),
        ({"charts": ["https://charts.example.com/web"]}, "https://charts.example.com", "db", "not among its charts"),
        ({"charts": ["https://charts.example.com/web"]}, "https://git.example.com/x", "", "it lists none"),
        ({"charts": ["oci://r.example.com/shop/**"]}, "oci://r.example.com/shop", "team/web", ""),
    ],
)
def test_where_sources_or_charts_are_listed_nothing_else_may_be_used(spec, repo, chart, said):
    found = address_refused(ProjectSpec.model_validate_json(str(spec).replace("'", '"')), repo, chart)

    assert (found == "") is (said == "")
    assert said in found


def test_a_refusal_shows_no_password():
    spec = ProjectSpec(sources=("https://git.example.com/*",))

    assert "hunter2" not in address_refused(spec, "https://me:hunter2@evil.example.com/x")


# --- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project", "spec", "field", "said"),
    [
        (
            {"sources": ["https://git.example.com/shop/*"]},
            {"source": {"repo": "https://git.example.com/other/x"}},
            "spec.source.repo",
            "git.example.com/other/x is not among its sources",
        ),
        (
            {"sources": ["https://git.example.com/shop/*"]},
            {
                "sources": [
                    {"repo": "https://git.example.com/shop/a"},
                    {"repo": "https://charts.example.com", "chart": "x"},
                ]
            },
            "spec.sources[1].chart",
            "charts.example.com is not among",
        ),
        ({"namespaces": ["shop-*"]}, {"namespace": "kube-system"}, "spec.namespace", "shop-*, not kube-system"),
        (
            {"environments": ["dev"]},
            {"placement": {"environments": ["dev", "prod"]}},
            "spec.placement.environments[1]",
            "environments dev, not in prod",
        ),
        (
            {"clusters": {"where": [{"labels": {"env": "dev"}}]}},
            {"placement": {"clusters": ["prod"]}},
            "spec.placement.clusters[0]",
            "may not be on prod: label env is 'prod', wanted 'dev'",
        ),
    ],
)
def test_what_a_document_asks_for_beyond_its_project_is_an_error(project, spec, field, said):
    fleet = fleet_of(project, spec)

    (found,) = errors(fleet)
    assert found.application == "web"
    assert found.place.field == field
    assert said in found.message
    assert "project shop" in found.message
    assert "have the Project allow this" in found.hint
    assert fleet.blocked == {"web"}


def test_others_go_on_and_the_application_does_again_once_its_project_allows_it():
    other = document("Application", "other", {})
    fleet = fleet_of({"namespaces": ["shop"]}, {"namespace": "web"}, other)
    assert fleet.blocked == {"web"}

    mended = fleet_of({"namespaces": ["shop", "web"]}, {"namespace": "web"}, other)
    assert not mended.blocked


def test_environments_of_a_project_limit_where_its_applications_go():
    fleet = fleet_of({"environments": ["dev"]})

    placement = place(fleet.applications["web"], fleet, {})

    assert set(placement.selected) == {"dev"}
    assert placement.rejected["prod"] == ("project shop: not in environment dev (it is in prod)",)


def test_an_environment_that_does_not_exist_is_told_where_the_project_names_it():
    (found,) = errors(fleet_of({"environments": ["prd"]}))

    assert (found.place.field, found.message) == ("spec.environments[0]", "there is no environment 'prd'")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"sources": ["https://x/a**b"]}, "is not a pattern of addresses"),
        ({"kinds": {"allow": ["apps/v1/Deployment"]}}, "is not a kind"),
        ({"kinds": ["ConfigMap"]}, "must be a map, not a list"),
        ({"namespaces": ["Shop"]}, "is not a namespace"),
        ({"objects": [{"name": "a", "require": "object."}]}, "rule 'a': require:"),
        (
            {"objects": [{"name": "a", "require": "object.a"}, {"name": "a", "require": "object.b"}]},
            "two rules are called",
        ),
        ({"objects": [{"name": "a"}]}, "either require"),
        ({"objects": [{"name": "a", "images": {}}]}, "names registries, or says digest"),
        ({"objects": [{"name": "a", "images": {"registries": ["r.example.com/'x"]}}]}, "is not a registry"),
        ({"quota": {"units": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_makes_no_sense_in_a_project_is_refused_with_its_place(spec, said):
    found = document("Project", "shop", spec)

    assert isinstance(found, Rejected)
    assert said in " ".join(problem.message for problem in found.problems)


def test_a_policy_that_becomes_wrong_stays_in_force_as_it_was():
    good = document("Policy", "p", {"objects": [{"name": "a", "require": "has(object.spec)"}]})
    bad = document("Policy", "p", {"objects": [{"name": "a", "require": "has("}]})
    web = document("Application", "web", {})

    fleet = build_fleet([*CLUSTERS, web, bad], build_fleet([*CLUSTERS, web, good]))

    assert Fences(fleet.applications["web"], fleet).on("dev").rules[0].require == ("has(object.spec)",)
    assert errors(fleet)


# --- limits and fences -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spec", "limits"),
    [
        ("default", None, None),
        ("default", {}, None),
        ("default", {"clusterScoped": []}, Limits("default")),
        ("default", {"namespaces": ["a"]}, Limits("default", ("a",), cluster_scoped=("*",))),
        ("shop", {}, Limits("shop")),
        ("shop", {"clusterScoped": ["*"]}, None),
        (
            "shop",
            {"kinds": {"allow": ["Pod"], "deny": ["Secret"]}, "clusterScoped": ["Namespace"]},
            Limits("shop", (), ("Pod",), ("Secret",), ("Namespace",)),
        ),
    ],
)
def test_limits_are_those_of_the_project_and_none_where_it_has_none(name, spec, limits):
    project = document("Project", name, spec).resource if spec is not None else None

    assert limits_of(name, project) == limits


def test_limits_are_in_the_policy_that_agents_get():
    fleet, free = fleet_of({"namespaces": ["shop"]}), build_fleet([*CLUSTERS, document("Application", "web", {})])

    assert policy_of(fleet.applications["web"], fleet).limits == Limits("shop", ("shop",))
    assert policy_of(free.applications["web"], free) == Policy()


def test_without_projects_and_policies_there_is_nothing_to_look_at():
    fleet = build_fleet([*CLUSTERS, document("Application", "web", {})])

    fence = Fences(fleet.applications["web"], fleet).on("prod")

    assert (fence.digest, fence.rules, fence.limits) == ("", (), None)


def test_rules_hold_where_their_selector_says_and_where_that_cannot_be_told():
    rules = [
        {"name": "all", "require": "has(object.spec)"},
        {"name": "prod", "require": "has(object.spec)", "when": {"environments": ["prod"]}},
        {"name": "new", "require": "has(object.spec)", "when": {"where": [{"facts": {"kubernetes": ">=1.30"}}]}},
    ]
    policy = document("Policy", "common", {"objects": rules[:2]})
    fleet = fleet_of({"objects": rules[2:], "clusterScoped": ["*"]}, {}, policy)
    fences = Fences(fleet.applications["web"], fleet)

    def names(cluster, **facts):
        return {rule.name for rule in fences.on(cluster, facts).rules}

    assert names("dev", kubernetes="v1.31.0") == {"new", "all"}
    assert names("dev", kubernetes="v1.29.0") == {"all"}
    assert names("prod") == {"new", "all", "prod"}
    assert fences.on("dev", {"kubernetes": "v1.31.0"}).digest != fences.on("prod").digest
    assert str(fences.on("dev").rules[0]) == "rule new of project shop"


def test_plaintext_secrets_are_a_rule_of_projects_and_policies():
    fleet = fleet_of({"plaintextSecrets": "warn"}, {}, document("Policy", "p", {"plaintextSecrets": "deny"}))

    rules = Fences(fleet.applications["web"], fleet).on("dev").rules

    assert [(str(each), each.warns) for each in rules] == [
        ("rule plaintextSecrets of project shop", True),
        ("rule plaintextSecrets of policy p", False),
    ]
    assert isinstance(document("Policy", "p", {}), Rejected)


def test_every_object_that_is_refused_is_named():
    refs = [
        ObjectRef("v1", "ConfigMap", "shop", "a"),
        ObjectRef("v1", "ConfigMap", "x", "b"),
        ObjectRef("v1", "Node", "", "c"),
    ]

    found = list(refused(Limits("shop", ("shop",)), refs))

    assert [(each.number, each.ref.name) for each in found] == [(1, "b"), (2, "c")]
    assert list(refused(None, refs)) == []


# --- quotas ----------------------------------------------------------------------------------------------------------


def test_too_many_applications_are_told_at_the_project_and_stop_nobody_who_is_there():
    fleet = fleet_of({"quota": {"applications": 1}}, {}, document("Application", "api", {"project": "shop"}))

    (found,) = errors(fleet)
    assert found.message == "project shop has 2 applications, its quota is 1"
    assert found.place.field == "spec.quota.applications"
    assert not fleet.blocked


counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 5))
most = st.none() | st.integers(0, 12)


@given(
    st.builds(Quota.model_construct, applications=most, units=most, objects=most),
    st.integers(0, 4),
    st.integers(0, 8),
    counts,
    counts,
)
def test_what_is_granted_fits_and_what_is_there_stays(quota, units, objects, have, wanted):
    others = Usage(min(units, 2), units, objects)

    denied = rationed("shop", quota, others, have, wanted)

    after = have | {n: c for n, c in wanted.items() if n not in denied}
    before_units, before_objects = units + len(have), objects + sum(have.values())
    assert denied.keys() <= wanted.keys()
    assert not any(name in have and wanted[name] <= have[name] for name in denied)
    if quota.units is not None:
        assert units + len(after) <= max(quota.units, before_units)
    if quota.objects is not None:
        assert objects + sum(after.values()) <= max(quota.objects, before_objects)
    if quota == Quota.model_construct(applications=None, units=None, objects=None):
        assert denied == {}


def test_a_full_project_lets_no_newcomer_in():
    denied = rationed("shop", Quota(applications=2), Usage(applications=2), {}, {"dev": 1, "prod": 1})

    assert denied == dict.fromkeys(("dev", "prod"), "project shop has 2 applications already, its quota is 2")
    assert rationed("shop", Quota(applications=2), Usage(applications=2), {"dev": 1}, {"dev": 2}) == {}
