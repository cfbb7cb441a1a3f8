"""Variants: equal inputs are one variant, and every value knows its origin."""

from hub.domain.documents import API_VERSION
from hub.domain.fleet import build_fleet
from hub.domain.reading import parse_document
from hub.domain.variants import ContentKey, policy_of, variant
from hub.domain.yamldoc import Document
from shared.messages import DeletionPolicy, HealthRule, IgnoreRule, Policy


def document(kind, name, spec, labels=None):
    metadata = {"name": name, "labels": labels or {}}
    return parse_document(
        Document("f.yaml", 1, {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
    )


CLUSTERS = [
    document("Cluster", "eu-1", {"variables": {"domain": "eu"}}, {"region": "eu"}),
    document("Cluster", "eu-2", {"variables": {"domain": "eu", "zone": "b"}}, {"region": "eu"}),
    document("Cluster", "us-1", {"variables": {"domain": "us"}}, {"region": "us"}),
]


def variant_on(cluster, spec=None, *, clusters=CLUSTERS, name="web", **options):
    web = document("Application", name, spec or {})
    return variant(web.resource, cluster, build_fleet([*clusters, web]), **options)


class Anything(dict):
    """The contents of every part have this key."""

    def __init__(self, key, **more):
        self.key = ContentKey(key, **more)

    def __bool__(self):
        return True

    def get(self, name, default=None):
        return self.key


EU = {"where": [{"labels": {"region": "eu"}}]}


def test_only_variables_that_occur_make_a_difference():
    used = {"domain", "HOME"}

    assert variant_on("eu-1", used_names=used) == variant_on("eu-2", used_names=used)
    assert variant_on("eu-1", used_names=used) != variant_on("us-1", used_names=used)
    assert variant_on("eu-1", used_names=()) == variant_on("us-1", used_names=())
    assert variant_on("eu-1") != variant_on("eu-2")
    assert len({variant_on(name, used_names=()) for name in ("eu-1", "eu-2", "us-1")}) == 1


def test_a_name_becoming_ours_makes_a_difference():
    """What was nobody's name and stayed as it is has become an error."""
    others = [CLUSTERS[0], document("Cluster", "us-1", {"variables": {"zone": "x"}})]

    before = variant_on("eu-1", clusters=CLUSTERS[:1], used_names={"zone"})

    assert before != variant_on("eu-1", clusters=others, used_names={"zone"})


def test_everything_else_that_decides_the_render_makes_a_difference():
    specs = [
        {},
        {"namespace": "other"},
        {"source": {"path": "x"}},
        {"source": {"ref": "v1"}},
        {"render": {"plain": {"exclude": ["*.txt"]}}},
        {"render": {"helm": {"values": {"a": 1}}}},
        {"overrides": [{"path": "y"}]},
        {"overrides": [{"values": {"a": 1}}]},
        {"overrides": [{"patches": [{"patch": {"a": 1}}]}]},
    ]
    variants = [variant_on("eu-1", spec, used_names=()) for spec in specs]
    variants += [
        variant_on("eu-1", used_names=(), contents=Anything("t")),
        variant_on("eu-1", used_names=(), name="api"),
    ]

    assert len(set(variants)) == len(variants)


def test_what_does_not_decide_the_render_makes_none():
    plain = variant_on("eu-1")

    assert plain == variant_on("eu-1", {"sync": {"drift": "report"}, "placement": EU, "overrides": [{"when": EU}]})


def test_overrides_that_match_merge_in_order():
    spec = {
        "source": {"path": "base"},
        "render": {"helm": {"values": {"image": {"tag": "1", "repo": "r"}, "args": [1]}}},
        "overrides": [
            {
                "when": EU,
                "path": "eu",
                "values": {"image": {"tag": "2"}, "args": [2]},
                "patches": [{"patch": {"a": 1}}],
            },
            {"when": {"clusters": ["us-1"]}, "values": {"image": "none"}},
            {
                "values": {"image": {"tag": "3"}, "new": None},
                "variables": {"log": "warn"},
                "patches": [{"patch": {"b": 1}}],
            },
        ],
    }

    eu, us = variant_on("eu-1", spec), variant_on("us-1", spec)

    assert eu.inputs.blend.main.values == {"image": {"tag": "3", "repo": "r"}, "args": [2], "new": None}
    assert us.inputs.blend.main.values == {"image": {"tag": "3"}, "args": [1], "new": None}
    assert (eu.inputs.blend.main.source.path, us.inputs.blend.main.source.path) == ("eu", "base")
    assert [patch.patch for patch in eu.inputs.blend.patches] == [{"a": 1}, {"b": 1}]
    assert eu.inputs.variables.values["log"] == "warn"
    assert eu.origins["values.image.tag"] == "override 3 of web"
    assert eu.origins["values.image.repo"] == "application web"
    assert eu.origins["values.args"] == "override 1 of web"
    assert eu.origins["path"] == "override 1 of web"
    assert eu.origins["patches[1]"] == "override 3 of web"
    assert eu.origins["variables.domain"] == "cluster eu-1"


def test_an_override_that_waits_for_facts_is_named():
    spec = {"overrides": [{}, {"when": {"where": [{"facts": {"kubernetes": ">=1.29"}}]}, "path": "new"}]}

    unknown = variant_on("eu-1", spec)
    known = variant_on("eu-1", spec, facts={"kubernetes": "v1.30.1"})

    assert unknown.undecided == ("override 2 asks for facts",)
    assert (known.undecided, known.inputs.blend.main.source.path) == ((), "new")


def test_a_value_replaced_by_another_kind_has_the_later_origin():
    spec = {"overrides": [{"values": {"a": {"b": 1}}}, {"values": {"a": 5}}, {"values": {"a": {"c": 1}}}]}

    found = variant_on("eu-1", spec)

    assert found.inputs.blend.main.values == {"a": {"c": 1}}
    assert {path: origin for path, origin in found.origins.items() if path.startswith("values")} == {
        "values.a.c": "override 3 of web"
    }


def test_the_policy_says_what_the_document_says():
    sync = {
        "drift": "report",
        "prune": False,
        "ignore": [{"kind": "Deployment", "group": "apps", "fields": ["/spec/replicas"], "managers": ["hpa"]}],
        "timeout": "2m",
        "createNamespace": False,
        "adopt": "always",
        "deletion": {"budget": 5, "onDelete": "orphan"},
    }
    rule = {"kind": "example.com/Widget", "healthy": "object.status.phase == 'Ready'"}

    web = document("Application", "web", {"sync": sync, "dependsOn": ["db"], "health": [rule]})
    policy = policy_of(web.resource, build_fleet([web]))

    assert policy == Policy(
        drift="report",
        prune=False,
        ignore=(IgnoreRule(kind="Deployment", group="apps", fields=("/spec/replicas",), managers=("hpa",)),),
        timeout=120.0,
        create_namespace=False,
        adopt="always",
        deletion=DeletionPolicy("5", "orphan"),
        depends_on=("db",),
        health=(HealthRule("example.com/Widget", "object.status.phase == 'Ready'"),),
    )
    plain = document("Application", "web", {})
    assert policy_of(plain.resource, build_fleet([plain])) == Policy()


def test_applications_of_a_project_are_applied_by_its_service_account():
    shop = document("Project", "shop", {"serviceAccount": "shop-system/deployer"})
    web, other = document("Application", "web", {"project": "shop"}), document("Application", "other", {})
    fleet = build_fleet([shop, web, other])

    assert policy_of(web.resource, fleet).service_account == "shop-system/deployer"
    assert policy_of(other.resource, fleet).service_account == ""
