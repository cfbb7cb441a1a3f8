"""Plain rendering: what comes out, and what is said of everything that cannot."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.yamldoc import Limits
from hub.render.job import File, PlainJob, Rendered, RenderError, Selection
from hub.render.parsed import ParsedFiles
from hub.render.plain import render
from shared.model import Problem


def config_map(name: str, **extra: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **extra})


def job(files: dict[str, str | bytes], **kw: Any) -> PlainJob:
    made = tuple(
        File(path, data.encode() if isinstance(data, str) else data, f"apps/web/{path}") for path, data in files.items()
    )
    return PlainJob(application="web", namespace="shop", files=made, **kw)


def names(rendered: Rendered) -> list[str]:
    return [str(ref) for ref in rendered.refs]


def problems_of(made: PlainJob) -> list[str]:
    with pytest.raises(RenderError) as failed:
        render(made)
    return [str(problem) for problem in failed.value.problems if problem.severity == "error"]


def test_objects_of_all_files_come_out_in_one_order_and_canonical():
    rendered = render(
        job(
            {
                "z/deploy.yaml": "kind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: web\nspec: {replicas: 1e1}\n",
                "a.yml": f"---\n{config_map('b')}\n---\n---\n{config_map('a')}\n",
                "ns.json": '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}',
            }
        )
    )
    assert names(rendered) == ["ConfigMap shop/a", "ConfigMap shop/b", "Namespace shop", "apps/Deployment shop/web"]
    assert rendered.lines[-1] == (
        b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":10}}'
    )
    assert str(rendered.objects[0].place) == "apps/web/a.yml:5"


@given(st.permutations(["a", "b", "c", "d"]), st.lists(st.sampled_from(["x.yaml", "y/z.yaml"]), min_size=4, max_size=4))
def test_where_an_object_is_written_does_not_change_the_result(order, places):
    files: dict[str, str] = {}
    for name, place in zip(order, places, strict=True):
        files[place] = files.get(place, "") + f"---\n{config_map(name)}\n"
    straight = render(job({"all.yaml": "\n---\n".join(config_map(name) for name in "abcd")}))
    assert render(job(files)).lines == straight.lines


def test_lists_are_flattened_however_nested():
    inner = {"apiVersion": "v1", "kind": "List", "items": [json.loads(config_map("b"))]}
    outer = {"apiVersion": "v1", "kind": "List", "items": [json.loads(config_map("a")), inner]}
    typed = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"metadata": {"name": "c"}}]}
    rendered = render(job({"l.json": json.dumps(outer), "t.json": json.dumps(typed)}))
    assert names(rendered) == ["ConfigMap shop/a", "ConfigMap shop/b", "ConfigMap shop/c"]


def test_files_of_other_tools_are_skipped_with_a_warning():
    rendered = render(
        job(
            {
                "cm.yaml": config_map("a"),
                "mkdocs.yml": "site_name: docs\nmarkdown_extensions:\n- x: !!python/name:pymdownx.superfences\n",
                "docker-compose.yaml": "services: {web: {image: x}}\n",
                "values.yaml": "replicas: 3\n",
                "list.json": "[1, 2]",
                "broken-template.yaml": "{{ if .Values.x }}\na: b\n{{ end }}\n",
                "empty.yaml": "# nothing\n",
            }
        )
    )
    assert names(rendered) == ["ConfigMap shop/a"]
    assert sorted(problem.place.file for problem in rendered.warnings) == [
        f"apps/web/{name}"
        for name in (
            "broken-template.yaml",
            "docker-compose.yaml",
            "empty.yaml",
            "list.json",
            "mkdocs.yml",
            "values.yaml",
        )
    ]


def test_fleet_documents_in_the_same_tree_are_left_out():
    fleet = "apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {name: c}\n"
    assert names(render(job({"all.yaml": f"{fleet}---\n{config_map('a')}\n"}))) == ["ConfigMap shop/a"]


def test_variables_are_put_in_and_those_that_occur_are_named():
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "${name}"}\ndata: {a: "${HOME}"}\ncount: ${count}\n'
    rendered = render(
        job({"a.yaml": text}, variables={"name": "x", "count": 3, "other": 1}, known=("name", "count", "other"))
    )
    assert orjson.loads(rendered.lines[0])["metadata"]["name"] == "x"
    assert orjson.loads(rendered.lines[0])["count"] == 3
    assert rendered.used == ("HOME", "count", "name")


def test_a_variable_without_a_value_names_its_field_and_line():
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  host: a.${domain}\n"
    (found,) = problems_of(job({"a.yaml": text}, known=("domain",)))
    assert found.startswith("apps/web/a.yaml:6: data.host: error: the variable ${domain} has no value on this cluster")


def test_one_bad_document_fails_the_render_and_every_problem_is_listed():
    found = problems_of(
        job(
            {
                "good.yaml": config_map("good"),
                "bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nmetadata: {name: b}\n",
                "worse.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}\n",
            }
        )
    )
    assert len(found) == 2
    assert found[0].startswith("apps/web/bad.yaml:5: error: kind is missing")
    assert found[1].startswith("apps/web/worse.yaml:1: error: metadata.generateName cannot be kept in line with Git")


def test_a_hook_without_a_name_gets_one_from_its_content():
    def hook(image, note):
        return (
            "apiVersion: batch/v1\nkind: Job\n"
            f"metadata: {{generateName: migrate-, annotations: {{{note}: PreSync}}}}\nspec: {{image: {image}}}\n"
        )

    first, same, other = (
        orjson.loads(render(job({"a.yaml": hook(*each)})).lines[0])["metadata"]
        for each in (
            ("a:1", "argocd.argoproj.io/hook"),
            ("a:1", "argocd.argoproj.io/hook"),
            ("a:2", "helm.sh/hook"),
        )
    )
    assert re.fullmatch("migrate-[0-9a-f]{8}", first["name"])
    assert first["name"] == same["name"] != other["name"]
    assert "generateName" not in first


def test_an_object_defined_twice_names_both_places():
    (found,) = problems_of(
        job(
            {
                "a.yaml": config_map("x"),
                "b.yaml": "---\n" + config_map("x").replace('{"name"', '{"namespace": "shop", "name"'),
            }
        )
    )
    assert found == (
        "apps/web/b.yaml:2: error: ConfigMap shop/x is defined twice: also at apps/web/a.yaml:1 "
        "(remove one, or exclude its file)"
    )


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{BOMB}", "values once aliases are followed"),
        ("kind: " + "[" * 40_000, "nested deeper than 100 levels"),
        ('{"kind": ' + '{"a":' * 40_000, "nested deeper than 100 levels"),
        (b"apiVersion: v1\nkind: ConfigMap\n" + b"# " + b"x" * 50_000_000, "more than the 8 MiB"),
        (b"apiVersion: v1\nkind: \xff\xfe\n", "not UTF-8: byte 0xff"),
        (b"\x00\x01\x02\xff\xd8 binary", "not UTF-8"),
        ("apiVersion: v1\nkind: ConfigMap\nkind: Secret\nmetadata: {name: a}\n", "bad.yaml:3: error: duplicate key 'kind'"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [a}\n", "not valid YAML"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "kind is missing"),
        ("kind: ConfigMap\nmetadata: {name: a}\n", "apiVersion is missing in this ConfigMap"),
        ("apiVersion: v1\nkind: ConfigMap\n", "metadata.name is missing in this ConfigMap"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: a\n", "metadata.name is missing in this ConfigMap"),
        ("apiVersion: 1\nkind: ConfigMap\nmetadata: {name: a}\n", "apiVersion must be a non-empty string, not 1"),
        ("kind: List\napiVersion: v1\nitems: [3]\n", "apiVersion is missing"),
        (f"- a\n---\n{config_map('a')}\n", "a Kubernetes object is a map, this is a list"),
        (f"text\n---\n{config_map('a')}\n", "this is the str 'text'"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx: 99999999999999999999999999\n", None),
        ("", "no Kubernetes object in the one file"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_input_is_one_clear_error(content, complaint):
    made = job({"bad.yaml": content})
    if complaint is None:
        render(made)
        return
    found = problems_of(made)
    assert len(found) == 1, found
    assert complaint in found[0]


def test_a_big_file_is_within_the_limit_that_reading_has():
    assert Limits().size == 8 * 1024**2


def test_a_kustomization_or_chart_is_refused_rather_than_rendered_as_something_else():
    kustomization = {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": config_map("a")}
    (found,) = problems_of(job(kustomization))
    assert found.startswith("apps/web/kustomization.yaml: error: a kustomization among plain files")
    chart = {
        "sub/Chart.yaml": "apiVersion: v2\nname: x\n",
        "sub/templates/d.yaml": "kind: {{ x }}",
        "a.yaml": config_map("a"),
    }
    (found,) = problems_of(job(chart))
    assert found.startswith("apps/web/sub/Chart.yaml: error: a Helm chart among plain files")
    assert names(render(job(chart, selection=Selection(exclude=("sub",))))) == ["ConfigMap shop/a"]


def test_who_asks_for_plain_rendering_gets_the_files_beside_a_kustomization():
    files = {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": config_map("a")}
    rendered = render(job(files, selection=Selection(explicit=True)))
    assert names(rendered) == ["ConfigMap shop/a"]
    assert [problem.place.file for problem in rendered.warnings] == ["apps/web/kustomization.yaml"]


def test_a_problem_met_while_reading_fails_the_render():
    problem = Problem("error", "too large")
    assert problems_of(job({"a.yaml": config_map("a")}, problems=(problem,))) == ["error: too large"]


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {z: 'ENC[x]', a: 'ENC[y]'}\nsops: {mac: 'ENC[m]', age: [{}]}\n"


def test_an_encrypted_secret_keeps_the_order_of_its_keys():
    line = render(job({"s.yaml": SECRET})).lines[0]
    assert line.index(b'"z"') < line.index(b'"a"')


def test_renders_of_the_same_files_do_not_touch_each_other():
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d {host: "${host}"}\nbinaryData: *d\n'
    for host in ("one", "two", "one"):
        rendered = render(job({"a.yaml": text}, variables={"host": host}, known=("host",)))
        decoded = orjson.loads(rendered.lines[0])
        assert decoded["data"] == decoded["binaryData"] == {"host": host}


def test_only_so_much_is_remembered_of_what_was_parsed():
    parsed = ParsedFiles(limit=1000)
    for number in range(50):
        data = config_map(f"c{number}").encode()
        first = parsed.parse(data, "a.yaml")
        assert parsed.parse(data, "a.yaml") is first
    assert sum(len(data) for _, data in parsed._kept) == parsed._size <= 1000
    assert parsed.parse(b"a: b # " + b"x" * 500, "big.yaml") is not parsed.parse(b"a: b # " + b"x" * 500, "big.yaml")
