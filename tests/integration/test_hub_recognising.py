"""A hub that is pointed at a repository without fleet documents: what it takes it for, and what commits change then."""

import shutil

import pytest

from shared.model import UnitKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.imports import SHAPES
from tests.fakes.livehub import configmap, live_hub, settings, until

CLUSTERS = "".join(
    f"---\napiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {env}, labels: {{env: {env}}}}}\n"
    for env in ("dev", "prod")
)


def application(name: str) -> str:
    return f"""
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: {name}, namespace: argocd, finalizers: [resources-finalizer.argocd.argoproj.io]}}
spec:
  source: {{repoURL: https://git.example.com/team/fleet, path: apps/{name}, targetRevision: HEAD}}
  destination: {{name: dev, namespace: {name}}}
  syncPolicy: {{automated: {{prune: true, selfHeal: true}}}}
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "clusters.yaml").write_text(CLUSTERS)

    def make(repo: GitRepo, **more: object):
        return live_hub(settings(tmp_path / "state", repo.url, clusters_file=tmp_path / "clusters.yaml", **more))

    return make


async def test_definitions_are_followed_from_commit_to_commit(tmp_path, start):
    repo = GitRepo(tmp_path / "fleet")
    for name in ("web", "db"):
        repo.write(f"argo/{name}.yaml", application(name))
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    first = repo.commit("two applications")

    async with start(repo) as live:
        await live.seen(first)
        desired = await live.desired()
        assert UnitKey("dev", "web", "web") in desired
        assert not [key for key in desired if key.cluster == "prod"]
        assert any("definitions of Argo CD are taken, 2 applications" in text for text in live.problems())

        repo.write("argo/db.yaml", application("db").replace("spec:", "spec: ["))
        broken = repo.commit("one is not YAML any more")
        await live.seen(broken)
        assert "db" in live.hub._lead.fleet.model.applications

        repo.write("argo/db.yaml", application("db"))
        repo.write("argo/cache.yaml", application("cache"))
        repo.write("apps/cache/cm.yaml", configmap("cache"))
        await live.seen(repo.commit("one more"))
        assert UnitKey("dev", "cache", "cache") in await live.desired()

        repo.git("rm", "-q", "argo/cache.yaml")
        await live.seen(repo.commit("one less"))
        assert set(live.hub._lead.fleet.model.applications) == {"db", "web"}

        repo.git("rm", "-qr", "argo")
        repo.commit("none at all")
        live.hub.wake()
        await until(lambda: any("no fleet documents any more; everything stays" in text for text in live.problems()))
        assert set(live.hub._lead.fleet.model.applications) == {"db", "web"}


async def test_a_repository_that_does_not_say_what_it_means_moves_nothing(tmp_path, start):
    shutil.copytree(SHAPES / "podinfo", tmp_path / "fleet")
    repo = GitRepo(tmp_path / "fleet")
    sha = repo.commit("as it is")

    async with start(repo) as live:
        await live.seen(sha)
        assert await live.desired() == {}
        assert any(
            "charts/podinfo, kustomize: these directories hold mostly the same" in text for text in live.problems()
        )


async def test_a_path_of_it_is_one_application_on_every_cluster(tmp_path, start):
    shutil.copytree(SHAPES / "microservices-demo", tmp_path / "fleet")
    repo = GitRepo(tmp_path / "fleet")
    sha = repo.commit("as it is")

    async with start(repo, fleet_path="release") as live:
        await live.seen(sha)
        assert {(key.cluster, key.application) for key in await live.desired()} == {
            ("dev", "release"),
            ("prod", "release"),
        }
