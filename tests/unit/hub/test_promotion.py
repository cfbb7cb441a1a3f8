"""Promotion by Git: what is pinned, who waits for a pin, what is due next, and how the document changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain import promotion
from hub.domain.blending import blend
from hub.domain.fleet import build_fleet, fleet_of, touched
from hub.domain.joining import by_file
from hub.domain.pinning import pins_of
from hub.domain.placement import place
from hub.domain.promotion import Due, changed, document, due, message, pinned_in
from hub.domain.reading import read_documents
from hub.domain.variants import Variants
from hub.explainer import explanation
from hub.promoting import file_of
from shared.errors import DocumentError

HEAD = "apiVersion: yardarm.dev/v1alpha1\n"
OLD, NEW = "a" * 40, "b" * 40
LADDER = ("dev", "stage", "prod")


def written(kind, name, spec="{}", labels="{}"):
    return f"{HEAD}kind: {kind}\nmetadata: {{name: {name}, labels: {labels}}}\nspec: {spec}\n"


FLEET = "---\n".join(
    [
        *(written("Cluster", f"{env}-1", labels=f"{{env: {env}}}") for env in LADDER),
        *(
            written("Environment", env, f"{{order: {number}, where: [{{labels: {{env: {env}}}}}]}}")
            for number, env in enumerate(LADDER)
        ),
        written("RolloutStrategy", "staged", "{promotion: {environments: [dev, stage, prod]}}"),
    ]
)
WEB = written("Application", "web", "{rollout: staged, source: {ref: main, path: apps/web}}")


def fleet(web=WEB, **more):
    texts = {"fleet": FLEET, "web": web, **more}
    parsed = [each for name, text in texts.items() for each in read_documents(text, file=f"{name}.yaml")]
    return build_fleet(parsed)


def refs(model, name="web"):
    """The ref or version that each cluster is evaluated at."""
    variants = Variants(model.applications[name], model)
    sources = {cluster: variants.blend(cluster).main.source for cluster in model.clusters}
    return {cluster: source.version if source.chart else source.ref for cluster, source in sources.items()}


def test_a_pin_takes_the_place_of_the_ref_in_its_environment_and_nowhere_else():
    model = fleet(pins=document("web", {"stage": NEW}))

    assert refs(model) == {"dev-1": "main", "stage-1": NEW, "prod-1": "main"}
    assert model.problems == tuple(each for each in model.problems if each.severity == "warning")


def test_a_pin_comes_after_the_overrides():
    web = written("Application", "web", "{source: {ref: main}, overrides: [{ref: own}]}")

    assert refs(fleet(web, pins=document("web", {"prod": NEW}))) == {"dev-1": "own", "stage-1": "own", "prod-1": NEW}


def test_a_cluster_of_two_environments_goes_with_its_first():
    stage_too = written("Environment", "canary", "{order: -1, clusters: [stage-1]}")
    model = fleet(more=stage_too, pins=document("web", {"stage": OLD, "canary": NEW}))

    assert refs(model)["stage-1"] == NEW


def test_a_chart_is_pinned_by_its_version():
    chart = written("Application", "web", '{source: {repo: "https://charts.example.com", chart: web, version: ">=1"}}')
    model = fleet(chart, pins=document("web", {"prod": "1.4.2"}, chart=True))

    assert refs(model) == {"dev-1": ">=1", "stage-1": ">=1", "prod-1": "1.4.2"}


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        ("{environments: {stage: {version: 1.2.3}}}", "is from Git: pin a commit"),
        ("{environments: {stage: {commit: main}}}", "pattern"),
        ("{environments: {stage: {}}}", "a pin is a commit or, for a chart, a version"),
        (f"{{environments: {{stag: {{commit: {NEW}}}}}}}", "did you mean 'stage'"),
    ],
)
def test_a_pin_that_cannot_be_meant_is_told_and_pins_nothing(pins, said):
    model = fleet(pins=written("Promotion", "web", pins))

    assert any(said in str(problem) and problem.place.file == "pins.yaml" for problem in model.problems)
    assert refs(model)["stage-1"] == "main"


def test_promotions_of_nothing_and_to_nowhere_are_told():
    strategy = written("RolloutStrategy", "other", "{promotion: {environments: [dev, prdo]}}")
    model = fleet(pins=document("wed", {"prod": NEW}), strategy=strategy)

    said = [str(problem) for problem in model.problems]
    assert any("there is no application 'wed'" in each and "did you mean 'web'" in each for each in said)
    assert any("there is no environment 'prdo'" in each and "did you mean 'prod'" in each for each in said)


@pytest.mark.parametrize("has", [(), ("stage-1",), ("dev-1", "stage-1", "prod-1")])
def test_who_is_not_promoted_to_yet_keeps_what_is_there(has):
    model = fleet(pins=document("web", {"stage": NEW}))

    placed = place(model.applications["web"], model, {}, has)

    assert set(placed.selected) == {"dev-1", "stage-1", *({"prod-1"} & set(has))}
    assert placed.frozen == {"prod-1"} & set(has)
    reasons = (placed.selected | placed.rejected)["prod-1"]
    assert "not been promoted to prod yet" in reasons[0]


def test_a_cluster_that_the_placement_leaves_out_goes_though_it_waits():
    web = written("Application", "web", "{rollout: staged, placement: {environments: [dev]}}")
    model = fleet(web)

    assert "prod-1" in place(model.applications["web"], model, {}, ["prod-1"]).rejected


def test_a_new_pin_touches_its_application_and_no_other():
    texts = {"fleet": FLEET, "web": WEB, "other": written("Application", "other", "{source: {ref: main}}")}
    read = by_file([each for name, text in texts.items() for each in read_documents(text, file=f"{name}.yaml")])
    first = fleet_of(read)

    def then(model, text):
        return fleet_of({**read, "pins.yaml": tuple(read_documents(text, file="pins.yaml"))}, model)

    second = then(first, document("web", {"stage": OLD}))
    third = then(second, document("web", {"stage": NEW}))
    assert touched(second, first) == touched(third, second) == {"web"}
    assert (pins_of(third.applications["web"]), refs(third)["stage-1"]) == ({"stage": NEW}, NEW)
    gone = fleet_of(read, third)
    assert touched(gone, third) == {"web"}
    assert gone.applications == first.applications
    again = then(third, document("web", {"stage": NEW}) + "# a comment\n")
    assert refs(again) == refs(third)


def test_a_strategy_that_begins_to_promote_has_everything_looked_at():
    before = fleet(web=WEB)
    plain = FLEET.replace("{promotion: {environments: [dev, stage, prod]}}", "{}")
    assert fleet(fleet=plain).shape != before.shape


def test_it_is_explained_by_the_line_that_pins():
    model = fleet(pins=document("web", {"stage": NEW}))

    found = explanation("web", "stage-1", model, {}, ())

    ref = next(each for each in found["values"] if each["path"] == "ref")
    assert (ref["value"], ref["from"]) == (NEW, "promotion of web to stage")
    assert ref["written"].startswith("pins.yaml:6")
    assert found["overrides"][0]["written"].startswith("pins.yaml:6")


def later(one, other):
    return one > other


def test_the_next_environment_is_due_when_the_one_before_is_done():
    def found(pins, completed, present=LADDER):
        return [(each.environment, each.revision, each.after) for each in due(LADDER, present, pins, completed, later)]

    assert found({}, {}) == []
    assert found({}, {"dev": "1"}) == [("stage", "1", "dev")]
    assert found({"stage": "1"}, {"dev": "1"}) == []
    assert found({"stage": "1"}, {"dev": "1", "stage": "1"}) == [("prod", "1", "stage")]
    assert found({"stage": "1", "prod": "1"}, {"dev": "3", "stage": "2", "prod": "1"}) == [
        ("stage", "3", "dev"), ("prod", "2", "stage"),
    ]  # fmt: skip
    assert found({"stage": "2"}, {"dev": "1"}) == []  # never backwards: a person pinned something newer
    assert found({}, {"dev": "1"}, ("dev", "prod")) == [("prod", "1", "dev")]  # nothing of it in stage
    assert found({}, {"dev": "1"}, ("stage", "prod")) == []  # nobody goes before stage


def test_versions_are_compared_as_versions():
    assert promotion.newer_version("1.10.0", "1.9.3")
    assert not promotion.newer_version("1.9.3", "1.10.0")
    assert not promotion.newer_version("1.9.3", "1.9.3")
    assert not promotion.newer_version("latest", "1.9.3")


revisions = st.integers(1, 9).map(str)
by_environment = st.dictionaries(st.sampled_from(LADDER), revisions)


@settings(max_examples=200)
@given(by_environment, by_environment, st.sets(st.sampled_from(LADDER)))
def test_a_pin_only_ever_follows_the_environment_before_it(pins, completed, present):
    found = due(LADDER, present, pins, completed, later)

    for each in found:
        place_of = LADDER.index(each.environment)
        assert place_of > 0
        assert {each.environment, each.after} <= present
        assert not present.intersection(LADDER[LADDER.index(each.after) + 1 : place_of])
        assert completed[each.after] == each.revision > pins.get(each.environment, "")
    after = {**pins, **{each.environment: each.revision for each in found}}
    assert due(LADDER, present, after, completed, later) == ()


def test_the_commit_says_what_and_why():
    pin = Due("stage", "3f2a91c" + "0" * 33, "", "dev")

    assert message("web", pin, "raise replicas", "r-17") == (
        "promote web to stage: 3f2a91c raise replicas\n\nYardarm-Rollout: r-17\n"
    )
    assert promotion.branch("web", pin) == "yardarm/promote-web-stage-3f2a91c"


BLOCK = f"""\
# who is where
apiVersion: yardarm.dev/v1alpha1
kind: ConfigMap
---
apiVersion: yardarm.dev/v1alpha1
kind: Promotion
metadata:
  name: web  # the shop
spec:
  environments:
    stage:
      commit: {OLD}  # until friday
    # prod comes last
    prod: {{commit: '{OLD}'}}  # asked by Ann
---
kind: other
"""


@pytest.mark.parametrize("text", ["", BLOCK, "a: b\n", "a: b", document("web", {"stage": OLD, "prod": OLD}),
    BLOCK.replace("\n---\nkind: other\n", ""), BLOCK.replace("\n", "\r\n"),
    f"{HEAD}kind: Promotion\nmetadata: {{name: web}}\nspec: {{environments: {{stage: {{commit: {OLD}}}}}}}"])  # fmt: skip
@pytest.mark.parametrize("environment", ["stage", "prod", "edge"])
def test_a_pin_is_put_in_and_all_else_stays(text, environment):
    before = pinned_in(text, "web") or {}

    made = changed(text, "web", Due(environment, NEW, "", "dev"))

    assert pinned_in(made, "web") == {**before, environment: NEW}
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert all(f"#{comment}" in made for comment in comments)
    assert changed(made, "web", Due(environment, OLD, NEW, "dev")).count(NEW) == 0
    # The hub reads it as the fleet does.
    model = build_fleet(read_documents(made, file="pins.yaml"))
    assert {name: pin.commit for name, pin in model.promotion_of("web").spec.environments.items()} == {
        **before, environment: NEW,
    }  # fmt: skip


@pytest.mark.parametrize(
    "spec", ["{}", "\n  environments: {}", f"\n  environments: &all\n    stage: &one {{commit: {OLD}}}\n    prod: *one"]
)
def test_what_cannot_be_added_to_is_told_with_what_to_write(spec):
    text = f"{HEAD}kind: Promotion\nmetadata: {{name: web}}\nspec: {spec}\n"

    with pytest.raises(DocumentError, match=r"pins\.yaml:1: the pin for prod.*write `prod: \{commit: \"b+\"\}`"):
        changed(text, "web", Due("prod", NEW, "", "stage"), "pins.yaml")


def test_a_file_that_is_no_yaml_is_left_alone():
    with pytest.raises(DocumentError, match=r"pins\.yaml: cannot be read"):
        changed("a: [", "web", Due("prod", NEW, "", "stage"), "pins.yaml")


def test_the_document_is_written_where_it_is_or_where_the_strategy_says():
    promote = fleet().strategies["staged"].spec.promotion

    assert file_of(fleet(), "web", promote) == "promotions/web.yaml"
    assert file_of(fleet(), "web", promote, "fleet") == "fleet/promotions/web.yaml"
    assert file_of(fleet(pins=document("web", {"prod": OLD})), "web", promote, "fleet") == "pins.yaml"


def test_a_blend_without_pins_is_what_it_was():
    assert blend(fleet().applications["web"]).digest == blend(fleet(pins=document("web", {"prod": NEW})).applications["web"]).digest  # fmt: skip
