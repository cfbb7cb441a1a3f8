"""Which objects of a new bundle are not looked at: exactly those that nothing is new about."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.desired import prepare
from agent.domain.resting import calm, rested
from shared.model import Health, HealthStatus, UnitKey

UNIT = UnitKey("c1", "web", "shop")
NAMES = ("a", "b", "c")


def configmap(name, value="1", **annotations):
    metadata = {"name": name} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


def desired(*manifests):
    found, refused = prepare(manifests, UNIT, "set", lambda _: True)
    assert not refused
    return {each.ref.key: each for each in found}


def key(name):
    return ("", "ConfigMap", "web", name)


def healthy(_key):
    return HealthStatus(Health.HEALTHY)


OLD = desired(*map(configmap, NAMES))
APPLIED = {each: found.digest for each, found in OLD.items()}


def test_what_is_as_it_was_is_calm_and_what_is_new_is_not():
    new = {**OLD, **desired(configmap("b", "2"), configmap("d"))}

    assert calm(rested(OLD, APPLIED, (), healthy), new, APPLIED, ()) == {key("a"), key("c")}


def test_what_left_the_bundle_is_not_calm():
    new = {each: OLD[each] for each in (key("a"), key("b"))}

    assert calm(rested(OLD, APPLIED, (), healthy), new, APPLIED, ()) == {key("a"), key("b")}


def test_objects_that_name_others_are_all_looked_at():
    new = {**OLD, **desired(configmap("d", **{"config.kubernetes.io/depends-on": "/namespaces/web/ConfigMap/a"}))}

    assert not calm(rested(OLD, APPLIED, (), healthy), new, APPLIED, ())


subsets = st.sets(st.sampled_from([key(name) for name in NAMES]))
HEALTH = st.dictionaries(st.sampled_from([key(name) for name in NAMES]), st.sampled_from(list(Health)))


@given(doubtful=subsets, changed=subsets, heard=subsets, unapplied=subsets, cleared=subsets, judged=HEALTH)
def test_any_doubt_is_enough(doubtful, changed, heard, unapplied, cleared, judged):
    """Nothing is calm that is doubtful, changed, heard of, not applied, forgotten or not up; all else is."""
    before = {each: digest for each, digest in APPLIED.items() if each not in unapplied}
    after = {each: digest for each, digest in before.items() if each not in cleared}
    new = {each: msgspec.structs.replace(found) if each in changed else found for each, found in OLD.items()}

    still = rested(OLD, before, doubtful, lambda each: HealthStatus(judged[each]) if each in judged else None)
    found = calm(still, new, after, heard)

    up = {each for each, health in judged.items() if health in (Health.HEALTHY, Health.SUSPENDED)}
    assert found == up - doubtful - changed - heard - unapplied - cleared
