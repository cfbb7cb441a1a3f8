"""Quantities, selectors and patches, apart from any server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox import patches, protobuf, quantity, schema, selectors
from agent.sandbox.problems import ApiError


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("1000m", "1"), ("1", "1"), ("0.5", "500m"), ("1500m", "1500m"), ("1000", "1k"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"),
        ("1e3", "1e3"), ("100M", "100M"), ("1073741824", "1073741824"), ("0", "0"), ("0Mi", "0"), ("512Ki", "512Ki"),
        ("-1000m", "-1"), ("2000Mi", "2000Mi"), ("0.1n", "1n"), ("1E", "1E"), ("12e6", "12e6"), (".5", "500m"), ("5.", "5"),
    ],
)  # fmt: skip
def test_canonical_quantities(written: str, canonical: str) -> None:
    assert quantity.canonical(written) == canonical


@given(st.decimals(0, 10**9, places=3), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_canonical_form_is_stable_and_keeps_the_value(number: object, suffix: str) -> None:
    text = f"{number}{suffix}"
    canonical = quantity.canonical(text)
    assert quantity.canonical(canonical) == canonical
    assert 0 <= quantity.parse(canonical) - quantity.parse(text) < 1


def test_no_quantity() -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.canonical("1 GB")


@pytest.mark.parametrize(
    ("selector", "labels", "wanted"),
    [
        ("a", {"a": ""}, True), ("!a", {"a": ""}, False), ("a=b", {"a": "b"}, True), ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True), ("a in (b, c)", {"a": "c"}, True), ("a notin (b)", {}, True), ("a in (b),d", {"a": "b"}, False),
        ("a=", {"a": ""}, True), ("x.io/y=z", {"x.io/y": "z"}, True), ("a>1", {"a": "2"}, True), ("a<1", {"a": "x"}, False),
    ],
)  # fmt: skip
def test_label_selectors(selector: str, labels: dict[str, str], wanted: bool) -> None:
    matcher = selectors.labels(selector)
    assert matcher is not None
    assert matcher(labels) is wanted


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
)
def test_merge_patch_reaches_its_target(source: dict, target: dict) -> None:
    patch = {k: target.get(k) for k in {**source, **target} if source.get(k) != target.get(k)}
    assert patches.merge_patch(source, patch) == target


def test_json_patch_operations() -> None:
    target = {"a": [1, 2], "b/c": {"d~": 1}}
    operations = [
        {"op": "add", "path": "/a/-", "value": 3}, {"op": "add", "path": "/a/0", "value": 0},
        {"op": "remove", "path": "/a/1"}, {"op": "move", "from": "/b~1c/d~0", "path": "/e"},
        {"op": "copy", "from": "/a", "path": "/f"}, {"op": "replace", "path": "/a", "value": []},
    ]  # fmt: skip
    assert patches.json_patch(target, operations) == {"a": [], "b/c": {}, "e": 1, "f": [0, 2, 3]}
    assert target == {"a": [1, 2], "b/c": {"d~": 1}}
    with pytest.raises(ApiError):
        patches.json_patch(target, [{"op": "replace", "path": "/nope", "value": 1}])


def test_strategic_merge_directives() -> None:
    node = schema.builtin().definition("io.k8s.api.core.v1.PodSpec")
    live = {
        "containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}],
        "nodeSelector": {"x": "1", "y": "2"},
    }
    patch = {
        "containers": [{"name": "c", "image": "2"}, {"name": "a", "$patch": "delete"}],
        "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}], "nodeSelector": {"$patch": "replace", "z": "3"},
    }  # fmt: skip
    after = patches.strategic_merge(live, patch, node)
    assert after == {
        "containers": [{"name": "c", "image": "2"}, {"name": "b", "image": "1"}],
        "nodeSelector": {"z": "3"},
    }


def test_protobuf_of_a_namespace() -> None:
    name = b"\n\x04demo"
    metadata = b"\n" + bytes([len(name)]) + name
    head = b"\n\x02v1\x12\tNamespace"
    raw = b"k8s\x00\n" + bytes([len(head)]) + head + b"\x12" + bytes([len(metadata)]) + metadata
    decoded = protobuf.decode(raw, "io.k8s.api.core.v1.Namespace")
    assert decoded == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}
    with pytest.raises(ApiError):
        protobuf.decode(raw[:-3] + b"\xff", "io.k8s.api.core.v1.Namespace")
    with pytest.raises(ApiError):
        protobuf.decode(b"{}", "io.k8s.api.core.v1.Namespace")
