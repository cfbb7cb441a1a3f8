"""A helm executable in place of the library: the same results, the same words about what is wrong, limits."""

from __future__ import annotations

import msgspec
import pytest

from hub.render.helm.errors import warnings
from hub.render.helm.executable import find, printed
from hub.render.helm.template import template
from hub.render.job import HelmJob, RenderError
from shared.errors import YardarmError
from tests.fakes.charts import chart_archive, chart_yaml
from tests.fakes.helmcases import helm_binary

needs_helm = pytest.mark.skipif(helm_binary() is None, reason="no helm executable here")

NAMED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
GONE_WRONG = {
    "a nil pointer": {"templates/a.yaml": NAMED + "data: {a: {{ .Values.a.b.c }}}\n"},
    "a word of fail": {"templates/a.yaml": '\n{{ fail "think again" }}\n'},
    "an unclosed action": {"templates/a.yaml": "a: b\n{{ if .Values.a }}\n"},
    "values against the schema": {
        "values.schema.json": '{"properties": {"count": {"type": "string"}}}',
        "templates/a.yaml": NAMED,
    },
}


def job(files: dict[str, str], program: str = "", chart: str = "", **values: object) -> HelmJob:
    return HelmJob(
        application="web",
        namespace="shop",
        release="web",
        chart="apps/web",
        archive=chart_archive("web", {"Chart.yaml": chart or chart_yaml("web"), **files}),
        values=values,
        kube_version="v1.31.0",
        program=program,
    )


def refused(asked: HelmJob) -> RenderError:
    with pytest.raises(RenderError) as caught:
        template(asked)
    return caught.value


@needs_helm
@pytest.mark.parametrize("wrong", GONE_WRONG)
def test_what_is_wrong_is_said_as_the_library_says_it(wrong):
    def said(program: str) -> list[tuple[str, str]]:
        problems = refused(job(GONE_WRONG[wrong], program, count=3)).problems
        return [(problem.message, str(problem.place)) for problem in problems]

    assert said(str(helm_binary())) == said("")


@needs_helm
def test_a_deprecated_chart_is_rendered_with_a_warning():
    chart = f"{chart_yaml('web')}deprecated: true\n"
    made = template(job({"templates/a.yaml": NAMED}, str(helm_binary()), chart))
    assert [file.path for file in made.files] == ["templates/a.yaml"]
    assert [problem.message for problem in made.warnings] == ["the chart is deprecated"]


@pytest.mark.parametrize(
    "program", ["", pytest.param(str(helm_binary()), marks=needs_helm)], ids=["library", "program"]
)
def test_a_format_of_charts_that_is_to_come_is_refused(program):
    chart = chart_yaml("web").replace("v2", "v3")
    (problem,) = refused(job({"templates/a.yaml": NAMED}, program, chart)).problems
    assert "apiVersion" in problem.message


@needs_helm
def test_values_that_do_not_fit_are_warned_of():
    files = {"values.yaml": "a: 3\n", "templates/a.yaml": NAMED}
    warned = template(job(files, str(helm_binary()), a={"b": 1})).warnings
    assert [each.message for each in warned] == ["skipped value for web.a: Not a table."]


@needs_helm
def test_what_is_no_yaml_is_said_with_its_file():
    error = refused(job({"templates/a.yaml": NAMED + "data: {a: [}\n"}, str(helm_binary())))
    assert [str(problem.place) for problem in error.problems] == ["apps/web/templates/a.yaml"]


@needs_helm
def test_a_release_that_looks_like_an_option_is_none(tmp_path):
    asked = job({"templates/a.yaml": NAMED}, str(helm_binary()))
    error = refused(msgspec.structs.replace(asked, release=f"--output-dir={tmp_path}"))
    assert "release name" in error.problems[0].message
    assert list(tmp_path.iterdir()) == []


@needs_helm
def test_helm_is_found_with_its_version():
    found = find(str(helm_binary()))
    assert (found.path, found.version[0]) == (helm_binary(), "v")


@pytest.mark.parametrize("name", ["/nowhere/helm", "no-such-helm", "true"])
def test_what_is_no_helm_is_not_used(name):
    with pytest.raises(YardarmError, match=r"render\.helm_binary"):
        find(name)


@pytest.mark.parametrize(
    "line",
    [
        "2026/11/26 00:42:54 warning: skipped value for web.a: Not a table.",
        "coalesce.go:289: warning: skipped value for web.a: Not a table.",
        'level=INFO msg="warning: skipped value for web.a: Not a table."',
        "WARNING: skipped value for web.a: Not a table.",
    ],
)
def test_each_helm_warns_in_its_own_form(line):
    said = f"level=INFO msg=ready\n{line}\n"
    assert [each.message for each in warnings(said, "web")] == ["skipped value for web.a: Not a table."]


def test_what_is_printed_is_sorted_into_its_files():
    found = printed(
        "---\n# Source: web/crds/a.yaml\nkind: A\n"
        "---\n# Source: web/templates/x.yaml\nkind: B\n---\nkind: not told apart\n"
        "---\n# Source: web/templates/crds/y.yaml\nkind: C\n"
        "---\n# Source: web/templates/x.yaml\nkind: D\n"
    )
    assert found.crds == (("web/crds/a.yaml", "kind: A\n"),)
    assert found.templates == {
        "web/templates/x.yaml": "kind: B\n---\nkind: not told apart\n---\nkind: D\n",
        "web/templates/crds/y.yaml": "kind: C\n",
    }
