"""What rollouts on a live hub wait for, and what makes one: windows, checks, other applications; changes of any kind."""

from __future__ import annotations

import pytest
import pytest_asyncio
from aiohttp import web

from shared.model import UnitKey
from tests.fakes.fleetagents import Mood
from tests.fakes.httpserver import listening
from tests.fakes.livehub import until
from tests.fakes.stagedhub import STAGES, Scene, StagedHub, document, staged_hub

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEV, PROD = STAGES
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: smoke}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "example.com/smoke:${commit}"}]}}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    async with staged_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


async def test_every_change_of_effect_goes_through_the_stages(hub: StagedHub):
    scene = await hub.scene("effect", "dev-1", "prod-1")
    path = "fleet/effect/clusters.yaml"

    async def changed(value: str, what: str) -> None:
        await hub.commit(what)
        await scene.has_got(dev_1=value, prod_1=value)
        await scene.phase("Completed")
        assert scene.story() == [f"dev-1: {value}", f"prod-1: {value}"], what
        scene.seen += len(scene.story())

    def tastes(taste: str) -> str:
        return "---\n".join(scene.cluster(each, variables={"taste": taste}) for each in scene.clusters)

    scene.content = scene.content.replace("'1'", "'${taste}'")
    scene.write()
    hub.repo.write(path, tastes("plain"))
    await changed("plain", "the manifests")
    hub.repo.write(path, tastes("sweet"))
    await changed("sweet", "variables of clusters")
    scene.write(overrides=[{"when": {"where": [{"labels": {"scene": "effect"}}]}, "variables": {"taste": "sour"}}])
    await changed("sour", "an override")
    scene.write(overrides=[{"when": {"where": [{"labels": {"ring": "1"}}]}, "variables": {"taste": "hot"}}])
    hub.repo.write(path, (hub.repo.path / path).read_text().replace("scene: effect", "scene: effect\n    ring: '1'"))
    await changed("hot", "labels of clusters")
    scene.write(sync={"drift": "report"})
    await changed("hot", "how it is kept")


async def test_a_change_of_the_strategy_alone_counts_for_what_is_under_way(hub: StagedHub):
    scene = await hub.scene("strategy", "dev-1", "prod-1", stages=[DEV])
    scene.strategy = {"stages": [DEV, PROD | {"approve": {"by": ["sre"]}}]}
    await scene.value("2")
    await scene.waits("approval")
    scene.strategy = {"stages": [DEV, PROD]}
    scene.write()
    await hub.commit("nobody has to approve")
    await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "prod-1: 2"]


async def test_an_environment_that_is_frozen_takes_nothing_until_its_document_says_otherwise(hub: StagedHub):
    where = [{"labels": {"env": "frosty"}}]
    hub.repo.write("fleet/frosty.yaml", document("Environment", "frosty", {"order": 9, "where": where}))
    scene = await hub.scene("window", "dev-1", "frosty-1", stages=[DEV])
    freeze = {"from": "2020-01-01", "to": "2099-12-31", "reason": "the audit"}
    spec = {"order": 9, "where": where, "freezes": [freeze]}
    hub.repo.write("fleet/frosty.yaml", document("Environment", "frosty", spec))
    await scene.value("2")
    await scene.waits("window", "the audit")
    assert scene.story() == ["dev-1: 2"]

    hub.repo.write("fleet/frosty.yaml", document("Environment", "frosty", {"order": 9, "where": where}))
    await hub.commit("the audit is over")
    await scene.phase("Completed")
    assert scene.story() == ["dev-1: 2", "frosty-1: 2"]


async def test_what_others_depend_on_comes_first_on_other_clusters_too(hub: StagedHub):
    infra = await hub.scene("infra", "dev-1", "prod-1")
    shop = await hub.scene("shop", "dev-1")
    shop.write(dependsOn=[{"application": "infra", "clusters": ["infra-prod-1"]}])
    await hub.commit("shop depends on infra")
    await infra.when("2", Mood.PROGRESSING, "prod-1")
    for scene in (infra, shop):
        scene.content = scene.content.replace("'1'", "'2'")
        scene.write()
    await hub.commit("both")
    await infra.has_got(prod_1="2")
    await shop.waits("dependency", "infra")
    assert shop.has() == {"dev-1": "1"}

    await infra.when("2", Mood.HEALTHY, "prod-1")
    await shop.phase("Completed")
    assert shop.has() == {"dev-1": "2"}


async def test_a_release_set_moves_stage_by_stage_and_goes_back_as_one(hub: StagedHub):
    pair: list[Scene] = []
    for name in ("api", "ui"):
        scene = await hub.scene(name, "dev-1", "prod-1", onFailure="rollback")
        scene.write(releaseSet="portal")
        pair.append(scene)
    api, ui = pair

    async def both(value: str) -> None:
        for scene in pair:
            scene.content = scene.content.replace(f"'{int(value) - 1}'", f"'{value}'")
            scene.write()
        await hub.commit(f"portal: {value}")

    await api.when("2", Mood.PROGRESSING, "dev-1")
    await both("2")
    await ui.waits("release", "api is not done with dev")
    assert ui.has() == {"dev-1": "2", "prod-1": "1"}
    await api.when("2", Mood.HEALTHY, "dev-1")
    for scene in pair:
        await scene.phase("Completed")
        assert scene.story() == ["dev-1: 2", "prod-1: 2"]

    await api.when("3", Mood.DEGRADED, "prod-1")
    await both("3")
    await api.has_got(prod_1="3")
    await ui.has_got(prod_1="3")
    await api.fails()
    for scene in pair:
        await scene.phase("RolledBack")
        assert scene.story()[2:] == ["dev-1: 3", "prod-1: 3", "prod-1: 2", "dev-1: 2"]


async def test_a_check_over_http_keeps_the_next_stage_until_it_holds(hub: StagedHub):
    said = {"status": 503}
    asked = []

    async def ready(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(**said)

    app = web.Application()
    app.router.add_get("/ready", ready)
    async with listening(app) as origin:
        scene = await hub.scene("http", "dev-1", "prod-1", stages=[DEV])
        check = {"http": origin + "/ready?clusters=${clusters}", "interval": "1s"}
        scene.strategy = {"stages": [DEV | {"checks": [check]}, PROD]}
        await scene.value("2")
        await scene.waits("check", "503")
        assert scene.story() == ["dev-1: 2"]
        said["status"] = 200
        await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "prod-1: 2"]
    assert "http-dev-1" in asked[-1]


async def test_a_job_on_the_clusters_of_a_stage_decides_about_it(hub: StagedHub):
    hub.repo.write("checks/smoke.yaml", JOB)
    scene = await hub.scene("job", "dev-1", "prod-1", stages=[DEV], onFailure="rollback")
    scene.strategy |= {"stages": [DEV | {"checks": [{"job": "checks/smoke.yaml"}]}, PROD]}
    hub.agents.content('"kind":"Job"', Mood.PROGRESSING, "job-dev-1")
    await scene.when("2", Mood.PROGRESSING)
    await scene.value("2")
    await scene.has_got(dev_1="2")
    hub.repo.write("README.md", "worked out again, at another commit")
    await hub.commit("nothing of it changes")
    await hub.post("applications/job/sync")
    await hub.live.seen(hub.repo.head)
    await scene.when("2", Mood.HEALTHY)
    await scene.waits("check", "smoke")
    await until(lambda: [each for each in hub.agents.given if each.application.startswith("yardarm-check-job-dev")])
    check = next(each for each in hub.agents.given if each.application.startswith("yardarm-check-job-dev"))
    assert check.unit == UnitKey("job-dev-1", "job", check.application)
    hub.agents.content('"kind":"Job"', Mood.HEALTHY, "job-dev-1")
    await hub.agents.join("job-dev-1")
    await scene.phase("Completed")
    await until(lambda: hub.agents.of(check.application)[-1].removed)

    hub.agents.content('"kind":"Job"', Mood.DEGRADED, "job-dev-1")
    await scene.value("3")
    await scene.phase("RolledBack")
    assert "smoke" in scene.rollout.reason
    assert scene.story() == ["dev-1: 2", "prod-1: 2", "dev-1: 3", "dev-1: 2"]


async def test_an_application_that_leaves_git_in_the_middle_takes_its_rollouts_along(hub: StagedHub):
    scene = await hub.scene("remove", "dev-1", "prod-1")
    await scene.when("2", Mood.PROGRESSING, "dev-1")
    await scene.value("2")
    await scene.has_got(dev_1="2")
    await scene.when("2", Mood.HEALTHY, "dev-1")  # seen, and not written yet
    hub.repo.remove("fleet/remove/application.yaml")
    await hub.commit("remove leaves")
    await until(lambda: scene.has() == {"dev-1": "gone", "prod-1": "gone"})
    assert hub.live.hub.view.rollouts.of("remove") == ()

    scene.content = scene.content.replace("'2'", "'3'")
    scene.write()
    await hub.commit("remove is back")
    await scene.phase("Completed")
    assert scene.story()[-2:] == ["dev-1: 3", "prod-1: 3"]
    assert len(hub.live.hub.view.rollouts.of("remove")) == 1


async def test_a_commit_that_cannot_be_worked_out_neither_stops_what_is_under_way_nor_proves_it(hub: StagedHub):
    scene = await hub.scene("typo", "dev-1", "prod-1")
    await scene.when("2", Mood.PROGRESSING, "dev-1")
    await scene.value("2")
    await scene.has_got(dev_1="2")
    good, scene.content = scene.content, "a: b: c:\n"
    scene.write()
    await hub.commit("a typo")
    assert any("apps/typo/cm.yaml:1" in problem for problem in hub.live.problems())
    await until(lambda: scene.rollout.slots["typo-dev-1"].reason == "0 of 1 pods are ready")
    assert (scene.rollout.phase, scene.rollout.current) == ("Progressing", 0)

    await scene.when("2", Mood.HEALTHY, "dev-1")
    await scene.phase("Completed")
    assert scene.story() == ["dev-1: 2", "prod-1: 2"]
    scene.content = good
    scene.write()
    await hub.commit("mended")
    assert scene.story() == ["dev-1: 2", "prod-1: 2"]
    assert len(hub.live.hub.view.rollouts.of("typo")) == 2
