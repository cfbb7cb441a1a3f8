"""The demo as a person uses it: commit, watch, break something, look why, end it. Only the command line, git, kubectl."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.fakes.demo import Demo, DemoCluster
from tests.fakes.gitrepo import GitRepo

pytestmark = pytest.mark.timeout(300)

NAMES = {"cluster": "prod-eu-1", "namespace": "shop"}
CLUSTERS = {"dev-eu-1", "dev-us-1", "stage-eu-1", "stage-us-1", "prod-eu-1", "prod-us-1"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with Demo(tmp_path_factory.mktemp("demo")) as running:
        running.until(lambda: running.json("status")["summary"]["units"].get("Ready") == 22)
        yield running


class Checkout(GitRepo):
    """The demo's own repository, as somebody with an editor has it."""

    def __init__(self, path):
        self.path = Path(path)


@pytest.fixture
def cluster(demo):
    return lambda name: DemoCluster(demo.info["kubeconfig"], name)


def deployment(cluster, namespace="shop", name="web"):
    return cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")


def at(demo, sha, application):
    """The clusters on which the application is Ready at this commit."""
    units = demo.json("get", "units", "--app", application)
    return {u["cluster"] for u in units if u["have"]["commit"] == sha and u["state"] == "Ready"}


def test_commands_find_the_demo_and_agree_with_it(demo):
    shown = demo.run("status")

    assert shown.returncode == 0
    assert "22 Ready" in shown.stdout
    assert {c["name"] for c in demo.json("get", "clusters")} == CLUSTERS
    assert [e["name"] for e in demo.json("get", "environments")] == ["dev", "stage", "prod"]
    assert {a["name"] for a in demo.json("get", "apps")} == {"web", "orders", "platform", "logs"}
    assert "not in environment stage or prod" in demo.run("explain", "logs", "--cluster", "dev-eu-1").stdout
    every = demo.run("explain", "logs").stdout
    assert all(re.search(rf"^{cluster} .*\b(yes|no)\b", every, re.MULTILINE) for cluster in CLUSTERS), every


def test_it_says_where_everything_is_and_what_to_try(demo):
    demo.until(lambda: "Try next" in demo.told())
    told = demo.told()

    for said in (demo.info["url"], demo.info["repo"], demo.info["kubeconfig"], "yardarm drift", "git -C"):
        assert said in told


def test_every_cluster_follows_a_commit_and_the_trace_tells_how(demo, cluster):
    repo = Checkout(demo.info["repo"])
    path = "apps/web/deployment.yaml"
    repo.write(path, (repo.path / path).read_text().replace("replicas: 2", "replicas: 3"))
    sha = repo.commit("web: three replicas")

    demo.until(lambda: at(demo, sha, "web") == CLUSTERS)

    assert {name: deployment(cluster(name))["spec"]["replicas"] for name in CLUSTERS} == dict.fromkeys(CLUSTERS, 3)
    assert at(demo, sha, "orders") == set()
    trace = demo.json("trace", "web", "--revision", sha[:10])
    assert trace["commit"]["subject"] == "web: three replicas"
    assert trace["healthy"] == len(CLUSTERS)
    for row in trace["clusters"]:
        assert trace["times"]["detected"] <= trace["times"]["published"] <= row["applied"] <= row["healthy"]
    shown = demo.run("trace", "web").stdout
    assert all(name in shown for name in CLUSTERS)
    demo.until(lambda: f"web {sha[:7]}: healthy on 6 clusters" in demo.told())


def test_what_somebody_deletes_is_named_as_drift_and_comes_back(demo, cluster):
    before = deployment(cluster("dev-eu-1"))["metadata"]["uid"]
    cluster("dev-eu-1").delete_deployment("shop", "web")

    found = demo.until(
        lambda: [d for d in demo.json("drift") if d["deleted"] and d["cluster"] == "dev-eu-1" and d["corrected"]]
    )

    assert found[0]["object"]["name"] == "web"
    assert deployment(cluster("dev-eu-1"))["metadata"]["uid"] != before
    demo.until(lambda: "drift on dev-eu-1: Deployment shop/web was deleted" in demo.told())
    assert "Deployment shop/web" in demo.run("drift").stdout


def test_drift_can_be_watched(demo, cluster):
    watching = demo.start("drift", "--watch", "--cluster", "stage-us-1")
    try:
        demo.until(lambda: "no drift" in demo.said(watching))
        cluster("stage-us-1").scale("shop", "orders", 8)

        demo.until(lambda: "replicas: 8" in demo.said(watching))
    finally:
        watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=30) == 0


def test_what_somebody_edits_is_named_with_field_and_put_right(demo, cluster):
    want = deployment(cluster("prod-us-1"), name="orders")["spec"]["replicas"]
    cluster("prod-us-1").scale("shop", "orders", 9)

    found = demo.until(lambda: [d for d in demo.json("drift", "--cluster", "prod-us-1") if d["corrected"]])

    (field,) = found[0]["fields"]
    assert (field["want"], field["have"]) == (want, 9)
    assert field["path"].endswith("replicas")
    demo.until(lambda: deployment(cluster("prod-us-1"), name="orders")["spec"]["replicas"] == want)
    demo.until(lambda: demo.run("drift").returncode == 0)


def test_a_secrets_values_are_shown_nowhere(demo, cluster):
    repo = Checkout(demo.info["repo"])
    known, edited, refused = "correct-horse-battery", "staple-by-an-intruder", "not base64: tr0ub4dor"
    head = "apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\n"
    repo.write("apps/orders/secret.yaml", head % "login" + f"stringData: {{password: {known}}}\n")
    repo.write("apps/orders/wrong.yaml", head % "wrong" + f"data: {{password: '{refused}'}}\n")
    repo.commit("orders: secrets")
    orders = cluster("dev-eu-1")
    failed = demo.until(lambda: [u for u in demo.json("get", "units", "--app", "orders") if u["state"] == "Failed"])
    assert any("wrong" in unit["reason"] for unit in failed)

    orders.set_secret("shop", "login", "password", edited)
    demo.until(
        lambda: [
            d for d in demo.json("drift", "--cluster", "dev-eu-1") if d["object"]["name"] == "login" and d["corrected"]
        ]
    )

    said = demo.told()
    for command in (
        ["status"], ["status", "-o", "json"], ["drift"], ["drift", "-o", "json"], ["get", "events", "-o", "json"],
        ["get", "problems"], ["get", "units", "-o", "json"], ["explain", "orders", "--cluster", "prod-eu-1"],
        ["trace", "orders", "-o", "json"],
    ):  # fmt: skip
        said += demo.run(*command).stdout
    asked = json.loads(demo.fetch("/openapi.json"))["paths"]
    for path in [path for path, methods in asked.items() if "get" in methods and not path.endswith("/stream")]:
        said += demo.fetch(path.format(**dict.fromkeys(re.findall(r"{(\w+)}", path), "orders") | NAMES))
    logs = list(Path(demo.info["repo"]).parent.glob("*.log"))
    said += "".join(each.read_text(errors="replace") for each in logs)
    assert logs
    assert "login" in said
    for value in (known, edited, refused):
        assert value not in said
        assert base64.b64encode(value.encode()).decode() not in said

    repo.remove("apps/orders/wrong.yaml")
    sha = repo.commit("orders: without the wrong one")
    demo.until(lambda: at(demo, sha, "orders") == CLUSTERS)


def test_a_broken_document_is_shown_and_everything_else_goes_on(demo):
    repo = Checkout(demo.info["repo"])
    path = "apps/logs/logs.yaml"
    good = (repo.path / path).read_text()
    repo.write(path, good.replace("  name: logs\n", "  name: logs\n  name: logs\n", 1))
    repo.write("apps/orders/extra.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n")
    sha = repo.commit("logs: broken, orders: more")

    demo.until(lambda: at(demo, sha, "orders") == CLUSTERS)
    broken = demo.until(lambda: demo.json("get", "problems"))
    shown = demo.run("get", "problems")

    assert any(p["place"]["file"] == path and p["place"]["line"] == 5 for p in broken)
    assert shown.returncode == 1
    assert path in shown.stdout
    assert {u["state"] for u in demo.json("get", "units", "--app", "logs")} == {"Ready"}

    repo.write(path, good)
    repo.commit("logs: repaired")
    demo.until(lambda: demo.run("get", "problems").returncode == 0)


def test_an_application_that_leaves_git_leaves_the_clusters(demo, cluster):
    repo = Checkout(demo.info["repo"])
    repo.write("apps/web/extra.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: short-lived}\n")
    there = repo.commit("web: one more")
    demo.until(lambda: at(demo, there, "web") == CLUSTERS)

    def names():
        listed = cluster("stage-eu-1").get("/api/v1/namespaces/shop/configmaps")
        return {item["metadata"]["name"] for item in listed["items"]}

    assert "short-lived" in names()

    repo.remove("apps/web/extra.yaml")
    gone = repo.commit("web: one less")

    demo.until(lambda: at(demo, gone, "web") == CLUSTERS)
    assert "short-lived" not in names()
    assert "web" in names()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_nothing_behind(tmp_path, how):
    with Demo(tmp_path, "--clusters", "2") as demo:
        demo.until(lambda: "Ready" in demo.json("status")["summary"]["units"])
        assert len(demo.processes()) >= 3

        assert demo.end(how) == 0

    demo_processes = demo.processes()
    assert demo_processes == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "info.json").exists()
    assert not (tmp_path / "run/yardarm/demo.json").exists()
    assert "no hub is known" in demo.run("status").stderr


def test_it_takes_its_processes_with_it_when_it_is_killed(tmp_path):
    with Demo(tmp_path, "--clusters", "2") as demo:
        demo.until(lambda: demo.json("status")["summary"]["units"].get("Ready"))
        demo.process.kill()
        demo.process.wait()

        for _ in range(300):
            if not demo.processes():
                break
            subprocess.run(["sleep", "0.1"], check=True)
        assert demo.processes() == []


def test_what_is_kept_goes_on(tmp_path):
    folder = tmp_path / "kept"
    with Demo(tmp_path / "first", "--dir", str(folder), "--clusters", "2") as demo:
        demo.until(lambda: demo.json("status")["summary"]["units"].get("Ready") == 7)
        demo.end(signal.SIGINT)
    repo = Checkout(folder / "fleet")
    repo.write("apps/web/extra.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: later}\n")
    sha = repo.commit("web: while nobody looked")

    with Demo(tmp_path / "second", "--dir", str(folder), "--clusters", "2") as demo:
        demo.until(lambda: at(demo, sha, "web") == {"dev-eu-1", "stage-eu-1"})
        assert demo.run("get", "problems").returncode == 0
