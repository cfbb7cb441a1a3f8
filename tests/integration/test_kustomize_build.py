"""Builds by the real programs: what comes out is what they make of the same folder, and nothing else can happen."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.render.job import Additions, File, Image, KustomizeJob, Patch, PlainJob, RenderError, Replicas, Target
from hub.render.kustomize.build import build
from hub.render.plain import render
from shared.manifests import ref_of
from tests.fakes.kustomize import (
    KUSTOMIZE,
    any_command,
    as_kubectl_reads,
    built,
    each_program,
    either,
    job,
    needs_kubectl,
    needs_kustomize,
)

DATA = Path(__file__).parents[1] / "data" / "kustomize"
CASES = sorted(place.name for place in DATA.iterdir())


def objects(job: KustomizeJob) -> dict[tuple[str, ...], Any]:
    rendered = render(PlainJob(application="web", namespace="default", files=build(job).files))
    return {each.ref.key: json.loads(each.line) for each in rendered.objects}


def fields(additions: Additions) -> list[tuple[str, Any]]:
    return [(name, getattr(additions, name)) for name in additions.__struct_fields__]


def keyed(manifests: list[dict[str, Any]]) -> dict[tuple[str, ...], Any]:
    for manifest in manifests:
        if manifest["metadata"].get("annotations") == {}:
            del manifest["metadata"]["annotations"]  # what taking an annotation away leaves behind
    return {ref_of(manifest, "default").key: manifest for manifest in manifests}


def problems(job: KustomizeJob) -> list[str]:
    with pytest.raises(RenderError) as failed:
        build(job)
    return [str(problem) for problem in failed.value.problems]


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: c, image: "nginx:1"}]}}}
"""


@each_program
@pytest.mark.parametrize("case", CASES)
def test_a_build_is_what_the_program_itself_builds(case, command):
    made = b"".join(file.data for file in build(job(DATA / case, "app", command)).files)

    options = ("--load-restrictor", "LoadRestrictionsNone") if case == "outside" else ()
    assert made == built(DATA / case, "app", command, *options)


@needs_kubectl
@either
@pytest.mark.parametrize("case", CASES)
def test_its_objects_are_those_that_kubectl_would_apply(case):
    work = job(DATA / case, "app", any_command())

    assert objects(work) == keyed(as_kubectl_reads(b"".join(file.data for file in build(work).files)))


EDITS = {
    "images": (
        Additions(images=(Image("web", new_tag="9"), Image("zz", new_name="a"), Image("base", digest="sha256:0f"))),
        ["set image web=web:9", "set image zz=a", "set image base@sha256:0f"],
    ),
    "names": (
        Additions(name_prefix="a-", name_suffix="-z", namespace="other"),
        ["set nameprefix a-", "set namesuffix -- -z", "set namespace other"],
    ),
    "replicas": (Additions(replicas=(Replicas("web", 7), Replicas("api", 2))), ["set replicas web=7 api=2"]),
    "labels": (Additions(labels={"x": "1", "a": "own"}), ["add label --force --without-selector x:1 a:own"]),
    "labels-templates": (
        Additions(labels={"x": "1"}, label_templates=True),
        ["add label --force --without-selector --include-templates x:1"],
    ),
    "labels-selectors": (
        Additions(labels={"x": "1", "c": "own"}, label_selectors=True),
        ["add label --force x:1 c:own"],
    ),
    "annotations": (Additions(annotations={"n": "1", "old": "own"}), ["add annotation --force n:1 old:own"]),
    "components": (
        Additions(components=("../extra", "../more")),
        ["add component ../extra", "add component ../more"],
    ),
    "patches": (
        Additions(
            patches=(
                Patch([{"op": "add", "path": "/metadata/labels", "value": {"p": "1"}}], Target(kind="Deployment")),
                Patch(
                    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"type": "NodePort"}}
                ),
            )
        ),
        [
            [
                "add",
                "patch",
                "--kind=Deployment",
                """--patch=[{"op": "add", "path": "/metadata/labels", "value": {"p": "1"}}]""",
            ],
            ["add", "patch", "--patch={apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort}}"],
        ],
    ),
}


@pytest.fixture
def editable(tmp_path):
    component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
    return write(
        tmp_path,
        {
            "base/kustomization.yaml": "resources: [objects.yaml]\nimages: [{name: base, newTag: '3'}]\n",
            "base/objects.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {spec: {initContainers: [{name: b, image: "base:1"}], containers: [{name: c, image: "web:1"}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec: {replicas: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
""",
            "app/kustomization.yml": """
resources: [../base]
namePrefix: old-
namespace: shop
imageTags: [{name: web, newTag: "2"}]
images: [{name: web, newName: other}, {name: a, newName: b}]
replicas: [{name: web, count: 3}]
labels: [{pairs: {a: "1"}}, {pairs: {t: "1"}, includeTemplates: true}, {pairs: {s: "1"}, includeSelectors: true}]
commonLabels: {c: "1"}
commonAnnotations: {old: "1"}
components: [../more]
patches: [{target: {kind: Service}, patch: '[{"op": "add", "path": "/spec", "value": {"ports": [{"port": 80}]}}]'}]
""",
            "extra/kustomization.yaml": component + "configMapGenerator: [{name: extra, literals: [a=b]}]\n",
            "more/kustomization.yaml": component + "nameSuffix: -more\n",
        },
    )


@needs_kustomize
@pytest.mark.parametrize("name", EDITS)
def test_additions_are_what_kustomize_edit_makes_of_them(editable, name):
    additions, commands = EDITS[name]
    made = b"".join(file.data for file in build(job(editable, "app", (KUSTOMIZE, "build"), additions)).files)

    for command in commands:
        words = command.split() if isinstance(command, str) else command
        subprocess.run([KUSTOMIZE, "edit", *words], cwd=editable / "app", check=True, capture_output=True)
    assert made == built(editable, "app", (KUSTOMIZE, "build"))


@needs_kustomize
def test_all_additions_together_are_what_the_edits_make(editable):
    every = {field: value for additions, _ in EDITS.values() for field, value in fields(additions) if value}
    every["labels"], every["label_templates"], every["label_selectors"] = {"x": "1"}, False, False
    made = b"".join(file.data for file in build(job(editable, "app", (KUSTOMIZE, "build"), Additions(**every))).files)

    for name, (_, commands) in EDITS.items():
        for command in commands if not name.startswith("labels") else []:
            words = command.split() if isinstance(command, str) else command
            subprocess.run([KUSTOMIZE, "edit", *words], cwd=editable / "app", check=True, capture_output=True)
    label = ["add", "label", "--force", "--without-selector", "x:1"]
    subprocess.run([KUSTOMIZE, "edit", *label], cwd=editable / "app", check=True, capture_output=True)
    assert made == built(editable, "app", (KUSTOMIZE, "build"))


@either
def test_nothing_is_written_beside_the_files_of_the_job_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    write(tmp_path / "repo", {"app/kustomization.yaml": "resources: [d.yaml]", "app/d.yaml": DEPLOYMENT})
    work = job(tmp_path / "repo", "app", any_command())

    build(work)

    assert list((tmp_path / "work").iterdir()) == []
    with pytest.raises(ValueError, match="not a path inside"):
        build(replace(work, files=(*work.files, File("../out.yaml", b"a: 1"))))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repo", "work"]


@either
def test_links_inside_the_repository_are_built_as_they_are(tmp_path):
    root = write(
        tmp_path,
        {
            "real/base/kustomization.yaml": "resources: [../sibling, own.yaml]",
            "real/base/own.yaml": DEPLOYMENT,
            "real/sibling/kustomization.yaml": "configMapGenerator: [{name: s, literals: [a=b]}]",
            "app/kustomization.yaml": "resources: [base]\nconfigMapGenerator: [{name: f, files: [linked.txt]}]",
            "app/folder/file.txt": "text",
            "tools/kustomization.yaml": "namePrefix: linked-\nresources: [../real/sibling]",
            "linked/README.md": "",
        },
    )
    (root / "app/base").symlink_to("../real/base")
    (root / "app/linked.txt").symlink_to("folder/file.txt")
    (root / "linked/kustomization.yaml").symlink_to("../tools/kustomization.yaml")
    (root / "way").symlink_to("app")

    for path in ("app", "way"):
        assert b"".join(each.data for each in build(job(root, path, any_command())).files) == built(
            root, path, any_command()
        )
    # Kustomize itself refuses a kustomization file that is a link out of its directory.
    assert "linked-s-" in str(objects(job(root, "linked", any_command())).keys())
    added = objects(job(root, "linked", any_command(), Additions(name_prefix="added-")))
    assert "added-s-" in str(added.keys())
