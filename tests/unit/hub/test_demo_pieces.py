"""The demo's pure parts: which clusters there are, what is told, when a fleet has settled."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hub.demo import note, repository
from hub.demo.agents import cluster_name
from hub.demo.child import Child
from hub.demo.clusters import read, spread
from hub.demo.options import DemoOptions
from hub.demo.preparing import prepare
from hub.demo.progress import Progress, Snapshot
from hub.demo.settling import CALM, PATIENCE, STUCK, Settling, Verdict
from hub.demo.summary import summary
from shared.errors import DocumentError, YardarmError
from tests.fakes.gitrepo import GitRepo


def test_the_usual_six():
    assert [c.name for c in spread(6)] == ["dev-eu-1", "dev-us-1", "stage-eu-1", "stage-us-1", "prod-eu-1", "prod-us-1"]


@pytest.mark.parametrize("count", [1, 5, 7, 200])
def test_any_number_is_spread_evenly(count):
    clusters = spread(count)

    assert len({c.name for c in clusters}) == count
    sizes = Counter(c.labels["env"] for c in clusters)
    assert max(sizes.values()) - min(sizes[env] for env in ("dev", "stage", "prod")) <= 2


def test_clusters_are_read_from_names_maps_and_documents(tmp_path):
    file = tmp_path / "clusters.yaml"
    file.write_text(
        "[a, {name: b, labels: {env: prod}}]\n---\n"
        "apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {name: c}\nspec: {variables: {region: eu}}\n"
    )
    listing = tmp_path / "clusters.json"
    listing.write_text('{"clusters": [{"name": "x"}]}')

    found = read(file)

    assert [(c.name, c.labels, c.variables) for c in found] == [
        ("a", {}, {}), ("b", {"env": "prod"}, {}), ("c", {}, {"region": "eu"}),
    ]  # fmt: skip
    assert [c.name for c in read(listing)] == ["x"]


@pytest.mark.parametrize(
    ("content", "said"),
    [("[a, a]", "named twice"), ("[Not_A_Name]", "Not_A_Name"), ("", "no clusters"), ("[{labels: {}}]", "not a cluster"),
     ("apiVersion: yardarm.dev/v1alpha1\nkind: Environment\nmetadata: {name: x}\nspec: {}", "not a cluster")],
)  # fmt: skip
def test_what_is_no_list_of_clusters_is_said(tmp_path, content, said):
    file = tmp_path / "clusters.yaml"
    file.write_text(content)

    with pytest.raises(DocumentError, match=said):
        read(file)


def test_a_context_names_a_cluster():
    assert cluster_name("arn:aws:eks:eu-west-1:1234:cluster/Prod_One") == "arn-aws-eks-eu-west-1-1234-cluster-prod-one"
    with pytest.raises(YardarmError):
        cluster_name("???")


async def test_a_repository_that_names_clusters_gets_exactly_those(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.write(
        "c.yaml", "apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {name: mine, labels: {env: prod}}\n"
    )
    repo.commit()

    prepared = await prepare(DemoOptions(repo=str(repo.path)), tmp_path / "state", 1.0)

    assert [(c.name, c.labels) for c in prepared.clusters] == [("mine", {"env": "prod"})]
    assert prepared.settings.clusters_file is None


async def test_a_repository_without_clusters_gets_the_usual_six_or_those_asked_for(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.write("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    repo.commit()
    (tmp_path / "state").mkdir()

    usual = await prepare(DemoOptions(repo=str(repo.path)), tmp_path / "state", 1.0)
    three = await prepare(DemoOptions(repo=str(repo.path), clusters="3"), tmp_path / "state", 1.0)

    assert len(usual.clusters) == 6
    assert len(three.clusters) == 3
    assert three.settings.clusters_file is not None
    assert [c.name for c in read(three.settings.clusters_file)] == [c.name for c in three.clusters]


def test_the_sample_is_written_once(tmp_path):
    first = repository.create(tmp_path / "fleet", spread(6), 1.0)
    (tmp_path / "fleet/apps/web/service.yaml").write_text("mine")

    assert repository.create(tmp_path / "fleet", spread(6), 2.0) == first
    assert (tmp_path / "fleet/apps/web/service.yaml").read_text() == "mine"


def test_notes_are_private_and_only_their_writer_removes_them(tmp_path):
    place = tmp_path / "yardarm" / "demo.json"
    note.write_own(place, {"url": "one"})
    assert place.stat().st_mode & 0o077 == 0
    note.write_own(place, {"url": "two"})

    note.remove_own(place, {"url": "one"})
    assert place.exists()
    note.remove_own(place, {"url": "two"})
    assert not place.parent.exists()


def test_no_note_is_left_where_others_may_write(tmp_path):
    place = tmp_path / "shared" / "demo.json"
    place.parent.mkdir()
    place.parent.chmod(0o777)

    with pytest.raises(YardarmError, match="YARDARM_HUB"):
        note.write_own(place, {"url": "one"})


def snapshot(at=100.0, *, states=None, applications=None, problems=(), commit="c0ffee", drift=(), units=()):
    states = {"Ready": 2} if states is None else states
    return Snapshot(
        at=at,
        summary={
            "commit": commit,
            "clusters": {"total": 2, "stale": 0, "waiting": 0},
            "applications": 1,
            "units": {"total": sum(states.values())} | states,
            "drifted": 0,
            "problems": {"error": sum(p["severity"] == "error" for p in problems), "warning": 0},
        },
        clusters=[],
        applications=[application()] if applications is None else applications,
        units=list(units),
        drift=list(drift),
        problems=list(problems),
    )


def application(clusters=2, total=2, errors=0, **more):
    commit = {"sha": "c0ffee", "subject": "a change", "author": "Ada", "at": 1.0}
    return {
        "name": "web",
        "revision": "r1",
        "clusters": clusters,
        "units": {"total": total},
        "problemCounts": {"error": errors, "warning": 0},
        "commit": commit,
        "trace": "t1",
        "history": [
            {"revision": "r1", "commit": commit, "published": 2, "times": {"detected": 10.0, "published": 10.5}}
        ],
    } | more


def unit(cluster="c1", state="Ready", *, reason="", digest="d1", healthy=11.0):
    return {
        "cluster": cluster, "namespace": "shop", "application": "web", "state": state, "reason": reason,
        "want": {"digest": "d1"}, "have": {"digest": digest, "applied": 10.8, "healthy": healthy},
    }  # fmt: skip


ERROR = {
    "severity": "error",
    "message": "unknown field",
    "place": {"file": "a.yaml", "line": 3, "field": "spec.x"},
    "hint": "remove it",
}


def settle(*snapshots):
    settling = Settling()
    return [settling.observe(one) for one in snapshots][-1]


def test_a_fleet_that_is_ready_and_stays_so_is_fine():
    assert settle(snapshot(100)) is None
    assert settle(snapshot(100), snapshot(100 + CALM)) is Verdict.FINE
    assert (
        settle(snapshot(100, states={"Ready": 1, "Progressing": 1}), snapshot(100 + PATIENCE)) is None
    )  # changed just now


@pytest.mark.parametrize(
    "moving",
    [
        {"states": {"Ready": 1, "Progressing": 1}},
        {"states": {"Waiting": 2}},
        {"commit": "", "applications": [], "states": {}},
        {"applications": [application(total=1)]},
    ],
)
def test_what_is_on_its_way_has_not_settled_unless_it_is_stuck(moving):
    assert settle(snapshot(0, **moving), snapshot(3 * PATIENCE, **moving)) is None
    assert settle(snapshot(0, **moving), snapshot(STUCK, **moving)) is Verdict.TROUBLE


@pytest.mark.parametrize(
    "trouble",
    [
        {"states": {"Ready": 1, "Failed": 1}},
        {"problems": [ERROR]},
        {"commit": "", "applications": [], "states": {}, "problems": [ERROR]},
        {"applications": [application(total=0, errors=1)], "states": {}, "problems": [ERROR]},
    ],
)
def test_trouble_that_stays_is_a_verdict(trouble):
    assert settle(snapshot(0, **trouble), snapshot(PATIENCE - 1, **trouble)) is None
    assert settle(snapshot(0, **trouble), snapshot(PATIENCE, **trouble)) is Verdict.TROUBLE


def test_each_thing_is_told_once():
    progress = Progress()
    first = progress.news(snapshot(units=[unit("c1"), unit("c2", "Progressing", healthy=None)]))
    again = progress.news(snapshot(units=[unit("c1"), unit("c2", "Progressing", healthy=None)]))
    later = progress.news(snapshot(units=[unit("c1"), unit("c2")]))

    assert [line.text for line in first] == [
        "commit c0ffee “a change” by Ada",
        "web c0ffee: rendered and published to 2 clusters in 0.5s",
        "web c0ffee: applied on 2 clusters, 0.8s after it was seen",
    ]
    assert again == []
    assert [line.text for line in later] == ["web c0ffee: healthy on 2 clusters, 1s after it was seen"]


def test_drift_is_told_when_it_begins_and_when_it_is_put_right():
    progress = Progress()
    drift = {
        "cluster": "c1", "application": "web", "since": 50.0, "corrected": None, "deleted": False, "mode": "correct",
        "object": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"},
        "fields": [{"path": "spec.replicas", "want": 2, "have": 7, "manager": "kubectl-edit", "at": 50.0}],
    }  # fmt: skip
    progress.news(snapshot())

    began = progress.news(snapshot(drift=[drift]))
    ended = progress.news(snapshot(drift=[drift | {"corrected": 50.4}]))

    assert [line.text for line in began] == [
        "drift on c1: Deployment shop/web: spec.replicas is 7, want 2 (by kubectl-edit)"
    ]
    assert [line.text for line in ended] == ["drift on c1: Deployment shop/web put right after 0.4s"]


def test_trouble_on_many_clusters_is_one_line_and_problems_name_their_place():
    progress = Progress()
    lines = progress.news(
        snapshot(units=[unit(f"c{n}", "Failed", reason="no such image") for n in range(5)], problems=[ERROR])
    )

    texts = [line.text for line in lines]
    assert "web is Failed on c0, c1, c2 and 2 more: no such image" in texts
    assert "a.yaml:3: spec.x: error: unknown field (remove it)" in texts
    gone = progress.news(snapshot(units=[unit("c1")]))
    assert any(line.text.startswith("no longer: a.yaml:3") for line in gone)


def test_the_summary_is_for_programs():
    found = summary(snapshot(units=[unit("c2", "Failed", reason="no such image")]), Verdict.TROUBLE, 3.14159)

    assert found["result"] == "trouble"
    assert found["units"] == {"total": 2, "Ready": 2}
    assert (found["clusters"], found["applications"], found["commit"], found["trace"]) == (2, 1, "c0ffee", "t1")
    assert found["seconds"] == 3.142
    assert found["unready"][0]["reason"] == "no such image"


async def test_a_child_ends_with_its_block(tmp_path):
    async with Child(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], tmp_path / "log"
    ) as child:
        pid = child._process.pid
        assert _lives(pid)

    assert not _lives(pid)


def test_a_child_ends_with_its_parent_however_that_ends(tmp_path):
    program = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from hub.demo.child import Child\n"
        "async def main():\n"
        "    async with Child([sys.executable, '-c', 'import time; time.sleep(600)'], Path(sys.argv[1])) as child:\n"
        "        print(child._process.pid, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "log")], capture_output=True, text=True, check=False
    )
    pid = int(result.stdout)

    for _ in range(200):
        if not _lives(pid):
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert not _lives(pid)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
