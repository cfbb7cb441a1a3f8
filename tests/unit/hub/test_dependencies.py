"""Dependencies between applications: who waits for whom, that it ends, and what is written down wrongly."""

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hub.domain import dependencies, releases
from hub.domain.circles import circles
from hub.domain.dependencies import Need, needs
from hub.domain.documents import Application, ApplicationSpec
from hub.domain.fleet import build_fleet
from hub.domain.plans import AT_ONCE
from hub.domain.reading import read_documents
from hub.domain.runs import Phase, Slot, SlotState, StagePhase
from hub.domain.selectors import Candidate
from hub.domain.variants import policy_of
from tests.fakes.runs import run

STAGES = {"dev": ("dev-1",), "prod": ("prod-1", "prod-2")}
ON_THE_SAME = (Need("certs"),)
ON_THE_HUB = (Need("mesh", frozenset({"hub-1"})),)


def reasons(plan, needed, others=(), stage="dev", unready=None, stands=frozenset(), together=()):
    newest = {each.application: each for each in others}

    def healthy(application, cluster):
        return (application, cluster) in stands

    found = dependencies.waits(plan, needed, newest, unready or {}, healthy, together)
    assert {wait.kind for each in found.values() for wait in each} <= {"dependency"}
    return [wait.reason for wait in (*found.get("*", ()), *found.get(stage, ()))]


def slot(state, released=100.0):
    return Slot(state, released=released)


def test_a_stage_waits_until_what_it_depends_on_is_healthy_on_its_clusters():
    web, certs = run("web", STAGES), run("certs", STAGES, done=1, slots={"prod-1": slot(SlotState.ASSIGNED)})

    assert reasons(web.plan, ON_THE_SAME, [certs]) == []
    assert reasons(web.plan, ON_THE_SAME, [certs], "prod") == [
        "certs is not healthy with its new revision on prod-1",
        "certs has not got its new revision on prod-2",
    ]


def test_without_stages_a_cluster_goes_on_by_itself_once_the_other_has_its_revision():
    web = run("web", {"all": ("dev-1", "prod-1")}, strategy=AT_ONCE)
    given = run("certs", STAGES, slots={name: slot(SlotState.ASSIGNED) for name in ("dev-1", "prod-1")})

    assert reasons(web.plan, ON_THE_SAME, [given], "all") == []
    assert reasons(web.plan, ON_THE_SAME, [run("certs", STAGES, done=1)], "all") == [
        "certs has not got its new revision on prod-1"
    ]


@pytest.mark.parametrize("state", [SlotState.OFFLINE, SlotState.SKIPPED])
def test_who_is_left_out_holds_nobody_up(state):
    certs = run("certs", STAGES, done=1, slots={"prod-1": slot(state, None), "prod-2": slot(SlotState.HEALTHY)})

    assert reasons(run("web", STAGES).plan, ON_THE_SAME, [certs], "prod") == []


def test_who_does_not_change_there_or_leaves_or_is_not_there_is_for_the_agent_to_look_at():
    web = run("web", STAGES)

    assert reasons(web.plan, ON_THE_SAME, [run("certs", {"prod": ("prod-9",)})], "prod") == []
    assert reasons(web.plan, ON_THE_SAME, [], "prod") == []
    assert reasons(web.plan, ON_THE_SAME, [run("certs", STAGES, done=2)], "prod") == []


def test_what_was_rejected_keeps_waiting_who_depends_on_it():
    web = run("web", STAGES)
    restored = {"dev-1": Slot(SlotState.RESTORED, released=100.0, back=110.0)}
    back = run("certs", STAGES, slots=restored, phase=Phase.ROLLED_BACK, ended=120.0)

    assert reasons(web.plan, ON_THE_SAME, [back]) == ["certs was rolled back on dev-1"]
    assert reasons(web.plan, ON_THE_SAME, [back], "prod") == ["certs was rolled back on prod-1, prod-2"]


def test_what_has_started_waits_no_more_and_what_is_not_worked_out_is_waited_for():
    web = run("web", STAGES)
    started = msgspec.structs.replace(web, stages=(msgspec.structs.replace(web.stages[0], started=1.0), web.stages[1]))

    assert reasons(web.plan, ON_THE_SAME, [started, run("certs", STAGES)]) == []
    assert reasons(web.plan, ON_THE_SAME, unready={"certs": "it is being rendered"}) == ["certs: it is being rendered"]


def test_spokes_wait_for_the_hub_cluster():
    web = run("web", STAGES)
    under_way = run("mesh", {"hub": ("hub-1",), "rest": ("dev-1",)}, slots={"hub-1": slot(SlotState.ASSIGNED)})
    done = run("mesh", {"hub": ("hub-1",), "rest": ("dev-1",)}, done=1)
    stands = {("mesh", "hub-1")}

    for stage in STAGES:
        assert reasons(web.plan, ON_THE_HUB, [], stage) == ["mesh has not been rolled out yet"]
        assert reasons(web.plan, ON_THE_HUB, [under_way], stage) == [
            "mesh is not healthy with its newest revision on hub-1"
        ]
        assert reasons(web.plan, ON_THE_HUB, [done], stage, stands=stands) == []
    # Healthy, but with what it had before.
    pending = run("mesh", {"hub": ("hub-1",)})
    assert reasons(web.plan, ON_THE_HUB, [pending], stands=stands) == ["mesh has not got its new revision on hub-1"]


def test_waiting_for_where_it_does_not_go_says_so():
    mesh = run("mesh", {"all": ("dev-1",)}, done=1)

    assert reasons(run("web", STAGES).plan, ON_THE_HUB, [mesh]) == [
        "mesh is on none of the clusters that dependsOn selects"
    ]


def test_of_several_clusters_a_silent_one_holds_nobody_up_unless_it_is_the_only_one():
    offline = {"h-2": slot(SlotState.OFFLINE, None)}
    mesh = run("mesh", {"all": ("h-1", "h-2")}, done=1, slots=offline)
    both, one = (Need("mesh", frozenset({"h-1", "h-2"})),), (Need("mesh", frozenset({"h-2"})),)
    web = run("web", STAGES)

    assert reasons(web.plan, both, [mesh], stands={("mesh", "h-1")}) == []
    assert reasons(web.plan, one, [mesh], stands={("mesh", "h-1")}) == [
        "mesh cannot be told to be healthy, as nothing is heard of the agent on h-2"
    ]


def test_a_member_of_the_same_set_is_not_waited_for_where_it_comes_later():
    web = run("web", {"dev": ("dev-1", "prod-1"), "prod": ("prod-2",)})
    certs = run("certs", STAGES)

    together = reasons(web.plan, ON_THE_SAME, [certs], together=("certs", "web"))

    assert together == ["certs has not got its new revision on dev-1"]
    assert reasons(web.plan, ON_THE_SAME, [certs]) == ["certs has not got its new revision on dev-1, prod-1"]


# Whatever is written down, if there is no circle it comes to an end.

CLUSTERS = ("c0", "c1", "c2", "c3")


@st.composite
def fleets(draw):
    count = draw(st.integers(2, 4))
    rollouts, specs, needed = {}, {}, {}
    for number in range(count):
        name = f"a{number}"
        stages = {stage: [] for stage in draw(st.permutations(("x", "y", "z")))}
        for cluster in draw(st.sets(st.sampled_from(CLUSTERS), min_size=1)):
            stages[draw(st.sampled_from(("x", "y", "z")))].append(cluster)
        rollouts[name] = run(name, stages)
        on = draw(st.sets(st.sampled_from([f"a{each}" for each in range(number)]), max_size=2)) if number else set()
        needed[name] = []
        for each in sorted(on):
            where = draw(st.none() | st.sets(st.sampled_from(sorted(rollouts[each].slots)), min_size=1))
            needed[name].append(Need(each, frozenset(where) if where else None))
        together = draw(st.sampled_from((None, "s", "t")))
        specs[name] = ApplicationSpec.model_validate({"dependsOn": tuple(sorted(on)), "releaseSet": together})
    assume(not any(circles({name: _application(name, spec) for name, spec in specs.items()})))
    return rollouts, specs, needed


def _application(name, spec):
    return Application.model_construct(metadata=None, spec=spec, kind="Application", api_version="")


@settings(max_examples=100)
@given(fleets())
def test_without_circles_everything_comes_to_an_end_and_in_order(fleet):
    rollouts, specs, needed = fleet
    sets = releases.members({name: _application(name, spec) for name, spec in specs.items()})

    def stands(application, cluster):
        return rollouts[application].slots[cluster].state is SlotState.HEALTHY

    while active := [name for name, each in rollouts.items() if each.active]:
        free = []
        for name in active:
            own = rollouts[name]
            mates = sets.get(specs[name].release_set, ())
            around = releases.waits(own.plan, {each: rollouts[each] for each in mates}, {})
            more = dependencies.waits(own.plan, needed[name], rollouts, {}, stands, mates)
            stage = own.plan.stages[own.current]
            if not stage.clusters or not any((*around.get(stage.name, ()), *more.get(stage.name, ()))):
                free.append(name)
        assert free
        rollouts[free[0]] = _advanced(rollouts[free[0]])
        for need in needed[free[0]]:
            _in_order(rollouts, specs, free[0], need)


def _in_order(rollouts, specs, name, need):
    """Who is not in the same set, and healthy, is so after what it depends on."""
    mine, theirs = specs[name].release_set, specs[need.application].release_set
    if mine is not None and mine == theirs:
        return
    own, other = rollouts[name], rollouts[need.application]
    done = {each for each, slot in own.slots.items() if slot.state is SlotState.HEALTHY}
    wanted = done & other.slots.keys() if need.clusters is None else (need.clusters if done else set())
    assert all(other.slots[each].state is SlotState.HEALTHY for each in wanted)


def _advanced(rollout):
    number = rollout.current
    stages = list(rollout.stages)
    stages[number] = msgspec.structs.replace(stages[number], phase=StagePhase.DONE, started=1.0)
    healthy = {name: slot(SlotState.HEALTHY) for name in rollout.plan.stages[number].clusters}
    after = msgspec.structs.replace(rollout, stages=tuple(stages), slots={**rollout.slots, **healthy})
    return msgspec.structs.replace(after, phase=Phase.COMPLETED) if after.current == len(stages) else after


# As it is written down.

HEAD = "apiVersion: yardarm.dev/v1alpha1\n"
HUB = f"{HEAD}kind: Cluster\nmetadata: {{name: hub-1}}\nspec: {{}}\n---\n{HEAD}kind: Cluster\nmetadata: {{name: spoke-1}}\nspec: {{}}\n"


def fleet_of(before=None, **specs):
    texts = {
        name: f"{HEAD}kind: Application\nmetadata: {{name: {name}}}\nspec: {spec}\n" for name, spec in specs.items()
    }
    texts["clusters"] = HUB
    return build_fleet([each for name, text in texts.items() for each in read_documents(text, file=name)], before)


def problems(fleet):
    return [str(each) for each in fleet.problems]


def test_selectors_are_worked_out_and_the_agent_gets_names_only():
    fleet = fleet_of(web="{dependsOn: [certs, {application: mesh, clusters: [hub-1]}]}", certs="{}", mesh="{}")
    web = fleet.applications["web"]

    assert problems(fleet) == []
    assert needs(web.spec, [Candidate("hub-1"), Candidate("spoke-1")]) == (
        Need("certs"),
        Need("mesh", frozenset({"hub-1"})),
    )
    assert policy_of(web, fleet).depends_on == ("certs",)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{application: mesh}", "web:4: spec.dependsOn[0].application: error: there is no application 'mesh'"),
        (
            "{application: certs, environments: [prd]}",
            "web:4: spec.dependsOn[0].environments[0]: error: there is no environment 'prd'",
        ),
        ("{aplication: certs}", "web:4: spec.dependsOn[0].application: error: application is required"),
        ("{application: certs, clusters: [hub-2]}", "there is no cluster 'hub-2', at least not yet"),
        (
            "{application: certs, clusters: [spoke-1]}",
            "web:4: spec.dependsOn[0]: warning: certs goes to none of these clusters: web would wait for ever",
        ),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_place(entry, expected):
    fleet = fleet_of(web=f"{{dependsOn: [{entry}]}}", certs="{placement: {clusters: [hub-1]}}")

    assert any(expected in each for each in problems(fleet))


def test_a_warning_goes_when_the_other_application_comes_to_the_cluster():
    web = "{dependsOn: [{application: certs, clusters: [spoke-1]}]}"
    before = fleet_of(web=web, certs="{placement: {clusters: [hub-1]}}")

    assert len(problems(before)) == 1
    assert problems(fleet_of(before, web=web, certs="{}")) == []


def test_circles_by_way_of_clusters_and_of_release_sets_are_refused():
    over = fleet_of(web="{dependsOn: [{application: mesh, clusters: [hub-1]}]}", mesh="{dependsOn: [web]}")
    assert over.blocked == {"web", "mesh"}
    assert "mesh:4: spec.dependsOn: error: dependsOn goes in a circle: mesh → web → mesh" in problems(over)[0]

    sets = fleet_of(
        web="{releaseSet: shop, dependsOn: [certs]}",
        api="{releaseSet: shop}",
        certs="{releaseSet: base}",
        dns="{releaseSet: base, dependsOn: [api]}",
    )
    assert sets.blocked == {"web", "dns"}
    assert "→ release set shop → release set base" in problems(sets)[0] or "→ release set base → " in problems(sets)[0]


def test_a_circle_by_release_sets_is_found_when_only_the_set_changes():
    specs = {"web": "{dependsOn: [certs]}", "api": "{releaseSet: shop}", "certs": "{dependsOn: [api]}"}
    before = fleet_of(**specs)
    after = fleet_of(before, **{**specs, "web": "{releaseSet: shop, dependsOn: [certs]}"})

    assert before.blocked == frozenset()
    assert after.blocked == {"web", "certs"}
