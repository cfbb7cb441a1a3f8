"""The fleet model: references, last good versions, clusters from elsewhere."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.domain.fleet import build_fleet, cluster_document, fleet_of, touched, with_clusters
from hub.domain.joining import by_file
from hub.domain.reading import Rejected, read_documents
from hub.domain.references import GUESSES
from shared.errors import DocumentError

HEAD = "apiVersion: yardarm.dev/v1alpha1\n"


def document(kind, name, spec="{}", labels="{}"):
    return f"{HEAD}kind: {kind}\nmetadata: {{name: {name}, labels: {labels}}}\nspec: {spec}\n"


def read(**files):
    return [
        item
        for file, texts in files.items()
        for item in read_documents(texts if isinstance(texts, str) else "---\n".join(texts), file=f"{file}.yaml")
    ]


def errors(fleet):
    return [str(problem) for problem in fleet.problems if problem.severity == "error"]


def warnings(fleet):
    return [str(problem) for problem in fleet.problems if problem.severity == "warning"]


CLUSTERS = [
    document("Cluster", "dev-1", labels="{env: dev}"),
    document("Cluster", "prod-1", labels="{env: prod}"),
    document("Environment", "prod", "{order: 30, where: [{labels: {env: prod}}]}"),
    document("Environment", "dev", "{order: 10, where: [{labels: {env: dev}}]}"),
]


def test_a_fleet_knows_its_clusters_environments_and_applications():
    fleet = build_fleet(read(fleet=CLUSTERS, web=document("Application", "web")))

    assert list(fleet.environments) == ["dev", "prod"]
    assert fleet.membership == {"dev-1": ("dev",), "prod-1": ("prod",)}
    assert fleet.environment_of("prod-1") == "prod"
    assert list(fleet.applications) == ["web"]
    assert str(fleet.place("Application", "web", "spec")) == "web.yaml:4: spec"
    assert fleet.problems == ()


def test_a_name_used_twice_names_both_places_and_one_counts():
    parsed = read(
        b=document("Application", "web", "{namespace: b}"), a=document("Application", "web", "{namespace: a}")
    )

    fleet = build_fleet(parsed)

    assert fleet.applications["web"].spec.namespace == "a"
    assert errors(fleet) == [
        (
            "b.yaml:3: metadata.name: error: Application 'web' is defined twice: also at a.yaml:1, which counts"
            " (remove one of the two, or rename it)"
        )
    ]
    assert fleet.blocked == frozenset()


def test_a_newcomer_does_not_take_a_name_that_is_in_use():
    before = build_fleet(read(b=document("Application", "web", "{namespace: b}")))

    fleet = build_fleet(
        read(a=document("Application", "web", "{namespace: a}"), b=document("Application", "web", "{namespace: c}")),
        before,
    )

    assert fleet.applications["web"].spec.namespace == "c"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{placement: {environments: [prd]}}", "there is no environment 'prd' (did you mean 'prod'?)"),
        ("{overrides: [{when: {environments: [x]}}]}", "spec.overrides[0].when.environments[0]: error: there is no"),
        ("{dependsOn: [db]}", "web.yaml:4: spec.dependsOn[0]: error: there is no application 'db'"),
        ("{project: shop}", "there is no project 'shop'"),
        ("{rollout: staged}", "there is no RolloutStrategy 'staged'"),
        ("{rollout: {stages: [{name: a, environments: [x]}]}}", "spec.rollout.stages[0].environments[0]: error"),
        ("{rollout: {stages: [{name: a}, {name: a}]}}", "two stages are called 'a'"),
        (
            "{health: [{kind: example.com/Widget, healthy: 'object.status ='}]}",
            "web.yaml:4: spec.health[0].healthy: error: the health rule for example.com/Widget cannot be used: healthy: ",
        ),
        (
            "{health: [{kind: Pod, healthy: 'true', failed: 'object.x +'}]}",
            "the health rule for Pod cannot be used: failed",
        ),
    ],
)
def test_a_reference_to_nothing_blocks_the_application_and_only_that(spec, expected):
    fleet = build_fleet(
        read(fleet=CLUSTERS, web=document("Application", "web", spec), api=document("Application", "api"))
    )

    assert expected in errors(fleet)[0]
    assert fleet.blocked == {"web"}


def test_what_may_come_later_is_only_a_warning():
    fleet = build_fleet(
        read(
            fleet=[*CLUSTERS, document("Environment", "empty", "{clusters: [stage-1]}")],
            web=document("Application", "web", "{placement: {clusters: [prod-2, prod-1]}}"),
            api=document("Application", "api", "{placement: {where: [{labels: {env: test}}]}}"),
            gpu=document("Application", "gpu", "{placement: {where: [{facts: {kubernetes: '>=1.29'}}]}}"),
        )
    )

    assert fleet.blocked == frozenset()
    assert [warning.partition(": warning: ")[2] for warning in warnings(fleet)] == [
        "the placement selects no cluster (`yardarm explain api --cluster NAME` says why not)",
        "environment 'empty' has no cluster: none matches",
        "there is no cluster 'stage-1', at least not yet",
        "there is no cluster 'prod-2', at least not yet (did you mean 'prod-1'?)",
    ]


def test_a_cluster_in_two_environments_is_shown_in_the_first():
    fleet = build_fleet(read(fleet=[*CLUSTERS, document("Environment", "all", "{order: 90}")]))

    assert fleet.membership["prod-1"] == ("prod", "all")
    assert fleet.environment_of("prod-1") == "prod"
    assert "cluster 'prod-1' is in 2 environments (prod, all): 'prod' is shown" in warnings(fleet)[1]


def test_circles_are_named_and_block_their_members_only():
    depends = {"a": "b", "b": "c", "c": "a", "d": "a", "e": "e"}
    fleet = build_fleet(
        read(**{name: document("Application", name, f"{{dependsOn: [{on}]}}") for name, on in depends.items()})
    )

    assert fleet.blocked == {"a", "b", "c", "e"}
    assert "a.yaml:4: spec.dependsOn: error: dependsOn goes in a circle: a → b → c → a" in errors(fleet)[0]
    assert "e → e" in errors(fleet)[-1]


def test_a_long_chain_is_no_circle():
    texts = [document("Application", f"a{number}", f"{{dependsOn: [a{number + 1}]}}") for number in range(2000)]

    fleet = build_fleet(read(chain=[*texts, document("Application", "a2000")]))

    assert fleet.problems == ()


def test_a_document_gone_wrong_keeps_its_last_good_version():
    before = build_fleet(read(web=document("Application", "web", "{namespace: good}"), fleet=CLUSTERS))

    fleet = build_fleet(read(web=document("Application", "web", "{namspace: bad}"), fleet=CLUSTERS), before)

    assert fleet.applications["web"].spec.namespace == "good"
    assert fleet.kept == {("Application", "web")}
    assert fleet.blocked == frozenset()
    assert "unknown field 'namspace'" in errors(fleet)[0]


@pytest.mark.parametrize(
    "broken",
    ["x: [\n", "kind: Cluster\nkind: Cluster\n", "kind: Clustr\n", "metadata: {name: WEB}\nkind: Application\n"],
)
def test_a_file_in_which_it_cannot_be_told_what_is_meant_keeps_all_it_defined(broken):
    before = build_fleet(read(apps=[document("Application", "web"), document("Application", "api")]))

    fleet = build_fleet(read(apps=[f"{HEAD}{broken}", document("Application", "api", "{namespace: new}")]), before)

    assert list(fleet.applications) == ["api", "web"]
    assert fleet.applications["api"].spec.namespace == "new"
    assert fleet.kept == {("Application", "web")}


def test_a_file_that_cannot_be_read_at_all_keeps_all_it_defined():
    before = build_fleet(read(apps=document("Application", "web")))

    fleet = build_fleet(read_documents(document("Application", "web").encode() + b"\xff", file="apps.yaml"), before)

    assert list(fleet.applications) == ["web"]
    assert "not UTF-8" in errors(fleet)[0]


def test_a_document_removed_from_files_that_parse_is_removed():
    before = build_fleet(read(web=document("Application", "web"), api=document("Application", "api")))

    fleet = build_fleet(read(web=document("Application", "web", "{x: 1}")), before)

    assert list(fleet.applications) == ["web"]


def test_a_last_good_version_lasts_over_several_commits_and_ends_with_the_cure():
    first = build_fleet(read(web=document("Application", "web", "{namespace: one}")))
    bad = read(web=document("Application", "web", "{x: 1}"))

    third = build_fleet(bad, build_fleet(bad, first))
    fourth = build_fleet(read(web=document("Application", "web", "{namespace: two}")), third)

    assert third.applications["web"].spec.namespace == "one"
    assert fourth.applications["web"].spec.namespace == "two"
    assert fourth.kept == frozenset()
    assert fourth.problems == ()


def test_clusters_from_elsewhere_are_merged_and_git_wins():
    fleet = build_fleet(read(fleet=CLUSTERS))

    merged = with_clusters(
        fleet, [cluster_document("prod-2", {"env": "prod"}), cluster_document("prod-1", {"env": "dev"})]
    )

    assert list(merged.clusters) == ["dev-1", "prod-1", "prod-2"]
    assert merged.membership["prod-2"] == ("prod",)
    assert merged.membership["prod-1"] == ("prod",)
    assert "cluster 'prod-1' is also in registered clusters: what is written here counts" in warnings(merged)[0]
    assert with_clusters(merged, []) == fleet


def test_a_registered_cluster_must_be_valid():
    with pytest.raises(DocumentError, match="is not a name"):
        cluster_document("Prod", {})


NAMES = st.sampled_from("abc")
DOCUMENTS = st.one_of(
    st.builds(
        document,
        st.just("Application"),
        NAMES,
        st.builds("{{dependsOn: [{}], placement: {{environments: [{}]}}}}".format, NAMES, NAMES)
        | st.just("{wrong: 1}"),
    ),
    st.builds(document, st.just("Environment"), NAMES, st.builds("{{order: {}}}".format, st.integers(0, 2))),
    st.builds(document, st.just("Cluster"), NAMES),
    st.just(f"{HEAD}kind: [\n"),
)
FILES = st.dictionaries(st.sampled_from(["one", "two", "three"]), st.lists(DOCUMENTS, max_size=4))


@given(FILES, FILES, st.randoms())
def test_the_order_of_files_decides_nothing(before, after, random):
    previous, parsed = build_fleet(read(**before)), read(**after)
    shuffled = random.sample(parsed, len(parsed))

    assert build_fleet(shuffled, previous) == build_fleet(parsed, previous)


@given(st.lists(FILES, min_size=2, max_size=4))
def test_a_model_made_from_the_one_before_is_the_one_made_anew(commits):
    previous, known = None, {}
    for texts in commits:
        # A file with the same text is the very same tuple of documents, as a scan gives it.
        known = {key: known.get(key) or tuple(read(**{key[0]: key[1]})) for key in map(_frozen, texts.items())}
        files = {f"{file}.yaml": parsed for (file, _), parsed in known.items() if parsed}

        model = fleet_of(files, previous)

        anew = build_fleet([each for parsed in files.values() for each in parsed], previous)
        assert model == anew == with_clusters(with_clusters(model, [cluster_document("extra", {})]), [])
        assert list(model.documents) == sorted(model.documents)
        assert list(model.applications) == sorted(model.applications)
        previous = model


def _frozen(item):
    return item[0], tuple(item[1])


def test_a_commit_that_touches_one_application_leaves_the_others_the_very_same():
    texts = {f"a{n}": document("Application", f"a{n}", "{dependsOn: [a0]}" if n else "{}") for n in range(50)}
    files = by_file(read(fleet=CLUSTERS, **texts))
    before = fleet_of(files)

    after = fleet_of({**files, "a7.yaml": tuple(read(a7=document("Application", "a7", "{namespace: x}")))}, before)

    assert touched(after, before) == {"a7"}
    assert after.applications["a7"].spec.namespace == "x"
    assert after.clusters is before.clusters
    assert touched(fleet_of(dict(after.joined.files), after), after) == frozenset()


def test_a_name_that_comes_or_goes_touches_those_who_wait_for_it():
    files = by_file(read(a=document("Application", "a"), b=document("Application", "b", "{dependsOn: [a]}")))
    before = fleet_of(files)

    without = fleet_of({"b.yaml": files["b.yaml"]}, before)

    assert "there is no application 'a'" in errors(without)[0]
    assert touched(without, before) == {"b"}
    again = fleet_of(files, without)
    assert (again.problems, again.blocked) == ((), frozenset())
    assert touched(again, without) == {"a", "b"}


def test_other_clusters_touch_everything():
    before = build_fleet(read(a=document("Application", "a")))

    assert touched(with_clusters(before, [cluster_document("c", {})]), before) is None
    assert touched(before, None) is None


def test_names_are_guessed_for_the_same_slip_everywhere_but_not_for_thousands_of_slips():
    """Each guess looks at every name there is: thousands times thousands would take hours."""
    right = document("Application", "cert-manager")
    same = [document("Application", f"a{n}", "{dependsOn: [cert-manger]}") for n in range(300)]
    each = [document("Application", f"a{n}", f"{{dependsOn: [cert-manag{n}]}}") for n in range(300)]

    def guessed(texts):
        found = errors(build_fleet(read(apps=[*texts, right])))
        assert len(found) == 300
        return sum("did you mean 'cert-manager'" in error for error in found)

    assert guessed(same) == 300
    assert guessed(each) == GUESSES


@given(FILES, FILES)
@example(
    before={"one": [document("Cluster", "a")]},
    after={"one": [document("Application", "a", "{wrong: 1}"), document("Application", "a")]},
)
def test_nothing_disappears_from_a_file_with_an_unclear_error(before, after):
    previous, parsed = build_fleet(read(**before)), read(**after)
    unclear = {item.file for item in parsed if isinstance(item, Rejected) and not item.kind}

    fleet = build_fleet(parsed, previous)

    lost = previous.documents.keys() - fleet.documents.keys()
    assert not {key for key in lost if previous.documents[key].file in unclear}
    assert build_fleet(parsed, fleet).documents == fleet.documents


def test_what_is_read_but_does_not_act_says_so():
    text = "apiVersion: yardarm.dev/v1alpha1\nkind: Notification\nmetadata: {name: x}\nspec: {to: {slack: x}}\n"

    fleet = build_fleet(read_documents(text.encode(), file="fleet.yaml"))

    told = [p for p in fleet.problems if "notifications are not sent yet" in p.message]
    assert [(p.severity, bool(p.place and p.place.line)) for p in told] == [("warning", True)]
    assert not fleet.blocked
