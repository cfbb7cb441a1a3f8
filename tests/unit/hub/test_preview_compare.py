"""Previews: what is said to change is what changes, once, for each cluster, and without any secret."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.preview.compare import NOT_BEFORE, NOT_NOW, compare
from hub.domain.preview.markdown import LIMIT, MARKER, markdown
from hub.domain.preview.model import FieldChange, Preview, Side
from hub.domain.preview.states import About, Failed, Made, State, Unseen, differing
from hub.domain.preview.unified import unified
from shared.bundle import canonical_line
from shared.diff import SECRET, SECRET_DIFFERS
from shared.manifests import ref_of
from shared.messages import DeletionPolicy, Policy, to_json
from shared.model import Place, Problem

KEPT = About(Policy())


def config(name="settings", namespace="shop", annotations=None, **data):
    metadata = {"name": name, "namespace": namespace} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def secret(name="keys", **data):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}, "data": encoded}


def made(*manifests, warnings=()):
    refs = [(ref_of(each, "shop"), canonical_line(each)) for each in manifests]
    return Made({ref.key: (ref, line) for ref, line in refs}, warnings)


def state(units, about=KEPT, **more):
    """`units`: application → cluster → result. Results are keyed by what they are."""
    keys = {app: {name: repr(result) for name, result in each.items()} for app, each in units.items()}
    results = {repr(result): result for each in units.values() for result in each.values()}
    applications = more.pop("applications", dict.fromkeys(units, about))
    clusters = {name: "prod" for each in units.values() for name in each}
    return State(Side("x", "c" * 40), keys, results, applications, clusters, **more)


def only(found, count=1):
    assert len(found) == count, found
    return found[0]


def test_equal_changes_on_clusters_whose_objects_differ_are_one_change():
    before = state({"web": {c: made(config(where=c, level="info")) for c in ("a", "b", "c")}})
    after = state({"web": {c: made(config(where=c, level="warn" if c != "c" else "debug")) for c in ("a", "b", "c")}})

    web = only(compare(before, after).applications)

    assert [(each.clusters, each.fields) for each in web.objects] == [
        (("a", "b"), (FieldChange("/data/level", "info", "warn"),)),
        (("c",), (FieldChange("/data/level", "info", "debug"),)),
    ]
    assert (web.action, web.clusters, web.placed, web.left) == ("changed", ("a", "b", "c"), (), ())


def test_an_application_that_comes_to_a_cluster_and_leaves_another():
    before = state({"web": {"a": made(config()), "b": made(config())}})
    after = state({"web": {"b": made(config()), "c": made(config())}})

    web = only(compare(before, after).applications)

    assert (web.placed, web.left, web.clusters) == (("c",), ("a",), ("a", "c"))
    assert [(each.action, each.clusters) for each in web.objects] == [("added", ("c",)), ("removed", ("a",))]
    assert web.objects[0].manifest == config()


def test_what_cannot_be_rendered_stays_and_what_can_be_again_is_mended():
    wrong = Problem("error", "no such field", Place("a.yaml", 3))
    before = state({"web": {"a": made(config()), "b": Failed((wrong,))}})
    after = state({"web": {"a": Failed((wrong,)), "b": made(config(x="y"))}})

    found = compare(before, after)

    assert [(each.reason, each.clusters) for each in only(found.applications).unclear] == [
        (NOT_NOW, ("a",)),
        (NOT_BEFORE, ("b",)),
    ]
    assert only(found.applications).objects == ()
    assert (only(found.new).clusters, only(found.mended).clusters) == (("a",), ("b",))
    assert only(found.new).problem.application == "web"
    assert found.errors


def test_a_problem_that_only_moved_to_another_line_is_not_new():
    def problem(line):
        return Problem("error", "unknown field", Place("fleet.yaml", line, "spec.x"))

    found = compare(state({}, problems=(problem(3),)), state({}, problems=(problem(9),)))

    assert (found.new, found.mended, found.changes) == ((), (), False)


def test_a_change_that_cannot_be_seen_is_named_and_one_that_cannot_be_is_not():
    reason = "it comes from another repository"
    before = state({"web": {"a": Unseen(reason)}, "db": {"a": Unseen(reason)}})
    after = state({"web": {"a": Unseen(reason + "!")}, "db": {"a": Unseen(reason)}})

    web = only(compare(before, after).applications)

    assert (web.name, only(web.unclear).clusters) == ("web", ("a",))


def test_a_renamed_application_hands_its_objects_over():
    before = state({"old": {"a": made(config(), config("gone"))}})
    after = state({"new": {"a": made(config())}}, renamed={"new": "old"})

    new = only(compare(before, after).applications)

    assert (new.name, new.renamed_from) == ("new", "old")
    assert [(each.object.name, each.action) for each in new.objects] == [("gone", "removed")]


def test_settings_that_change_concern_every_cluster_of_the_application():
    units = {"web": {"a": made(config()), "b": made(config())}}
    before = state(units, About(Policy(), {"sync": {"drift": "correct"}}))
    after = state(units, About(Policy(drift="report"), {"sync": {"drift": "report"}}))

    web = only(compare(before, after).applications)

    assert web.settings == (FieldChange("/sync/drift", "correct", "report"),)
    assert web.clusters == ("a", "b")


def test_removals_beyond_the_budget_and_of_protected_kinds_wait():
    many = [config(f"c{number}") for number in range(8)]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    before = state({"web": {"a": made(*many, namespace), "b": made(*many, namespace)}})
    after = state({"web": {"a": made(*many[:2]), "b": made(*many[:2])}})

    found = compare(before, after)

    assert [(each.application, each.clusters) for each in found.held] == [("web", ("a", "b"))] * 2
    assert "7 of 9 objects would be deleted, the budget is 50%" in found.held[0].reason
    assert "Namespace shop: deleting a Namespace needs" in found.held[1].reason


def test_what_is_kept_by_annotation_or_policy_is_said_to_stay():
    keep = {"helm.sh/resource-policy": "keep"}
    before = state({"web": {"a": made(config(), config("kept", annotations=keep))}})
    after = state({"web": {"a": made(config())}})
    unpruned = About(Policy(prune=False))

    assert "it stays: its annotation" in only(only(compare(before, after).applications).objects).note
    after = state({"web": {"a": made(config("new"))}}, unpruned)
    notes = {each.object.name: each.note for each in only(compare(before, after).applications).objects}
    assert notes["settings"] == "it stays: sync.prune is false"


def test_leaving_most_clusters_or_removing_most_applications_waits():
    clusters = ("a", "b", "c", "d")
    before = state({name: {c: made(config(name)) for c in clusters} for name in ("web", "db", "log")})
    after = state({"web": {"a": made(config("web"))}})

    reasons = [each.reason for each in compare(before, after).held]

    assert len(reasons) == 2
    assert "2 of 3 applications would be removed at once (db, log)" in reasons[0]
    assert "web would leave 3 of its 4 clusters at once" in reasons[1]
    orphaned = About(Policy(deletion=DeletionPolicy("100%")))
    generous = compare(before, state({"web": {"a": made(config("web"))}}, orphaned))
    assert len(generous.held) == 1


def test_a_secret_shows_which_keys_differ_and_no_value():
    before = state({"web": {"a": made(secret(password="hunter2", old="hunter2"))}})
    after = state({"web": {"a": made(secret(password="correct horse", new="hunter3"), secret("more", pin="1234"))}})

    found = compare(before, after)

    changed, added = only(found.applications).objects
    assert changed.fields == (
        FieldChange("/data/new", None, SECRET),
        FieldChange("/data/password", SECRET, SECRET_DIFFERS),
        FieldChange("/data/old", SECRET, None),
    )
    assert added.manifest["data"] == {"pin": SECRET}


# --- for every pair of states -----------------------------------------------------------------------------------------

WORDS = st.sampled_from(["swordfish", "opensesame", "tr0ub4dor"])
"""Values of Secrets; they occur nowhere else."""

OBJECTS = st.one_of(
    st.builds(config, st.sampled_from(["one", "two"]), x=st.sampled_from(["1", "2", "long\ntext\n"])),
    st.builds(secret, st.sampled_from(["s1", "s2"]), key=WORDS),
    st.builds(
        lambda value, note: {
            "apiVersion": "v1", "kind": "Secret", "stringData": {"key": value},
            "metadata": {"name": "s3", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": note}},
        },
        WORDS, WORDS,
    ),
)  # fmt: skip

PROBLEMS = st.builds(Problem, st.sampled_from(["error", "warning"]), st.sampled_from(["wrong", "odd"]))

RESULTS = st.one_of(
    st.lists(OBJECTS, max_size=4).map(lambda objects: made(*objects)),
    st.builds(Failed, st.lists(PROBLEMS, min_size=1, max_size=2).map(tuple)),
    st.builds(Unseen, st.sampled_from(["elsewhere", "unknown"])),
)

UNITS = st.dictionaries(
    st.sampled_from(["web", "db"]), st.dictionaries(st.sampled_from("abcd"), RESULTS, max_size=4), max_size=2
)

STATES = UNITS.map(state)


def renderings(preview: Preview) -> list[str]:
    return [json.dumps(to_json(preview)), markdown(preview), unified(preview), repr(preview)]


@given(STATES)
def test_nothing_changes_between_equal_states(one):
    found = compare(one, one)

    assert (found.applications, found.new, found.mended, found.held) == ((), (), (), ())
    assert differing(one, one) == (frozenset(), frozenset())


@given(STATES, STATES)
def test_every_change_of_an_object_on_a_cluster_is_in_exactly_one_group(before, after):
    named = [
        (application.name, cluster, change.object.key)
        for application in compare(before, after).applications
        for change in application.objects
        for cluster in change.clusters
    ]

    expected = []
    for name in before.units.keys() | after.units.keys():
        for cluster in "abcd":
            old = before.results.get(before.units.get(name, {}).get(cluster, ""))
            new = after.results.get(after.units.get(name, {}).get(cluster, ""))
            if isinstance(old, Made | None) and isinstance(new, Made | None):
                had, has = old.objects if old else {}, new.objects if new else {}
                differs = [key for key in had.keys() | has.keys() if had.get(key) != has.get(key)]
                expected += [(name, cluster, key) for key in differs]
    assert sorted(named) == sorted(expected)


@given(STATES, STATES)
def test_each_unit_that_differs_is_accounted_for(before, after):
    found = {each.name: each for each in compare(before, after).applications}

    for name in before.units.keys() | after.units.keys():
        had, has = before.units.get(name, {}), after.units.get(name, {})
        for cluster in had.keys() | has.keys():
            failed = isinstance(after.results.get(has.get(cluster, "")), Failed)
            if had.get(cluster) != has.get(cluster) and not (failed and cluster not in had):
                assert cluster in found[name].clusters


@given(STATES, STATES)
def test_no_rendering_shows_a_secret(before, after):
    words = ["swordfish", "opensesame", "tr0ub4dor"]
    hidden = words + [base64.b64encode(word.encode()).decode() for word in words]

    for text in renderings(compare(before, after)):
        assert [word for word in hidden if word in text] == []


@given(STATES, STATES)
def test_the_order_of_what_is_compared_does_not_show(before, after):
    def turned(one):
        units = {app: dict(reversed(each.items())) for app, each in reversed(one.units.items())}
        return State(one.side, units, one.results, one.applications, one.environments)

    assert renderings(compare(before, after)) == renderings(compare(turned(before), turned(after)))


@given(STATES, STATES)
def test_results_that_both_states_have_are_not_needed(before, after):
    old, new = differing(before, after)
    needed = State(
        before.side, before.units, {k: v for k, v in before.results.items() if k in old}, before.applications,
        before.environments,
    ), State(
        after.side, after.units, {k: v for k, v in after.results.items() if k in new}, after.applications,
        after.environments,
    )  # fmt: skip

    assert compare(*needed).applications == compare(before, after).applications


@given(STATES, STATES)
def test_json_holds_all_of_it(before, after):
    found = compare(before, after)

    assert msgspec.convert(json.loads(json.dumps(to_json(found))), Preview) == found


# --- text -------------------------------------------------------------------------------------------------------------


def big(lines):
    return made(*(config(f"c{number:04}", text="".join(f"line {n}\n" for n in range(lines))) for number in range(300)))


def test_a_comment_is_never_too_long_and_says_what_was_cut():
    text = markdown(compare(state({}), state({"web": {"a": big(50)}})))

    assert len(text.encode()) <= LIMIT
    assert text.startswith(MARKER)
    assert "300 objects added" in text
    assert "**Cut here:" in text.rstrip().splitlines()[-1]
    assert text.count("<details>") == text.count("</details>") > 10
    assert text.count("```") == 2 * text.count("<details>")


def test_one_long_change_is_cut_by_itself():
    text = markdown(compare(state({}), state({"web": {"a": made(config(text="x\n" * 5000))}})))

    assert "more lines" in text
    assert "Cut here" not in text


@pytest.mark.parametrize("nasty", ["```\n# not a heading\n", "</details><script>", "@everyone\n@all\n", "| a | b |"])
def test_what_people_wrote_cannot_break_the_comment(nasty):
    wrong = Problem("error", nasty, Place("x.yaml", 1))
    before = state({"web": {"a": made(config(text="old"))}})
    text = markdown(compare(before, state({"web": {"a": made(config(text=nasty)), "b": Failed((wrong,))}})))

    outside, inside = "", False
    fence = ""
    for line in text.splitlines():
        if not inside and line.startswith("```"):
            inside, fence = True, line.removesuffix("diff")
        elif inside and line == fence:
            inside = False
        elif not inside:
            outside += line + "\n"
    assert not inside
    assert "<script>" not in outside
    assert "@everyone" not in outside
    assert outside.count("<details>") == outside.count("</details>") == 1


def test_the_diff_reads_like_one():
    before = state({"web": {c: made(config(a="1", text="one\ntwo\n")) for c in ("x", "y")}})
    after = state({"web": {c: made(config(a="2", text="one\nthree\n"), config("new")) for c in ("x", "y")}})

    assert unified(compare(before, after)).splitlines() == [
        "# x (cccccccccccc) -> x (cccccccccccc): 1 application changes on 2 of 2 clusters: 1 object added, 1 object changed",
        "diff web: ConfigMap shop/new the same on 2 clusters: x, y",
        "--- /dev/null",
        "+++ x (cccccccccccc)",
        "+apiVersion: v1",
        "+data: {}",
        "+kind: ConfigMap",
        "+metadata:",
        "+  name: new",
        "+  namespace: shop",
        "diff web: ConfigMap shop/settings the same on 2 clusters: x, y",
        "--- x (cccccccccccc)",
        "+++ x (cccccccccccc)",
        "@@ /data/a @@",
        '-"1"',
        '+"2"',
        "@@ /data/text @@",
        " one",
        "-two",
        "+three",
    ]
