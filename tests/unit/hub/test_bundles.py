"""Bundles for the clusters of an application: each variant is rendered once, however many are worked on at a time."""

import asyncio
import dataclasses
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.bundles import Bundles, Evaluation
from hub.domain.documents import API_VERSION
from hub.domain.fleet import build_fleet
from hub.domain.reading import parse_document
from hub.domain.records import Commit, PathTimes, SourceInfo
from hub.domain.variables import substitute
from hub.domain.variants import ContentKey
from hub.domain.yamldoc import Document
from hub.metrics import Metrics
from hub.render.job import Rendered, RenderedObject, RenderError
from hub.render.judging import judge
from hub.render.parts import Reading
from hub.turns import Turns
from hub.view import View
from shared.bundle import canonical_line
from shared.errors import Unavailable
from shared.manifests import ref_of
from shared.model import Place, Problem
from shared.tasks import Clock


def document(kind, name, spec, labels=None):
    metadata = {"name": name, "labels": labels or {}}
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
    return parse_document(Document("f.yaml", 1, value))


class Content:
    """One part whose content has this key."""

    def __init__(self, key="k"):
        self.key = key

    async def reading(self, part):
        return Reading(ContentKey(f"{self.key} {part.source.path}"), "plain")


class Renders:
    """Renders a ConfigMap with these texts; the values of an override choose the one. Counts, and may fail."""

    def __init__(self, texts, fail=None):
        self.texts = texts
        self.fail = fail or {}
        self.done = Counter()
        self.now = self.most = 0

    async def __call__(self, inputs, _supplies):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        cluster = inputs.variables.values["cluster"]
        self.done[cluster] += 1
        if cluster in self.fail:
            raise self.fail[cluster]
        text = self.texts[inputs.blend.main.values.get("text", 0)]
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"text": text}}
        made = substitute(manifest, inputs.variables)
        if made.problems:
            raise RenderError(made.problems)
        line = canonical_line(made.manifest)
        return Rendered((RenderedObject(ref_of(made.manifest), line, Place("f")),), tuple(sorted(made.used)))


async def stored(_packs):
    raise AssertionError("nothing here is large")


def bundles():
    clock = Clock()
    return Bundles(stored, Turns(clock), Metrics(View(clock), "test"), clock)


def evaluation(fleet, render, key="k"):
    return Evaluation(
        application=fleet.applications["web"],
        fleet=fleet,
        facts={},
        source=SourceInfo("."),
        commit=Commit("c" * 40),
        supplies=Content(key),
        render=render,
        traceparent="",
        times=PathTimes(),
    )


def fleet_of(count, spec=None, variables=lambda number: {}):
    clusters = [
        document("Cluster", f"c{n}", {"variables": variables(n)}, {"kind": f"k{n % 3}", "even": str(n % 2)})
        for n in range(count)
    ]
    return build_fleet([*clusters, document("Application", "web", spec or {})])


THREE = {
    "overrides": [{"when": {"where": [{"labels": {"kind": f"k{n}"}}]}, "values": {"text": n}} for n in range(3)],
}


async def test_a_render_for_each_variant_and_none_the_next_time():
    fleet, made, render = fleet_of(60, THREE), bundles(), Renders(["a", "b", "c"])
    first = await made.make(evaluation(fleet, render), tuple(fleet.clusters))
    again = await made.make(evaluation(fleet, render), tuple(fleet.clusters))

    assert first.rendered == 3
    assert len({body.digest for body in first.bodies.values()}) == 3
    assert again.rendered == 0
    assert again.bodies == first.bodies


async def test_kinds_that_use_different_variables_do_not_make_each_other_render_anew():
    """The first uses a variable, the others none: what one kind has taught says nothing of another."""
    fleet = fleet_of(60, THREE, lambda number: {"zone": f"z{number % 2}"})
    render = Renders(["in ${zone}", "b", "c"])
    outcome = await bundles().make(evaluation(fleet, render), tuple(fleet.clusters))

    assert outcome.rendered == 4
    assert len({body.digest for body in outcome.bodies.values()}) == 4


async def test_clusters_that_differ_are_rendered_at_once():
    fleet, render = fleet_of(40), Renders(["on ${cluster}"])
    outcome = await bundles().make(evaluation(fleet, render), tuple(fleet.clusters))

    assert outcome.rendered == 40
    assert set(render.done.values()) == {1}
    assert render.most > 4


async def test_one_cluster_that_cannot_be_rendered_keeps_what_it_has_and_the_others_go_on():
    fleet = fleet_of(20, variables=lambda number: {} if number == 7 else {"zone": "z"})
    outcome = await bundles().make(evaluation(fleet, Renders(["in ${zone}"])), tuple(fleet.clusters))

    assert outcome.kept == {"c7"}
    assert set(outcome.bodies) == set(fleet.clusters) - {"c7"}
    assert [p.message for p in outcome.problems] == ["the variable ${zone} has no value on this cluster"]
    assert {p.application for p in outcome.problems} == {"web"}


async def test_a_lost_worker_is_an_outage_and_nothing_is_forgotten():
    fleet, made = fleet_of(20), bundles()
    lost = RenderError((Problem("error", "the worker was lost"),), transient=True)
    good = await made.make(evaluation(fleet, Renders(["on ${cluster}"])), tuple(fleet.clusters))
    with pytest.raises(Unavailable, match=r"web: .*the worker was lost"):
        await made.make(evaluation(fleet, Renders(["x ${cluster}"], {"c3": lost}), "other"), tuple(fleet.clusters))

    again = await made.make(evaluation(fleet, Renders([])), tuple(fleet.clusters))
    assert again.bodies == good.bodies


async def test_findings_come_in_the_order_of_the_clusters():
    fleet = fleet_of(9)
    fail = {f"c{n}": RenderError((Problem("error", f"wrong on c{n}"),)) for n in range(9)}
    outcome = await bundles().make(evaluation(fleet, Renders([], fail)), tuple(fleet.clusters))

    assert [problem.message for problem in outcome.problems] == [f"wrong on c{n}" for n in range(9)]


TEXTS = st.sampled_from(["plain", "${a}", "${b}", "${a:-${b}}", "${a}${b}", "${a:-${b:-none}}", "${cluster}", "${c}"])
VALUES = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1", "2"]))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(TEXTS, min_size=3, max_size=3), st.lists(st.lists(VALUES, min_size=1, max_size=8), min_size=1, max_size=3)
)
@example(["plain", "${a:-${b}}", "plain"], [[{"a": ""}, {}], [{}, {"a": "1", "b": ""}, *[{}] * 6]])
def test_whatever_is_remembered_every_cluster_gets_what_it_would_get_alone(texts, rounds):
    async def check():
        made = bundles()
        for variables in rounds:
            fleet = fleet_of(len(variables), THREE, variables.__getitem__)
            together = await made.make(evaluation(fleet, Renders(texts)), tuple(fleet.clusters))
            for cluster in fleet.clusters:
                alone = await bundles().make(evaluation(fleet, Renders(texts)), (cluster,))
                assert together.bodies.get(cluster) == alone.bodies.get(cluster)
                assert (cluster in together.kept) is (cluster in alone.kept)

    asyncio.run(check())


# --- what must not be published --------------------------------------------------------------------------------------


class Court:
    """Holds objects against rules as a worker does, and counts."""

    def __init__(self):
        self.asked = 0

    async def __call__(self, job):
        self.asked += 1
        return judge(job)


def policy(*rules):
    return document("Policy", "p", {"objects": list(rules)})


def ruled(count, *documents, spec=None):
    clusters = [document("Cluster", f"c{n}", {}, {"even": str(n % 2)}) for n in range(count)]
    return build_fleet([*clusters, document("Application", "web", spec or {}), *documents])


NO_SECRET = {"name": "quiet", "require": "object.data.text != 'secret'", "message": "say nothing"}


async def make(made, fleet, render, court):
    asked = dataclasses.replace(evaluation(fleet, render), judge=court)
    return await made.make(asked, tuple(fleet.clusters))


async def test_what_breaks_a_rule_leaves_its_clusters_as_they_are_and_names_them_once():
    even = {"where": [{"labels": {"even": "0"}}]}
    fleet = ruled(4, policy({**NO_SECRET, "when": even}))

    outcome = await make(bundles(), fleet, Renders(["secret"]), Court())

    assert outcome.kept == {"c0", "c2"}
    assert set(outcome.bodies) == {"c1", "c3"}
    (problem,) = outcome.problems
    assert problem.severity == "error"
    assert problem.message == "ConfigMap a breaks rule quiet of policy p: say nothing; c0, c2 keep what they have"
    assert problem.application == "web"


async def test_what_only_warns_is_published_and_told():
    fleet = ruled(2, policy({**NO_SECRET, "enforce": "warn"}))

    outcome = await make(bundles(), fleet, Renders(["secret"]), Court())

    assert set(outcome.bodies) == {"c0", "c1"}
    assert [each.message for each in outcome.problems] == [
        "ConfigMap a breaks rule quiet of policy p: say nothing; on c0, c1"
    ]


async def test_one_result_is_judged_once_however_many_clusters_have_it_and_not_again_until_something_changes():
    made, court, render = bundles(), Court(), Renders(["fine", "secret"])
    fleet = ruled(20, policy(NO_SECRET))

    first = await make(made, fleet, render, court)
    again = await make(made, fleet, render, court)
    assert (court.asked, first.rendered, again.rendered) == (1, 1, 0)
    assert again.bodies == first.bodies

    tighter = ruled(20, policy({**NO_SECRET, "require": "object.data.text == 'secret'"}))
    outcome = await make(made, tighter, render, court)
    assert court.asked == 2
    assert outcome.kept == set(tighter.clusters)

    back = await make(made, fleet, render, court)
    assert {body.digest for body in back.bodies.values()} == {body.digest for body in first.bodies.values()}


async def test_what_nobody_may_have_is_neither_kept_nor_rendered_again():
    made, court, render = bundles(), Court(), Renders(["secret"])
    fleet = ruled(3, policy(NO_SECRET))

    first, again = await make(made, fleet, render, court), await make(made, fleet, render, court)

    assert first.bodies == again.bodies == {}
    assert first.problems == again.problems
    assert (court.asked, again.rendered) == (1, 0)


async def test_objects_beyond_a_project_are_not_published_and_nobody_is_asked_where_there_is_no_project():
    free, court = ruled(2), Court()
    fenced = ruled(
        2, document("Project", "shop", {"namespaces": ["shop"]}), spec={"project": "shop", "namespace": "shop"}
    )

    async def outside(_inputs, _supplies):
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "kube-system"}}
        return Rendered((RenderedObject(ref_of(manifest), canonical_line(manifest), Place("f")),))

    assert set((await make(bundles(), free, outside, court)).bodies) == {"c0", "c1"}
    outcome = await make(bundles(), fenced, outside, court)

    assert outcome.kept == {"c0", "c1"}
    assert "project shop may have the namespaces shop, not kube-system" in outcome.problems[0].message
    assert court.asked == 0


async def test_an_application_takes_nothing_from_where_its_project_may_not():
    fleet = ruled(
        1,
        document("Project", "shop", {"sources": ["https://git.example.com/shop/*"]}),
        spec={"project": "shop", "source": {"repo": "https://git.example.com/other/x"}},
    )

    outcome = await make(bundles(), fleet, Renders(["a"]), Court())

    assert outcome.kept == {"c0"}
    assert "git.example.com/other/x is not among its sources" in outcome.problems[0].message
