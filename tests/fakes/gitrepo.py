"""Real Git repositories for tests: built with the git command, served over HTTP (git http-backend) or git://.

    repo = GitRepo(tmp_path / "fleet")
    repo.write("apps/web/deploy.yaml", "…")
    sha = repo.commit("web: first version")
    with repo.serve_http(user="bot", password="secret") as url: ...

Nothing of the developer's own Git configuration is read.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


class GitRepo:
    """A repository with a working tree on branch `main`. `path` is its directory, `url` the same as file://."""

    def __init__(self, path: Path | str, *, bare: bool = False) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *(["--bare"] if bare else []))

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def git(self, *args: str, **env: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.path, env=ENVIRONMENT | env, capture_output=True, check=False, text=True
        )
        if done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def write(self, path: str, content: str | bytes) -> None:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def remove(self, path: str) -> None:
        target = self.path / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()

    def symlink(self, path: str, target: str) -> None:
        link = self.path / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def commit(self, message: str = "change", *, when: int | None = None) -> str:
        """Commit everything in the working tree (also when nothing changed) and return the commit's sha."""
        self.git("add", "--all")
        env = {"GIT_AUTHOR_DATE": f"{when} +0000", "GIT_COMMITTER_DATE": f"{when} +0000"} if when else {}
        self.git("commit", "--quiet", "--allow-empty", "--message", message, **env)
        return self.head

    def branch(self, name: str, *, switch: bool = True) -> None:
        """Make a branch at HEAD, and go there."""
        self.git(*(("switch", "--quiet", "-C", name) if switch else ("branch", "--force", name)))

    def switch(self, name: str) -> None:
        self.git("switch", "--quiet", name)

    def tag(self, name: str, *, annotated: bool = False) -> None:
        self.git("tag", *(["--annotate", "--message", name] if annotated else []), name)

    def delete_branch(self, name: str) -> None:
        self.git("branch", "--quiet", "-D", name)

    def rewrite(self, message: str = "rewritten") -> str:
        """Amend the last commit, as before a force push: its sha changes, its parent stays."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--amend", "--allow-empty", "--message", message)
        return self.head

    def force_push(self, remote: str, ref: str = "HEAD:refs/heads/main") -> None:
        self.git("push", "--quiet", "--force", remote, ref)

    def replace_history(self, message: str = "another repository") -> str:
        """Put an unrelated history on `main`, as if the repository had been replaced by another."""
        self.git("checkout", "--quiet", "--orphan", "replacement")
        sha = self.commit(message)
        self.git("branch", "--quiet", "-D", "main")
        self.git("branch", "--quiet", "-m", "main")
        return sha

    @contextlib.contextmanager
    def serve_http(
        self,
        *,
        user: str = "",
        password: str = "",
        port: int = 0,
        certificate: Path | None = None,
        seen: list[str] | None = None,
        moved: dict[str, str] | None = None,
    ) -> Iterator[str]:
        """Serve over smart HTTP on loopback; yields the URL.

        With `user`, Basic authentication is demanded; with `certificate` (a PEM file with key), it is HTTPS. `seen`
        collects the credentials of each request; `moved` are paths that redirect to another on this server.
        """
        expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        server = _Server(("127.0.0.1", port), _Handler)
        server.root, server.authorization, server.requests = self.path.parent, expected, []
        server.seen, server.moved = seen if seen is not None else [], moved or {}
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}/{self.path.name}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)

    @contextlib.contextmanager
    def serve_daemon(self) -> Iterator[str]:
        """Serve over git:// on loopback; yields the URL."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen(
            ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr", "--export-all",
             f"--base-path={self.path.parent}", str(self.path.parent)],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            _wait_for_port(port, process)
            yield f"git://127.0.0.1:{port}/{self.path.name}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=5)


def has_git_daemon() -> bool:
    exec_path = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    return (Path(exec_path) / "git-daemon").exists()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError("git daemon did not start")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    root: Path
    authorization: str
    requests: list[str]
    seen: list[str]
    moved: dict[str, str]


class _Handler(BaseHTTPRequestHandler):
    """The CGI side of `git http-backend`."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self._body()
        self.server.requests.append(f"{self.command} {self.path}")
        self.server.seen.append(self.headers.get("Authorization", ""))
        for old, new in self.server.moved.items():
            if self.path.startswith(f"{old}/"):
                self._answer(301, [("Location", new + self.path.removeprefix(old))], b"")
                return
        if self.server.authorization and self.headers.get("Authorization") != self.server.authorization:
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env=ENVIRONMENT
            | {
                "GIT_PROJECT_ROOT": str(self.server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(v.split()[0]) for k, v in headers if k.lower() == "status"), 200)
        self._answer(status, [(k, v) for k, v in headers if k.lower() != "status"], content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, status: int, headers: list[tuple[str, ...]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Quiet: the tests look at `requests`."""
