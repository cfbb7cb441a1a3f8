"""Charts in worker processes: what they render, and that hostile ones harm nobody."""

from __future__ import annotations

from hub.render.job import File, HelmJob, PlainJob
from hub.render.pool import PoolLimits, RenderPool
from tests.fakes.charts import chart_archive, chart_yaml

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
