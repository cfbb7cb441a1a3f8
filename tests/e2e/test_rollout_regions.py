"""Thirty clusters in three regions, and an image that is broken in one of them: a canary finds out, prod never sees it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.fakes.demo import Demo, DemoCluster
from tests.fakes.gitrepo import GitRepo

pytestmark = pytest.mark.timeout(240)

API = "yardarm.dev/v1alpha1"
IMAGE = "example.com/shop/web"
DEV = [f"dev-{region}-{number}" for region in ("eu", "us") for number in (1, 2, 3)]
CANARY = [f"canary-{region}-{number}" for region in ("ap", "eu", "us") for number in (1, 2)]
PROD = [f"prod-{region}-{number}" for region in ("ap", "eu", "us") for number in range(1, 7)]
EVERYWHERE = [*DEV, *CANARY, *PROD]
BROKEN = [name for name in CANARY if "-ap-" in name]

STRATEGY = {
    "stages": [
        {"name": "dev", "environments": ["dev"]},
        {"name": "canary", "environments": ["canary"]},
        {"name": "prod", "environments": ["prod"], "maxConcurrent": "50%"},
    ],
    "onFailure": "rollback",
    "deadline": "12s",  # the Deployment's own is ten minutes
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": IMAGE}]},
        },
    },
}


def document(kind, name, spec, **labels):
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec}


def environment(order, name):
    return document("Environment", name, {"order": order, "where": [{"labels": {"env": name}}]})


def cluster(name):
    env, region, _ = name.split("-")
    return document("Cluster", name, {}, env=env, region=region)


def web(tag, broken_in=""):
    """The application with an image of this tag, and in one region with another one."""
    region = {"where": [{"labels": {"region": broken_in}}]}
    images = [(tag, {}), ("broken", region)] if broken_in else [(tag, {})]
    spec = {
        "source": {"path": "apps/web"},
        "namespace": "shop",
        "rollout": "careful",
        "overrides": [{"when": when, "images": [{"name": IMAGE, "newTag": each}]} for each, when in images],
    }
    return document("Application", "web", spec)


class Shop:
    """The fleet, and what a person sees of it."""

    def __init__(self, demo, repo):
        self.demo = demo
        self.repo = repo
        self.first = repo.head
        self.broken = ""

    def release(self, subject, tag, broken_in=""):
        self.repo.write("fleet/web.yaml", yaml.safe_dump(web(tag, broken_in)))
        return self.repo.commit(subject)

    def get(self, path):
        return json.loads(self.demo.fetch(f"/api/v1/{path}"))

    def newest(self):
        return self.get("rollouts/web")

    def ended(self, sha, phase):
        """Waits until the rollout of this commit has ended so."""

        def there():
            found = self.newest()
            if found.get("commit", {}).get("sha") != sha or found["active"]:
                return None
            assert found["phase"] == phase, found
            return found

        return self.demo.until(there)

    def deployments(self):
        """The live Deployment in every sandbox."""

        def one(name):
            path = "/apis/apps/v1/namespaces/shop/deployments/web"
            return name, DemoCluster(self.demo.info["kubeconfig"], name).get(path)

        with ThreadPoolExecutor(8) as pool:
            return dict(pool.map(one, EVERYWHERE))

    def images(self):
        return {name: image(found) for name, found in self.deployments().items()}


def image(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions")
    repo = GitRepo(folder / "fleet")
    environments = [environment(order, name) for order, name in enumerate(("dev", "canary", "prod"))]
    repo.write(
        "fleet/fleet.yaml", yaml.safe_dump_all([*environments, document("RolloutStrategy", "careful", STRATEGY)])
    )
    repo.write("fleet/clusters.yaml", yaml.safe_dump_all(map(cluster, EVERYWHERE)))
    repo.write("fleet/web.yaml", yaml.safe_dump(web("1")))
    repo.write("apps/web/deployment.yaml", yaml.safe_dump(DEPLOYMENT))
    repo.commit("web: 1")
    (folder / "clusters.yaml").write_text(yaml.safe_dump_all(map(cluster, EVERYWHERE)))
    with Demo(folder, "--repo", str(repo.path), "--clusters", str(folder / "clusters.yaml")) as demo:
        shop = Shop(demo, repo)
        shop.ended(shop.first, "Completed")
        shop.broken = shop.release("web: 2", "2", broken_in="ap")
        shop.ended(shop.broken, "RolledBack")
        yield shop


def test_the_canary_stage_stops_it_and_says_why(shop):
    found = shop.newest()
    stages = {stage["name"]: stage for stage in found["stages"]}
    clusters = {each["cluster"]: each for each in shop.get(f"rollouts/web/{found['id']}/clusters")["items"]}

    assert [stages[name]["phase"] for name in ("dev", "canary", "prod")] == ["Done", "Failed", "Pending"]
    assert found["rejected"]
    assert "failed in canary" in found["reason"]
    assert any(name in found["reason"] for name in BROKEN)
    given = {name for name, each in clusters.items() if each["assignedAt"]}
    assert given == {*DEV, *CANARY}
    assert {name for name, each in clusters.items() if each["backAt"]} == given
    assert {clusters[name]["state"] for name in given} == {"Restored"}
    assert {clusters[name]["state"] for name in PROD} == {"Pending"}


def test_the_history_tells_it_in_order(shop):
    events = [event for event in shop.get("events?limit=1000")["items"] if event["commit"] == shop.broken]
    story = [
        event["type"] for event in reversed(events) if event["type"].startswith("rollout.") and not event["cluster"]
    ]

    assert story == ["rollout.started", "rollout.stage", "rollout.failed", "rollout.rollingback", "rollout.rolledback"]
    assert {event["cluster"] for event in events if event["cluster"]} <= {*DEV, *CANARY}


def test_every_sandbox_runs_the_first_image_and_prod_never_had_another(shop):
    found = shop.deployments()

    assert {name: image(each) for name, each in found.items()} == dict.fromkeys(EVERYWHERE, f"{IMAGE}:1")
    generations = {name: each["metadata"]["generation"] for name, each in found.items()}
    assert generations == dict.fromkeys(PROD, 1) | dict.fromkeys([*DEV, *CANARY], 3)
    assert {each["status"].get("readyReplicas") for each in found.values()} == {1}


def test_the_command_line_shows_it_and_a_better_commit_goes_everywhere(shop):
    shown = shop.demo.run("rollout", "show", "web").stdout
    assert "RolledBack" in shown
    assert "canary" in shown

    mended = shop.release("web: 2, in every region", "2")
    shop.ended(mended, "Completed")

    assert shop.images() == dict.fromkeys(EVERYWHERE, f"{IMAGE}:2")
    history = shop.demo.json("rollout", "history", "web")
    assert [each["phase"] for each in history] == ["Completed", "RolledBack", "Completed"]
    assert shop.demo.run("rollout", "show", "web").returncode == 0
