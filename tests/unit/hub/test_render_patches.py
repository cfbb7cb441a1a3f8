"""Patches: targets, JSON 6902 and strategic merge; where kubectl is installed, it is asked for its opinion."""

from __future__ import annotations

import contextlib
import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hub.render.job import File, Patch, PlainJob, RenderError, Target
from hub.render.patches import json6902
from hub.render.plain import render
from shared.errors import DocumentError

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "web:1",
                        "args": ["a", "b"],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "admin"}],
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    }
                ],
                "volumes": [{"name": "v", "emptyDir": {}}],
                "tolerations": [{"key": "a"}],
            }
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP", "name": "u"}, {"port": 443}]},
}
WIDGET = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {"name": "w", "namespace": "other"},
    "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
}


def patched(*patches: Patch, objects: tuple[dict[str, Any], ...] = (DEPLOYMENT, SERVICE, WIDGET)) -> dict[str, Any]:
    files = tuple(File(f"{number}.json", orjson.dumps(each)) for number, each in enumerate(objects))
    rendered = render(PlainJob("web", "shop", files, patches=patches))
    return {each.ref.kind: orjson.loads(each.line) for each in rendered.objects}


def spec(kind: str, change: dict[str, Any], original: dict[str, Any]) -> Any:
    named = {"apiVersion": original["apiVersion"], "kind": kind, "metadata": {"name": original["metadata"]["name"]}}
    return patched(Patch(named | {"spec": change}))[kind]["spec"]


def pod(change: dict[str, Any]) -> Any:
    return spec("Deployment", {"template": {"spec": change}}, DEPLOYMENT)["template"]["spec"]


def container(**change: Any) -> Any:
    return pod({"containers": [{"name": "main", **change}]})["containers"][0]


def test_a_strategic_merge_goes_by_the_keys_of_the_lists():
    assert container(image="web:2")["args"] == ["a", "b"]
    assert container(args=["c"])["args"] == ["c"]
    assert container(env=[{"name": "B", "value": "3"}, {"name": "C", "value": "4"}])["env"] == [
        {"name": "C", "value": "4"},
        {"name": "A", "value": "1"},
        {"name": "B", "value": "3"},
    ]
    assert container(env=[{"name": "A", "$patch": "delete"}])["env"] == [{"name": "B", "value": "2"}]
    assert container(ports=[{"containerPort": 81, "name": "x"}])["ports"] == [
        {"containerPort": 80},
        {"containerPort": 81, "name": "x"},
    ]
    assert container(volumeMounts=[{"mountPath": "/v", "readOnly": True}])["volumeMounts"] == [
        {"name": "v", "mountPath": "/v", "readOnly": True}
    ]
    assert pod({"volumes": [{"name": "v", "emptyDir": None, "hostPath": {"path": "/x"}}]})["volumes"] == [
        {"name": "v", "hostPath": {"path": "/x"}}
    ]
    assert pod({"tolerations": [{"key": "b"}]})["tolerations"] == [{"key": "b"}]
    assert [each["name"] for each in pod({"containers": [{"name": "side"}]})["containers"]] == ["side", "main"]


def test_a_service_tells_ports_of_one_number_apart_by_protocol():
    change = {"ports": [{"port": 80, "protocol": "UDP", "name": "dns"}]}
    assert spec("Service", change, SERVICE)["ports"][1] == {"port": 80, "protocol": "UDP", "name": "dns"}


def test_null_removes_and_directives_replace_and_delete():
    assert "replicas" not in spec("Deployment", {"replicas": None}, DEPLOYMENT)
    assert pod({"containers": [{"$patch": "replace"}, {"name": "only"}]})["containers"] == [{"name": "only"}]
    assert pod({"$patch": "replace", "nodeName": "n"}) == {"nodeName": "n"}
    gone = patched(Patch({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "$patch": "delete"}))
    assert "Service" not in gone


def test_lists_of_custom_resources_replace():
    change = {"spec": {"containers": [{"name": "c"}]}}
    assert patched(Patch(change, Target(kind="Widget")))["Widget"]["spec"]["containers"] == [{"name": "c"}]


def test_an_item_without_its_key_is_an_error():
    with pytest.raises(RenderError, match=r"an item of spec\.template\.spec\.containers in the patch has no name"):
        pod({"containers": [{"image": "x"}]})


REPLICAS = [{"op": "add", "path": "/metadata/annotations", "value": {"patched": "yes"}}]


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        (Target(), {"Deployment", "Service", "Widget"}),
        (Target(kind="Deployment"), {"Deployment"}),
        (Target(kind="Deploy.*|Service"), {"Deployment", "Service"}),
        (Target(name="we"), set()),
        (Target(name="we.*"), {"Deployment", "Service"}),
        (Target(group="apps", version="v1"), {"Deployment"}),
        (Target(namespace="other"), {"Widget"}),
        (Target(label_selector="app=web"), {"Deployment"}),
        (Target(label_selector="app==web,tier!=back"), {"Deployment"}),
        (Target(label_selector="tier in (front, middle), !legacy"), {"Deployment"}),
        (Target(label_selector="tier notin (front)"), {"Service", "Widget"}),
        (Target(label_selector="app"), {"Deployment"}),
        (Target(label_selector="!app"), {"Service", "Widget"}),
    ],
)
def test_a_target_selects_as_in_kustomize(target, kinds):
    patch = Patch(REPLICAS, target)
    if not kinds:
        with pytest.raises(RenderError, match="matches no object"):
            patched(patch)
        return
    result = patched(patch)
    assert {kind for kind, each in result.items() if "annotations" in each["metadata"]} == kinds


def test_patches_may_be_yaml_text_and_follow_each_other():
    text = "- op: replace\n  path: /spec/replicas\n  value: 3\n"
    again = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {paused: yes}\n"
    result = patched(Patch(text, Target(kind="Deployment")), Patch(again))
    assert (result["Deployment"]["spec"]["replicas"], result["Deployment"]["spec"]["paused"]) == (3, True)


@pytest.mark.parametrize(
    ("patch", "complaint"),
    [
        (Patch("just text", Target()), "neither a map"),
        (
            Patch("a: [", Target(), "override 1 of web"),
            r"override 1 of web: not valid YAML|override 1 of web: did not find",
        ),
        (Patch({"spec": {}}), "names no object"),
        (Patch([], None), "names no object"),
        (Patch(REPLICAS, Target(name="(")), "is not a regular expression"),
        (Patch(REPLICAS, Target(label_selector="a=b=c")), "is not a label selector"),
        (Patch({"$patch": "explode"}, Target(kind="Service")), "Service web: .*explode is not known"),
        (Patch([{"op": "remove", "path": "/spec/nothing"}], Target(kind="Service")), "there is no 'nothing'"),
        (Patch([{"op": "replace", "path": "", "value": 3}], Target(kind="Service")), "leaves no object"),
    ],
)
def test_a_wrong_patch_is_one_clear_error(patch, complaint):
    with pytest.raises(RenderError, match=complaint):
        patched(patch)


# The examples of RFC 6902, appendix A, that are about single operations.
@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["bar", "q", "baz"]}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["a"]}], {"foo": ["bar", ["a"]]}),
        ({"baz": "q", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
        ({"baz": "q"}, [{"op": "replace", "path": "/baz", "value": "b"}], {"baz": "b"}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"f": [1, 2, 3]}, [{"op": "move", "from": "/f/0", "path": "/f/2"}], {"f": [2, 3, 1]}),
        ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
        ({"a": ["x", 2]}, [{"op": "test", "path": "/a/1", "value": 2}], {"a": ["x", 2]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"a/b": 1}, [{"op": "remove", "path": "/a~1b"}], {}),
        ({"foo": None}, [{"op": "replace", "path": "/foo", "value": 1}], {"foo": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ],
)
def test_json6902_as_the_standard_has_it(document, operations, result):
    before = copy.deepcopy(document)
    assert json6902(document, operations) == result
    assert document == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "no/slash", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "remove", "path": "/x"},
        {"op": "remove", "path": "/list/-"},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "test", "path": "/list/0", "value": 9},
        {"op": "move", "from": "/list", "path": "/list/0"},
        {"op": "copy", "path": "/x"},
        {"op": "explode", "path": "/x"},
        {"path": "/x"},
        "remove",
    ],
)
def test_an_operation_that_does_not_fit_is_an_error(operation):
    with pytest.raises(DocumentError, match="operation 1 on"):
        json6902({"list": [1]}, [operation])


values = st.recursive(
    st.none() | st.integers(-5, 5) | st.text("ab~/", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["spec", "a", "b"]), values, max_size=3), st.lists(st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
     "path": st.sampled_from(["/a", "/a/0", "/a/b", "/spec/-", "/b", "", "/a/~0"]),
     "from": st.sampled_from(["/a", "/b", "/spec/a", ""]), "value": values}), max_size=4))  # fmt: skip
def test_operations_never_change_what_they_are_given(document, operations):
    before = copy.deepcopy(document)
    with contextlib.suppress(DocumentError):
        json6902(document, operations)
    assert document == before


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Deployment", {"replicas": None, "paused": True}),
        ("Deployment", {"template": {"spec": {"containers": [{"name": "side", "image": "s"}, {"name": "main", "args": ["c"]}]}}}),
        ("Deployment", {"template": {"spec": {"containers": [{"name": "main", "env": [
            {"name": "C", "value": "3"}, {"name": "A", "value": "9"}, {"name": "B", "$patch": "delete"}]}]}}}),
        ("Deployment", {"template": {"spec": {"containers": [{"name": "main", "ports": [{"containerPort": 82}, {"containerPort": 80, "name": "x"}],
            "volumeMounts": [{"name": "n", "mountPath": "/n"}]}], "tolerations": [{"key": "b"}]}}}),
        ("Service", {"ports": [{"port": 80, "protocol": "UDP", "name": "changed"}, {"port": 90, "protocol": "TCP"}]}),
        ("Service", {"ports": [{"port": 443, "name": "tls"}]}),
        ("Widget", {"containers": [{"name": "b", "x": 1}]}),
    ],
)  # fmt: skip
def test_strategic_merge_agrees_with_kustomize(tmp_path: Path, kind, change):
    originals = {each["kind"]: each for each in (DEPLOYMENT, SERVICE, WIDGET)}
    original = originals[kind]
    identity = {"apiVersion": original["apiVersion"], "kind": kind, "metadata": original["metadata"]}
    (tmp_path / "object.json").write_bytes(orjson.dumps(original))
    (tmp_path / "patch.json").write_bytes(orjson.dumps(identity | {"spec": change}))
    (tmp_path / "kustomization.yaml").write_text("resources: [object.json]\npatches: [{path: patch.json}]\n")
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, check=True, text=True)
    assert patched(Patch(identity | {"spec": change}), objects=(original,))[kind] == yaml.safe_load(done.stdout)
