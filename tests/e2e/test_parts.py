"""The parts as they are run for real, and as compose.yaml runs them: a NATS of one's own, a hub, agents; no demo."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.fakes.demo import PATIENCE, ROOT
from tests.fakes.gitrepo import GitRepo
from tests.fakes.natsserver import free_port

pytestmark = pytest.mark.timeout(300)

TOKEN = "a-token-for-this-test"


class Machine:
    """One person's machine: a folder, an environment, programs that run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, *command, **environment):
        return subprocess.run(
            [*map(str, command)],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
        )

    def yardarm(self, *args, **environment):
        return self.run(sys.executable, "-m", "hub", *args, **environment)

    def start(self, name, *command, **environment):
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*map(str, command)],
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def until(self, holds, what):
        deadline = time.monotonic() + PATIENCE
        while not (found := holds()):
            logs = "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, f"{what}\n{logs}"
            time.sleep(0.1)
        return found

    def end(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.end()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)
    except OSError:
        return None


def test_hub_nats_and_agents_meet_by_keys_alone(machine, tmp_path):
    nats, monitor, api = free_port(), free_port(), free_port()
    state, fleet = tmp_path / "hub", tmp_path / "fleet"
    assert machine.yardarm(
        "keys", "nats", "--state", state, "--listen", f"127.0.0.1:{nats}", "--monitor", f"127.0.0.1:{monitor}",
        "--store", tmp_path / "js", "--out", tmp_path / "nats.conf",
    ).returncode == 0  # fmt: skip
    for cluster in ("dev-eu-1", "dev-us-1"):
        out = tmp_path / "creds" / f"{cluster}.creds"
        assert machine.yardarm("keys", "agent", cluster, "--state", state, "--out", out).returncode == 0
    assert machine.yardarm("sample", fleet, "--clusters", "6").returncode == 0

    # Agents first: nothing depends on the order in which the parts come up.
    agents = machine.start(
        "agents", sys.executable, "-m", "agent", "sandbox", YARDARM_NATS=f"nats://127.0.0.1:{nats}",
        YARDARM_CREDS_DIR=str(tmp_path / "creds"), YARDARM_STATE=str(tmp_path / "agents"),
        YARDARM_CLUSTERS=str(ROOT / "deploy/compose/clusters-dev.json"), YARDARM_HEARTBEAT="1",
    )  # fmt: skip
    machine.start("nats", Path(sys.executable).parent / "nats-server", "-c", tmp_path / "nats.conf")
    machine.until(lambda: answers(f"http://127.0.0.1:{monitor}/healthz"), "NATS does not answer")
    config = tmp_path / "hub.yaml"
    config.write_text(
        f"state: {state}\nport: {api}\nfleet_repo: {fleet}\ngit: {{poll_interval: 1}}\nnats: {{url: 'nats://127.0.0.1:{nats}'}}\n"
    )
    hub = machine.start("hub", sys.executable, "-m", "hub", "hub", "--config", config, YARDARM_TOKEN=TOKEN)
    machine.until(lambda: (answers(f"http://127.0.0.1:{api}/readyz") or {}).get("ready"), "the hub does not get ready")

    def units():
        found = machine.yardarm(
            "get", "units", "-o", "json", YARDARM_HUB=f"http://127.0.0.1:{api}", YARDARM_TOKEN=TOKEN
        )
        return {(u["cluster"], u["application"]): u["state"] for u in json.loads(found.stdout)}

    there = {(cluster, app) for cluster in ("dev-eu-1", "dev-us-1") for app in ("web", "orders", "platform")}
    machine.until(
        lambda: {key for key, state in units().items() if state == "Ready"} == there, "dev does not get Ready"
    )
    assert {state for key, state in units().items() if key not in there} == {"Waiting"}
    refused = machine.yardarm("status", YARDARM_HUB=f"http://127.0.0.1:{api}", YARDARM_TOKEN="wrong")
    assert refused.returncode == 1
    assert "YARDARM_TOKEN" in refused.stderr

    # A hub that was away finds everything as it was, and what was committed meanwhile.
    hub.send_signal(signal.SIGTERM)
    assert hub.wait(timeout=30) == 0
    repo = GitRepo(fleet)
    repo.write("apps/web/more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n")
    sha = repo.commit("web: more")
    machine.start("hub-again", sys.executable, "-m", "hub", "hub", "--config", config, YARDARM_TOKEN=TOKEN)

    def at_the_new_commit():
        if not (answers(f"http://127.0.0.1:{api}/readyz") or {}).get("ready"):
            return False
        found = machine.yardarm(
            "get", "units", "-o", "json", YARDARM_HUB=f"http://127.0.0.1:{api}", YARDARM_TOKEN=TOKEN
        )
        listed = json.loads(found.stdout) if found.returncode == 0 else []
        return {
            (u["cluster"], u["application"]) for u in listed if u["have"]["commit"] == sha and u["state"] == "Ready"
        }

    moved = machine.until(at_the_new_commit, "nothing follows the commit")
    machine.until(
        lambda: at_the_new_commit() == {("dev-eu-1", "web"), ("dev-us-1", "web")}, "not every cluster follows"
    )
    assert {app for _, app in moved} == {"web"}
    agents.send_signal(signal.SIGTERM)
    assert agents.wait(timeout=30) == 0


def test_a_hub_that_cannot_start_says_why(machine, tmp_path):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    with taken:
        port = str(taken.getsockname()[1])
        busy = machine.yardarm(
            "hub", YARDARM_PORT=port, YARDARM_FLEET_REPO=str(tmp_path), YARDARM_STATE=str(tmp_path / "s")
        )
        demo = machine.yardarm("demo", "--port", port)
    wrong = tmp_path / "hub.yaml"
    wrong.write_text("fleet_repos: x\n")
    unknown = machine.yardarm("hub", "--config", wrong)
    open_to_all = machine.yardarm("hub", YARDARM_HOST="0.0.0.0", YARDARM_FLEET_REPO="x")

    for result, said in ((busy, port), (demo, port), (unknown, "fleet_repos"), (open_to_all, "YARDARM_TOKEN")):
        assert result.returncode == 1, result.stderr
        assert said in result.stderr
        assert "Traceback" not in result.stderr
