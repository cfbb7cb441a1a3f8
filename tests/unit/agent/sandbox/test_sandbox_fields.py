"""Sets of fields obey the laws of sets, and merging keeps what each side said."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox import fields, merge, schema

NAMES = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"y"'])


def _clean(tree: dict) -> dict:
    """Without branches that hold only their own mark."""
    return {k: ({} if set(v) == {"."} else _clean(v)) for k, v in tree.items()}


SETS = st.recursive(
    st.just({}), lambda below: st.dictionaries(st.one_of(NAMES, st.just(".")), below, max_size=4), max_leaves=12
).map(lambda tree: _clean({k: v for k, v in tree.items() if k != "."}))


def members(tree: dict) -> set:
    return set(fields.paths(tree))


@given(SETS, SETS)
def test_set_algebra(a: dict, b: dict) -> None:
    assert members(fields.union(a, b)) == members(a) | members(b)
    assert members(fields.intersection(a, b)) == members(a) & members(b)
    assert members(fields.difference(a, b)) == members(a) - members(b)


@given(SETS, SETS)
def test_subtrees_go_whole(a: dict, b: dict) -> None:
    kept = {p for p in members(a) if not any(p[: len(q)] == q for q in members(b))}
    assert members(fields.without_subtrees(a, b)) == kept


@given(SETS, SETS)
def test_operands_stay_as_they_were(a: dict, b: dict) -> None:
    before = orjson.dumps([a, b])
    fields.union(a, b)
    fields.difference(a, b)
    fields.intersection(a, b)
    fields.without_subtrees(a, b)
    assert orjson.dumps([a, b]) == before


NODE = schema.Compiler(
    {
        "Item": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "v": {"type": "integer"}, "w": {"type": "integer"}},
        },
        "Thing": {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array", "items": {"$ref": "Item"}, "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                },
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "plain": {"type": "array", "items": {"type": "string"}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "n": {"type": "integer"},
            },
        },
    }
).definition("Thing")  # fmt: skip

ITEM = st.fixed_dictionaries(
    {"name": st.sampled_from("pqrs")}, optional={"v": st.integers(0, 2), "w": st.integers(0, 2)}
)
THING = st.fixed_dictionaries(
    {},
    optional={
        "items": st.lists(ITEM, max_size=4, unique_by=lambda i: i["name"]),
        "tags": st.lists(st.sampled_from("xyz"), unique=True, max_size=3),
        "plain": st.lists(st.sampled_from("xyz"), max_size=2),
        "labels": st.dictionaries(st.sampled_from("kl"), st.sampled_from("12"), min_size=1, max_size=2),
        "n": st.integers(0, 2),
    },
)


@given(THING, THING)
def test_a_merge_says_all_that_was_applied(live: dict, applied: dict) -> None:
    result = merge.merged(live, applied, NODE)
    again = merge.merged(result, applied, NODE)
    assert again == result
    assert members(fields.of(applied, NODE)) <= members(fields.of(result, NODE))
    assert members(fields.of(live, NODE)) <= members(fields.of(result, NODE))


@given(THING, THING)
def test_a_comparison_finds_every_difference(old: dict, new: dict) -> None:
    compared = fields.Comparison(old, new, NODE)
    added, removed = members(compared.added), members(compared.removed)
    before, after = members(fields.of(old, NODE)), members(fields.of(new, NODE))
    assert after - before <= added
    assert before - after <= removed
    assert not added & removed


@given(THING, THING, THING)
def test_what_nobody_owns_any_more_goes_and_what_others_own_stays(first: dict, second: dict, other: dict) -> None:
    live = merge.merged(merge.merged({}, other, NODE), first, NODE)
    own, last, theirs = (fields.of(o, NODE) for o in (second, first, other))
    result = merge.pruned(merge.merged(live, second, NODE), last, [own, theirs], NODE)
    left = members(fields.of(result, NODE))
    assert members(own) <= left
    assert members(theirs) <= left
    assert not (members(last) - members(own) - members(theirs)) & {p for p in left if _is_leaf(p)}


def _is_leaf(path: tuple[str, ...]) -> bool:
    return path[-1] in ("f:v", "f:w", "f:n", "f:k", "f:l") or path[-1].startswith("v:")


def test_paths_read_like_the_real_ones() -> None:
    path = ("f:spec", "f:containers", 'k:{"name":"c"}', "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name")
    assert fields.path_text(path) == '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"].name'
    assert fields.path_text(("f:tags", 'v:"x"')) == '.tags[="x"]'
