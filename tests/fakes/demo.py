"""`yardarm demo` as a person runs it: a real process, found by its `--info` file, read by the command line.

    with Demo(tmp_path) as demo:
        demo.until(lambda: demo.json("status")["summary"]["units"].get("Ready") == 22)

Nothing is shared with demos elsewhere on the machine: folders, notes and ports are its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
"""Seconds until something that must come has to be there: for slow machines, not for slow programs."""


class Demo:
    """A running demo. `folder` is where it and everything else it makes lives."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.folder = folder
        self.args = args
        self.info: dict[str, str] = {}
        self.log = folder / "demo.txt"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": str(ROOT),
        }

    def __enter__(self) -> Demo:
        for name in ("run", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        info = self.folder / "info.json"
        command = [sys.executable, "-m", "hub", "demo", "--info", str(info), *self.args]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, cwd=self.folder, start_new_session=True
            )
        self.until(info.exists)
        self.info = json.loads(info.read_text())
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGTERM)

    def end(self, how: signal.Signals) -> int:
        """Ends it as a person would and returns its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(timeout=PATIENCE)

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Another command, run by the same person on the same machine."""
        command = [sys.executable, "-m", "hub", *args]
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            timeout=PATIENCE,
        )

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """A command that goes on; `said` is what it has printed."""
        command = [sys.executable, "-m", "hub", *args]
        with self._output(args).open("wb") as output:
            return subprocess.Popen(command, env=self.environment, stdout=output, stderr=output, cwd=self.folder)

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """What a started command has printed so far."""
        args = process.args
        assert isinstance(args, list)
        return self._output(tuple(map(str, args[3:]))).read_text()

    def _output(self, args: tuple[str, ...]) -> Path:
        return self.folder / f"said{'_'.join(args).replace('/', '_')}.txt"

    def json(self, *args: str) -> Any:
        """What a command says for programs."""
        result = self.run(*args, "-o", "json")
        assert result.stdout, result.stderr
        return json.loads(result.stdout)

    def fetch(self, path: str) -> str:
        """What the API answers, whatever its status."""
        request = urllib.request.Request(
            self.info["url"] + path, headers={"Authorization": f"Bearer {self.info['token']}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())

    def until(self, holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Waits until something holds and returns it; while it is asked for, the demo must be alive."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert self.process is not None
            assert self.process.poll() is None, f"the demo ended: {self.told()}"
            assert time.monotonic() < deadline, f"it did not come to it: {self.told()}"
            time.sleep(0.1)
        return found

    def told(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def processes(self) -> list[str]:
        """The command lines of all processes that have to do with this demo's folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.folder) in command:
                found.append(command)
        return found


class DemoCluster:
    """A sandbox cluster by kubectl, or by plain HTTP where that is not installed."""

    def __init__(self, kubeconfig: str, context: str) -> None:
        self.kubeconfig, self.context = kubeconfig, context

    def get(self, path: str) -> Any:
        return self._request("GET", path)

    def delete_deployment(self, namespace: str, name: str) -> None:
        if shutil.which("kubectl"):
            self._kubectl("-n", namespace, "delete", f"deploy/{name}")
        else:
            self._request("DELETE", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        body = json.dumps({"spec": {"replicas": replicas}})
        if shutil.which("kubectl"):
            self._kubectl("-n", namespace, "patch", f"deploy/{name}", "--type=merge", "-p", body)
        else:
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
            self._request("PATCH", path, body, "application/merge-patch+json")

    def set_secret(self, namespace: str, name: str, key: str, value: str) -> None:
        body = json.dumps({"stringData": {key: value}})
        if shutil.which("kubectl"):
            self._kubectl("-n", namespace, "patch", f"secret/{name}", "--type=merge", "-p", body)
        else:
            path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
            self._request("PATCH", path, body, "application/merge-patch+json")

    def _kubectl(self, *args: str) -> None:
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--context", self.context, *args]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == 0, result.stderr

    def _request(self, method: str, path: str, body: str = "", kind: str = "application/json") -> Any:
        config = yaml.safe_load(Path(self.kubeconfig).read_text())
        context = next(c["context"] for c in config["contexts"] if c["name"] == self.context)
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        headers = {"Content-Type": kind}
        if user.get("token"):
            headers["Authorization"] = f"Bearer {user['token']}"
        request = urllib.request.Request(
            cluster["server"].rstrip("/") + path, data=body.encode() or None, headers=headers, method=method
        )
        insecure = ssl._create_unverified_context() if cluster["server"].startswith("https") else None
        with urllib.request.urlopen(request, timeout=30, context=insecure) as answer:
            return json.load(answer)
