"""Sets through the hub: a real repository in, assignments out, and nothing lost when something cannot be evaluated."""

import pytest

from hub.settings import GitSettings
from shared.model import UnitKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, configmap, live_hub, settings, until

SET = """\
apiVersion: yardarm.dev/v1alpha1
kind: ApplicationSet
metadata: {name: all}
spec:
  forEach:
    - directories: {path: apps/*}
  template:
    metadata: {name: "${item.name}"}
    spec: {namespace: "${item.name}", source: {path: "${item.path}"}}
"""


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("set.yaml", SET)
    for name in ("web", "api", "job"):
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    repo.commit("start")
    return repo


@pytest.fixture
def given(tmp_path, repo):
    return settings(tmp_path / "state", str(repo.path))


def units(*names):
    return {UnitKey(cluster, name, name) for name in names for cluster in ("dev-1", "prod-1")}


async def there(live):
    return {unit for unit, assignment in (await live.desired()).items() if not assignment.removed}


async def test_directories_become_applications_and_go_with_them(repo, given):
    async with live_hub(given) as live:
        await live.seen(repo.head)
        assert await there(live) == units("web", "api", "job")
        evaluated = live.hub._lead.fleet.evaluated

        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        await live.seen(repo.commit("change one"))
        assert live.hub._lead.fleet.evaluated == evaluated + 1

        repo.write("apps/new/cm.yaml", configmap("new"))
        repo.remove("apps/job/cm.yaml")
        await live.seen(repo.commit("one comes, one goes"))
        assert await there(live) == units("web", "api", "new")


async def test_a_set_that_cannot_be_evaluated_loses_nothing_not_even_over_a_restart(repo, given):
    gone = repo.path.parent / "elsewhere"
    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.sequences()
        repo.write("set.yaml", SET.replace("path: apps/*", f"path: apps/*, repo: 'file://{gone}'"))
        await live.seen(repo.commit("generate from a repository that is not there"))

        assert await live.sequences() == before
        assert any("ApplicationSet 'all' cannot be evaluated, and what it has made stays" in p for p in live.problems())

    async with live_hub(given) as live:
        await live.seen(repo.head)
        assert await there(live) == units("web", "api", "job")
        assert any("ApplicationSet 'all' cannot be evaluated" in p for p in live.problems())


async def test_a_set_follows_another_repository(repo, given):
    other = GitRepo(repo.path.parent / "other")
    other.write("teams/a/app.yaml", "source: web")
    other.commit("start")
    template = SET.partition("template:")[2].replace("${item.path}", "apps/${item.source}")
    repo.write(
        "set.yaml",
        SET.partition("forEach:")[0]
        + f"forEach:\n    - files: {{path: teams/*/app.yaml, repo: '{other.path}'}}\n  template:"
        + template,
    )
    local = given.model_copy(update={"git": GitSettings(poll_interval=1, local=True)})
    async with live_hub(local) as live:
        await live.seen(repo.commit("by team"))
        await until(lambda: live.hub._lead.fleet.model.applications.keys() == {"a"})

        other.write("teams/b/app.yaml", "source: api")
        other.commit("another team")
        live.hub.wake()
        await until(lambda: "b" in live.hub.view.applications and live.hub.view.applications["b"].history)
        await live.seen(repo.head)
        assert await there(live) == units("a", "b")
