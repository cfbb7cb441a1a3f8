"""What a branch would do to the fleet, asked of a running hub as a check of a pull request asks it."""

import aiohttp
import pytest

from shared import subjects
from shared.messages import Heartbeat, encode
from shared.tasks import Clock
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, application, configmap, live_hub, settings, until

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: %s}\n"
BUDGET = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: %s}\nspec: {maxUnavailable: 1}\n"


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    for name in ("web", "api"):
        repo.write(f"fleet/{name}.yaml", application(name))
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    repo.commit("start")
    return repo


def asking(live) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        f"{live.hub.url}/api/v1/", headers={"Authorization": f"Bearer {live.hub.token}"}, raise_for_status=False
    )


async def test_a_branch_is_rendered_and_compared_and_nothing_of_it_is_published(repo, tmp_path):
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live, asking(live) as session:
        await live.seen(repo.head)
        before = await live.sequences()
        repo.git("checkout", "-q", "-b", "change")
        repo.write("apps/web/cm.yaml", configmap("web", "${tier}"))
        repo.write("apps/web/secret.yaml", SECRET % "hunter2")
        changed = repo.commit("web: by tier")
        repo.git("checkout", "-q", "main")
        await live.seen(repo.head)

        async with session.post("previews", json={"to": changed[:12]}) as answer:
            assert answer.status == 200, await answer.text()
            told = await answer.json()
        async with session.post("previews", json={"to": "change", "form": "markdown"}) as answer:
            markdown = await answer.text()
            assert answer.content_type == "text/markdown"
        async with session.post("previews", json={"to": "change", "from": "change"}) as answer:
            same = await answer.json()

        (web,) = told["preview"]["applications"]
        fields = {tuple(each["clusters"]): each["fields"][0]["after"] for each in web["objects"] if each["fields"]}
        assert fields == {("dev-1",): "bronze", ("prod-1",): "gold"}
        assert told["preview"]["environments"] == {"dev-1": "dev", "prod-1": "prod"}
        assert told["plan"]["applications"][0]["waves"][0]["clusters"] == ["dev-1", "prod-1"]
        assert (told["changes"], told["errors"], same["changes"]) == (True, False, False)
        assert "Secret" in markdown
        assert "hunter2" not in markdown + str(told)
        assert await live.sequences() == before


async def test_what_a_branch_breaks_is_said_and_a_ref_that_is_not_there_too(repo, tmp_path):
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live, asking(live) as session:
        repo.git("checkout", "-q", "-b", "broken")
        repo.write("apps/web/cm.yaml", "kind: ConfigMap\ndata: {a: 1, a: 2}\n")
        repo.commit("web: broken")
        repo.git("checkout", "-q", "main")
        await live.seen(repo.head)

        async with session.post("previews", json={"to": "broken"}) as answer:
            told = await answer.json()
        async with session.post("previews", json={"to": "brocken"}) as answer:
            assert answer.status == 422
            refused = await answer.json()

        assert told["errors"]
        assert told["preview"]["new"][0]["problem"]["place"]["file"] == "apps/web/cm.yaml"
        assert "brocken" in refused["detail"]
        assert "broken" in refused["detail"].replace("brocken", "")


async def test_a_branch_is_told_which_clusters_do_not_serve_what_it_brings(repo, tmp_path):
    repo.write("apps/web/old.yaml", BUDGET % "old")
    repo.commit("web: what is there")
    async with live_hub(settings(tmp_path / "state", str(repo.path))) as live, asking(live) as session:
        await live.seen(repo.head)
        for cluster, version in (("dev-1", "v1.32.1+k3s1"), ("prod-1", "v1.24.9")):
            beat = Heartbeat(1, cluster, Clock().now(), 10.0, "test", "boot", 0, "", {"kubernetes": version})
            await live.bus.publish_stored(subjects.beat(cluster), encode(beat))
        await until(lambda: len(live.hub.view_facts()) == 2)
        repo.git("checkout", "-q", "-b", "budget")
        repo.write("apps/web/budget.yaml", BUDGET % "web")
        repo.commit("web: a budget")
        repo.git("checkout", "-q", "main")

        async with session.post("previews", json={"to": "budget"}) as answer:
            told = await answer.json()
        forms = {}
        for form in ("text", "markdown"):
            async with session.post("previews", json={"to": "budget", "form": form}) as answer:
                forms[form] = await answer.text()

        (outdated,) = told["preview"]["outdated"]
        assert (outdated["application"], outdated["object"]["name"]) == ("web", "web")
        assert outdated["place"]["file"] == "apps/web/budget.yaml"
        assert (outdated["deprecated"], outdated["removed"], outdated["instead"]) == ("1.21", "1.25", "policy/v1")
        assert outdated["where"] == [
            {"standing": "removed", "clusters": ["dev-1"], "versions": ["1.32"]},
            {"standing": "deprecated", "clusters": ["prod-1"], "versions": ["1.24"]},
        ]
        assert told["preview"]["outdatedBefore"] == 1
        assert told["errors"]
        for text in forms.values():
            assert "not served by dev-1 at 1.32; deprecated on prod-1 at 1.24" in text
            assert "1 object beside what changes is in such API versions already" in text
