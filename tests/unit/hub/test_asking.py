"""Answers of agents to what a change would do, put together for people."""

from hub.asking import asked, together
from hub.domain.preview.model import Side
from hub.domain.preview.states import About, Failed, Made, State
from shared.asking import Answer, Expected
from shared.diff import SECRET, SECRET_DIFFERS
from shared.messages import FieldDrift, Policy
from shared.model import ObjectRef, UnitKey

WEB = ObjectRef("v1", "ConfigMap", "web", "web")
KEYS = ObjectRef("v1", "Secret", "web", "keys")


def unit(cluster: str, application: str = "web") -> UnitKey:
    return UnitKey(cluster, "web", application)


def changed(at: float, want: str = "2", ref: ObjectRef = WEB, have: str = "1") -> Answer:
    fields = (FieldDrift("/data/value", want, have, "somebody", at),)
    return Answer(1, True, 3, (Expected(ref, "changed", fields),))


def test_equal_answers_are_one_whenever_the_fields_were_set():
    answers = {
        unit("b"): changed(1.0),
        unit("a"): changed(2.0),
        unit("c"): changed(1.0, "3"),
        unit("a", "api"): changed(1.0),
    }

    told = [(each.application, each.clusters, each.objects[0].fields[0].after) for each in together(answers)]

    assert told == [("api", ("a",), "2"), ("web", ("a", "b"), "2"), ("web", ("c",), "3")]


def test_the_values_of_a_secret_that_differ_are_told_apart_and_not_shown():
    (live,) = together({unit("a"): changed(1.0, SECRET, KEYS, SECRET)})

    (field,) = live.objects[0].fields
    assert (field.before, field.after) == (SECRET, SECRET_DIFFERS)


def test_only_clusters_on_which_something_known_changes_are_asked():
    line = b"{}"
    about = {"web": About(Policy(drift="report"))}
    made = {"old": Made({}), "new": Made({WEB.key: (WEB, line)}), "broken": Failed(())}
    before = State(Side("a"), {"web": {"same": "old", "moves": "old", "breaks": "old"}}, made, about)
    after = State(Side("b"), {"web": {"same": "old", "moves": "new", "comes": "new", "breaks": "broken"}}, made, about)

    found = list(asked(before, after, {"web": "shop"}.__getitem__))

    assert [(each.unit.cluster, each.unit.namespace, each.lines) for each in found] == [
        ("comes", "shop", (line,)),
        ("moves", "shop", (line,)),
    ]
    assert found[0].policy.drift == "report"


def test_a_renamed_application_is_not_asked_about():
    made = {"old": Made({}), "new": Made({})}
    before = State(Side("a"), {"web": {"c": "old"}}, made, {"web": About(Policy())})
    after = State(Side("b"), {"site": {"c": "new"}}, made, {"site": About(Policy())}, renamed={"site": "web"})

    assert not list(asked(before, after, lambda _: "shop"))
