"""Charts in worker processes: what they render, and that hostile ones harm nobody."""

from __future__ import annotations

import gzip

import pytest

from hub.render.helm.layout import assemble, lay_out
from hub.render.job import File, HelmJob, PlainJob, RenderError
from hub.render.pool import PoolLimits, RenderPool
from tests.fakes.charts import chart_archive, chart_yaml
from tests.fakes.foldertree import FolderTree

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {{{{ .Release.Name }}}}}}\ndata: {{{}}}\n"


def job(template: str, application: str = "web", **values: object) -> HelmJob:
    files = {"Chart.yaml": chart_yaml("podinfo"), "templates/a.yaml": template}
    return HelmJob(
        application=application,
        namespace="shop",
        release="podinfo",
        chart="apps/podinfo",
        archive=chart_archive("podinfo", files),
        values=values,
    )


async def test_a_chart_becomes_files_and_the_files_objects():
    async with RenderPool() as pool:
        made = await pool.template(job(CONFIG_MAP.format("a: '{{ .Values.a }}'"), a=3))
        rendered = await pool.render(PlainJob("web", "shop", made.files))
    assert [file.shown for file in made.files] == ["apps/podinfo/templates/a.yaml (rendered)"]
    assert [str(ref) for ref in rendered.refs] == ["ConfigMap shop/podinfo"]


async def test_a_hub_without_charts_starts_no_worker_for_them():
    async with RenderPool(PoolLimits(workers=1)) as pool:
        await pool.render(
            PlainJob("web", "shop", (File("a.yaml", b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}"),))
        )
        assert pool.template_statistics.started == 0


HOSTILE = {
    "a loop without end": ("{{ range $i, $_ := until 2000000000 }}{{ $i }}{{ end }}", "took longer|needs more than"),
    "a word repeated for ever": ('a: {{ repeat 2000000000 "x" }}', "needs more than|took longer|rendering ended"),
    "a template that includes itself": (
        '{{ define "x" }}{{ include "x" . }}{{ end }}a: {{ include "x" . }}',
        "without end|nested reference|took longer|needs more than",
    ),
    "a map that is merged into itself": (
        '{{ $a := dict "k" 1 }}{{ $_ := set $a "self" $a }}a: {{ merge $a $a | toJson }}',
        "without end|cycle|took longer|needs more than|error",
    ),
    "an output without measure": (
        '{{ range $i, $_ := until 100000 }}{{ repeat 100000 "x" }}{{ end }}',
        "needs more than|took longer|larger|too large|MiB",
    ),
    "a failure of its own": ('{{ fail "no region is set" }}', "no region is set"),
    "a value of the wrong type": ("a: {{ .Values.web.image }}", "templates/a.yaml"),
}


@pytest.mark.parametrize(("template", "said"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_chart_gets_one_clear_error_and_the_next_one_is_rendered(template, said):
    limits = PoolLimits(workers=1, timeout=6, memory=3 * 1024**3)
    async with RenderPool(templates=limits) as pool:
        with pytest.raises(RenderError, match=said) as raised:
            await pool.template(job(template, web="not a map"))
        made = await pool.template(job(CONFIG_MAP.format("a: b")))

    assert len(raised.value.problems) == 1
    assert raised.value.problems[0].application == "web"
    assert not raised.value.transient
    assert made.files


def test_a_link_in_a_chart_is_not_followed_out_of_it(tmp_path):
    """`.Files.Get` of a link must not read what the link leads to outside of the repository."""
    (tmp_path / "secret").write_text("the hub's own")
    chart = tmp_path / "repository/web"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(chart_yaml("web"))
    (chart / "templates/a.yaml").write_text('a: {{ .Files.Get "leak" | quote }}\n')
    (chart / "leak").symlink_to(tmp_path / "secret")
    tree = FolderTree(tmp_path / "repository")

    layout = lay_out(tree, "web")

    assert [problem.place.file for problem in layout.problems] == ["web/leak"]
    assert b"the hub's own" not in gzip.decompress(assemble(tree, layout, {}))
