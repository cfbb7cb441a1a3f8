"""shared.diff: what differs, where, and nothing of a Secret."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.diff import SECRET, SECRET_DIFFERS, Difference, diff, masked, masked_difference, masked_pair, same

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text("abc/~*", max_size=3)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "name", "port", "protocol"]), inner, max_size=3)
    ),
)


def paths(found: list[Difference]) -> list[str]:
    return [item.path for item in found]


def triples(found: list[Difference]) -> list[tuple[str, Any, Any]]:
    return [(item.path, item.want, item.have) for item in found]


@given(TREES)
def test_nothing_differs_from_itself(tree: Any) -> None:
    assert diff(tree, tree) == []


@given(TREES, TREES)
def test_a_difference_is_found_exactly_when_there_is_one(want: Any, have: Any) -> None:
    assert bool(diff(want, have)) == (not same(want, have))


@given(TREES, TREES)
def test_each_difference_can_be_ignored_by_its_own_path(want: Any, have: Any) -> None:
    for found in diff(want, have):
        assert found.path not in paths(diff(want, have, [found.path]))


@given(TREES, TREES)
def test_ignoring_the_whole_object_ignores_everything(want: Any, have: Any) -> None:
    assert diff(want, have, [""]) == []


@given(TREES, TREES)
def test_both_directions_find_the_same_places(want: Any, have: Any) -> None:
    assert sorted(paths(diff(want, have))) == sorted(paths(diff(have, want)))


def test_list_items_are_named_by_what_identifies_them() -> None:
    want = {"containers": [{"name": "app", "image": "a:1"}, {"name": "log", "image": "l:1"}]}
    have = {"containers": [{"name": "app", "image": "a:2"}, {"name": "log", "image": "l:1"}]}
    assert triples(diff(want, have)) == [("/containers/name=app/image", "a:1", "a:2")]


def test_an_item_more_is_one_difference() -> None:
    sidecar = {"name": "proxy", "image": "p"}
    have = {"containers": [sidecar, {"name": "app"}]}
    assert triples(diff({"containers": [{"name": "app"}]}, have)) == [("/containers/name=proxy", None, sidecar)]


def test_ports_are_told_apart_by_number_and_protocol() -> None:
    want = [{"port": 53, "protocol": "UDP", "x": 1}, {"port": 53, "protocol": "TCP"}]
    have = [{"port": 53, "protocol": "UDP", "x": 2}, {"port": 53, "protocol": "TCP"}]
    assert paths(diff(want, have)) == ["/port=53,protocol=UDP/x"]


def test_another_order_of_named_items_is_a_difference_of_the_list() -> None:
    found = diff([{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}])
    assert triples(found) == [("", ["name=a", "name=b"], ["name=b", "name=a"])]


def test_slashes_in_names_are_escaped_and_can_be_ignored() -> None:
    want, have = {"annotations": {"example.com/a": "1"}}, {"annotations": {"example.com/a": "2"}}
    assert paths(diff(want, have)) == ["/annotations/example.com~1a"]
    assert diff(want, have, ["/annotations/example.com~1a"]) == []


def test_a_star_stands_for_one_step_and_an_index_or_name_for_a_list_item() -> None:
    want, have = {"c": [{"name": "app", "image": "1"}]}, {"c": [{"name": "app", "image": "2"}]}
    for pointer in ("/c/*/image", "/c/0/image", "/c/app/image", "/c/name=app/image", "/c/*", "/c"):
        assert diff(want, have, [pointer]) == [], pointer
    for pointer in ("/*", "/c/1/image", "/c/*/tag", "/image"):
        assert bool(diff(want, have, [pointer])) == (pointer != "/*"), pointer


def test_an_ignored_part_of_something_missing_is_ignored() -> None:
    assert diff({}, {"annotations": {"a": "1"}}, ["/annotations/a"]) == []
    left = diff({}, {"annotations": {"a": "1", "b": "2"}}, ["/annotations/a"])
    assert triples(left) == [("/annotations", None, {"b": "2"})]


def test_true_is_not_one() -> None:
    assert paths(diff({"a": True}, {"a": 1})) == ["/a"]
    assert diff({"a": 1}, {"a": 1.0}) == []


def test_null_is_missing() -> None:
    assert diff({"a": None, "b": [{"c": 1}]}, {"b": [{"c": 1, "d": None}]}) == []


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}


def test_secret_values_show_only_whether_they_are_equal() -> None:
    want, have = masked_pair(secret(a="one", b="two"), secret(a="one", b="xyz"))
    assert want["data"] == {"a": SECRET, "b": SECRET}
    assert have["data"] == {"a": SECRET, "b": SECRET_DIFFERS}


def test_a_difference_of_secrets_names_the_key_and_hides_both_values() -> None:
    shown = [masked_difference(item) for item in diff(secret(a="one", b="two"), secret(a="xyz", c="new"))]
    assert triples(shown) == [("/data/a", SECRET, SECRET), ("/data/b", SECRET, None), ("/data/c", None, SECRET)]


def test_kubectls_copy_of_a_secret_is_not_shown() -> None:
    copy = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"a":"hunter2"}}'}
    have = {**secret(a="x"), "metadata": {"name": "s", "annotations": copy}}
    assert "hunter2" not in str(masked(have))
    for item in diff(secret(a="x"), have):
        assert "hunter2" not in str(masked_difference(item))
    for item in diff(None, have):
        assert "hunter2" not in str(masked_difference(item))


@given(st.text(min_size=4), st.text(min_size=4), st.sampled_from(["data", "stringData"]))
def test_no_secret_value_is_ever_shown(one: str, two: str, part: str) -> None:
    base = {"apiVersion": "v1", "kind": "Secret"}
    marker = f"<{one}>", f"<{two}>"
    want, have = {**base, part: {"k": marker[0]}}, {**base, part: {"k": marker[1]}}
    shown = [
        masked(want),
        *masked_pair(want, have),
        *map(masked_difference, diff(want, have)),
        masked({**base, part: marker[0]}),
    ]
    shown += [masked_difference(item) for item in diff(want, base)] + [
        masked_difference(item) for item in diff(want, None)
    ]
    assert not any(text in repr(item) for text in marker for item in shown if text not in (SECRET, SECRET_DIFFERS))
