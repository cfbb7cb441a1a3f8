"""Images and replicas on objects from anywhere: as Kustomize puts them in place, which is asked where it is installed."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.domain.yamldoc import load_documents
from hub.render.images import apply_images, matches, replaced, with_image
from hub.render.job import File, Image, Replicas
from hub.render.plain import Found
from hub.render.replicas import apply_replicas, with_replicas
from shared.errors import DocumentError
from tests.fakes.kustomize import any_command, built, either

DATA = Path(__file__).parents[2] / "data" / "kustomize"


def found(*manifests: dict[str, Any]) -> list[Found]:
    file = File("a.yaml", b"a: 1")
    (document,) = load_documents(b"a: 1", file="a.yaml")
    return [Found(manifest, document, file) for manifest in manifests]


def pod(*images: str) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}}


@pytest.mark.parametrize(
    ("reference", "image", "result"),
    [
        ("nginx", Image("nginx", new_tag="2"), "nginx:2"),
        ("nginx:1", Image("nginx", new_tag="2"), "nginx:2"),
        ("nginx:1@sha256:aa", Image("nginx", new_tag="2"), "nginx:2"),
        ("nginx:1", Image("nginx", digest="sha256:bb"), "nginx@sha256:bb"),
        ("nginx:1", Image("nginx", new_tag="2", digest="sha256:bb"), "nginx:2@sha256:bb"),
        ("nginx:1@sha256:aa", Image("nginx", new_name="apache"), "apache:1@sha256:aa"),
        ("host:5000/team/api:v1", Image("host:5000/team/api", new_name="api", new_tag="v2"), "api:v2"),
        ("host:5000/team/api", Image("host:5000/team/api", new_tag="v2"), "host:5000/team/api:v2"),
        ("nginx", Image("nginx"), "nginx"),
    ],
)
def test_the_parts_of_a_reference(reference, image, result):
    assert matches(image.name, reference)
    assert replaced(reference, image) == result


def test_other_images_stay():
    for reference in ("docker.io/nginx:1", "nginx-extra", "nginx/nginx", "", "nginx:1@md5:aa"):
        assert not matches("nginx", reference)
    manifest = pod("docker.io/nginx:1", "web")
    assert with_image(manifest, Image("nginx", new_tag="2")) is manifest


def test_a_name_that_is_no_pattern_is_told_and_the_rest_goes_on():
    problems: list = []

    (done,) = apply_images(found(pod("web:1")), [Image("(", new_tag="2"), Image("web", new_tag="2")], problems)

    assert done.manifest == pod("web:2")
    assert [problem.severity for problem in problems] == ["error"]
    assert "is not a regular expression" in problems[0].message


names = st.sampled_from(["nginx", "host:5000/team/api", "docker.io/library/nginx", "web", "a.b/c"])
tags = st.sampled_from(["", "1", "v1.2.3", "latest"])
digests = st.sampled_from(["", "sha256:0123", "sha256:ab"])
images = st.builds(Image, names, names | st.just(""), tags, digests)


def reference(name: str, tag: str, digest: str) -> str:
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


references = st.builds(reference, names, tags, digests)
values = st.recursive(
    references | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["containers", "initContainers", "image", "spec", "volumes", "reference", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(values, images)
def test_images_change_nothing_but_images(value, image):
    manifest = {"apiVersion": "v1", "kind": "Thing", "spec": value}
    before = copy.deepcopy(manifest)

    once = with_image(manifest, image)

    assert manifest == before
    assert shape(once) == shape(manifest)
    if not re.fullmatch(image.name, image.new_name or image.name):
        assert with_image(once, image) == once


def shape(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value) if key in ("image", "reference") else value


@either
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(references, min_size=1, max_size=6), st.lists(images, min_size=1, max_size=3, unique_by=lambda x: x.name)
)
def test_images_are_what_kustomize_makes_of_them(tmp_path, wanted, chosen):
    manifest = pod(*wanted)
    manifest["spec"]["initContainers"] = [{"name": "i", "image": wanted[0]}]
    (tmp_path / "a.yaml").write_text(json.dumps({**manifest, "deep": [{"containers": [{"image": wanted[-1]}]}]}))
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps(
            {
                "resources": ["a.yaml"],
                "images": [
                    {"name": each.name, "newName": each.new_name, "newTag": each.new_tag, "digest": each.digest}
                    for each in chosen
                ],
            }
        )
    )
    problems: list = []

    (done,) = apply_images(found(json.loads((tmp_path / "a.yaml").read_text())), chosen, problems)

    assert done.manifest == yaml.safe_load(built(tmp_path, ".", any_command()))
    assert not problems


@either
@pytest.mark.parametrize("case", ["images", "replicas"])
def test_the_examples_come_out_as_kustomize_has_them(case):
    options = yaml.safe_load((DATA / case / "app/kustomization.yaml").read_text())
    manifests = list(yaml.safe_load_all((DATA / case / "app/objects.yaml").read_text()))
    chosen = [
        Image(each["name"], each.get("newName", ""), each.get("newTag", ""), each.get("digest", ""))
        for each in options.get("images", ())
    ]
    counts = [Replicas(each["name"], each["count"]) for each in options.get("replicas", ())]
    problems: list = []

    done = apply_replicas(apply_images(found(*manifests), chosen, problems), counts, problems)

    def key(manifest: dict[str, Any]) -> str:
        return f"{manifest['kind']}/{manifest['metadata']['name']}"

    expected = yaml.safe_load_all(built(DATA / case, "app", any_command()))
    assert sorted((each.manifest for each in done), key=key) == sorted(expected, key=key)
    assert not problems


def test_replicas_of_nothing_are_told():
    problems: list = []
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {}}

    done = apply_replicas(found(manifest), [Replicas("wbe", 3), Replicas("web", 2)], problems)

    assert done[0].manifest["spec"] == {"replicas": 2}
    assert manifest["spec"] == {}
    (problem,) = map(str, problems)
    assert problem.startswith("error: replicas of an override: there is no workload 'wbe' (name one of Deployment,")
    with pytest.raises(DocumentError, match="not a map"):
        with_replicas({"kind": "Deployment", "spec": [1]}, 2)
