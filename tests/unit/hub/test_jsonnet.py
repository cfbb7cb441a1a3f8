"""Jsonnet files: what they read is told from their text, and only that can be read when they are evaluated."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.render.job import File, JsonnetArgument, JsonnetJob, PlainJob, RenderError
from hub.render.jsonnet.closure import candidates, closure, imports
from hub.render.jsonnet.evaluate import evaluate
from hub.render.plain import render
from tests.fakes.foldertree import FolderTree

MAIN = "app/main.jsonnet"


def job(files: dict[str, str], *entries: str, folders: tuple[str, ...] = ("app",), **more: object) -> JsonnetJob:
    listed = tuple(File(path, text.encode()) for path, text in files.items())
    return JsonnetJob("web", listed, entries or (MAIN,), folders, **more)


def objects(job: JsonnetJob) -> list[dict[str, object]]:
    rendered = render(PlainJob(application="web", namespace="shop", files=(), made=evaluate(job).files))
    return [json.loads(line) for line in rendered.lines]


def errors(job: JsonnetJob) -> list[str]:
    with pytest.raises(RenderError) as failed:
        evaluate(job)
    assert not failed.value.transient
    assert {problem.application for problem in failed.value.problems} == {"web"}
    return [str(problem) for problem in failed.value.problems]


CONFIG = """
local config(name, value) = {apiVersion: "v1", kind: "ConfigMap", metadata: {name: name}, data: {value: value}};
"""


def test_files_come_to_one_object_or_to_a_list_of_them():
    one = job({MAIN: CONFIG + "config('a', '1')"})
    more = job({MAIN: CONFIG + "[config('a', '1'), if false then config('b', '2'), {}, config('c', '3')]"})

    assert [each["data"] for each in objects(one)] == [{"value": "1"}]
    assert [each["data"] for each in objects(more)] == [{"value": "1"}, {"value": "3"}]


def test_arguments_are_text_or_expressions():
    text = CONFIG + "function(size, names) [config(name, std.extVar('who') + size) for name in names]"
    given_to = job(
        {MAIN: text},
        ext_vars=(JsonnetArgument("who", "x"),),
        tlas=(JsonnetArgument("size", "2"), JsonnetArgument("names", "['a', 'b']", code=True)),
    )

    assert [each["data"] for each in objects(given_to)] == [{"value": "x2"}, {"value": "x2"}]


def test_imports_are_found_beside_the_file_then_in_the_folders_in_order():
    files = {
        MAIN: "local lib = import 'lib.libsonnet'; " + CONFIG + "config('a', lib + importstr 'text.txt')",
        "app/text.txt": "beside",
        "first/lib.libsonnet": "import 'deep/other.libsonnet'",
        "first/deep/other.libsonnet": "'first '",
        "second/lib.libsonnet": "'second '",
        "second/text.txt": "second",
    }

    assert objects(job(files, folders=("first", "second")))[0]["data"] == {"value": "first beside"}
    assert objects(job(files, folders=("second", "first")))[0]["data"] == {"value": "second beside"}


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({MAIN: "{\n  a: 1,\n  b: self.c.d\n}"}, f"{MAIN}:3: error: field does not exist: c"),
        ({MAIN: "{\n  a: }"}, f'{MAIN}:2: error: unexpected: "}}" while parsing terminal'),
        (
            {MAIN: "import 'a b.libsonnet'", "app/a b.libsonnet": "{\n  x: error 'no x'}"},
            "app/a b.libsonnet:2: error: no x",
        ),
        ({MAIN: "{\n  a: std.assertEqual(1, 2)}"}, f"{MAIN}:2: error: Assertion failed. 1 != 2"),
        (
            {MAIN: "{\n a: std.extVar('x')}"},
            f"{MAIN}:2: error: undefined external variable: x (give it a value in render.plain.jsonnet)",
        ),
        (
            {MAIN: "function(n) {}"},
            f"{MAIN}: error: function parameter n not bound in call. (give it a value in render.plain.jsonnet)",
        ),
        ({MAIN: "local f(x) = f(x) + 1;\nf(1)"}, f"{MAIN}:1: error: max stack frames exceeded."),
        ({MAIN: "'text'"}, f'{MAIN}: error: it comes to "text", not to an object or a list of objects'),
        ({MAIN: "[[{}]]"}, f"{MAIN}: error: it comes to [{{}}], not to an object or a list of objects"),
    ],
)
def test_errors_have_file_and_line(files, error):
    assert errors(job(files)) == [error]


def test_every_file_that_fails_is_named():
    assert errors(job({"a.jsonnet": "error 'one'", "b.jsonnet": "{}", "c.jsonnet": "error 'two'"}, "a.jsonnet",
        "b.jsonnet", "c.jsonnet")) == ["a.jsonnet:1: error: one", "c.jsonnet:1: error: two"]  # fmt: skip


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../../../../etc/passwd", "other.txt", "..", ""])
def test_nothing_but_the_files_of_the_job_can_be_read(name):
    (error,) = errors(job({MAIN: f"{{a: importstr '{name}'}}"}))

    assert error.startswith(f"{MAIN}:1: error: ")
    assert "root:" not in error


@given(st.text(alphabet="./ab\\", max_size=12), st.lists(st.sampled_from(["", "lib", "a/b"])))
def test_no_import_leads_out(name, folders):
    for path in candidates(name, "app/sub/x.jsonnet", folders):
        assert not path.startswith("/")
        assert ".." not in path.split("/")


def test_imports_are_told_from_what_only_looks_like_one():
    text = """
    // import 'comment'
    # import 'comment'
    /* import
       'comment' */
    local text = "import 'text'", other = 'import "text"', block = |||
      import 'block'
    |||;
    local a = import 'a.libsonnet', b = importstr "b\\".txt";
    { important: import@'c''', reimport 'd': 1, e: importbin 'e' }
    """

    assert imports(text)[:3] == [("a.libsonnet", 9), ('b".txt', 9), ("c", 10)]
    assert imports(text)[-1] == ("e", 10)


@pytest.fixture
def repo(tmp_path):
    def write(files: dict[str, str]) -> FolderTree:
        for name, text in files.items():
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return FolderTree(tmp_path)

    return write


def test_what_is_read_is_followed_through_all_imports_and_circles(repo):
    tree = repo({
        MAIN: "import 'a.libsonnet'",
        "app/a.libsonnet": "import '../lib/b.libsonnet'",
        "lib/b.libsonnet": "import 'c.libsonnet'",
        "lib/c.libsonnet": "import 'b.libsonnet'",
        "lib/unread.libsonnet": "{}",
    })  # fmt: skip
    footprint, paths = closure(tree, [MAIN], ["app"])

    assert paths == footprint.paths == ("app/a.libsonnet", MAIN, "lib/b.libsonnet", "lib/c.libsonnet")
    assert footprint.problems == ()


def test_the_key_changes_with_what_is_read_and_with_nothing_else(repo):
    tree = repo({MAIN: "import 'a.libsonnet'", "lib/a.libsonnet": "{}", "lib/b.libsonnet": "{}"})
    before = closure(tree, [MAIN], ["first", "lib"])[0].key

    repo({"lib/b.libsonnet": "{changed: true}"})
    assert closure(tree, [MAIN], ["first", "lib"])[0].key == before
    repo({"lib/a.libsonnet": "{changed: true}"})
    changed = closure(tree, [MAIN], ["first", "lib"])[0].key
    assert changed != before
    repo({"first/a.libsonnet": "{}"})
    assert closure(tree, [MAIN], ["first", "lib"])[0].key not in (before, changed)


def test_an_import_of_nothing_or_through_a_link_that_leads_out_is_an_error_with_its_place(repo, tmp_path):
    tree = repo({MAIN: "local x = 1;\nimport 'missing.libsonnet'", "app/b.jsonnet": "importstr 'passwd'"})
    (tmp_path / "app/passwd").symlink_to("/etc/passwd")

    footprint, _ = closure(tree, [MAIN, "app/b.jsonnet"], ["app"])

    assert sorted(str(each) for each in footprint.problems) == [
        "app/b.jsonnet:1: error: there is no 'passwd' to import (imports are files of the repository)",
        f"{MAIN}:2: error: there is no 'missing.libsonnet' to import (imports are files of the repository)",
    ]
