"""A mirror of real repositories: every transport, and everything that can happen to a repository."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hub.sources import access
from hub.sources.access import Credentials, Limits
from hub.sources.mirror import Mirror, directory_name
from shared.errors import DocumentError, Unavailable
from tests.fakes.gitrepo import GitRepo, has_git_daemon


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    made = GitRepo(tmp_path / "remote" / "fleet")
    made.write("apps/web/deploy.yaml", "kind: Deployment\n")
    made.commit("web: first version", when=1_700_000_000)
    return made


@contextlib.asynccontextmanager
async def mirror_of(url: str | Path, tmp_path: Path, **kw: object) -> AsyncIterator[Mirror]:
    mirror = Mirror(str(url), tmp_path / "mirrors" / directory_name(str(url)), **kw)
    try:
        yield mirror
    finally:
        mirror.close()


def mirror_files(mirror: Mirror) -> Path:
    (found,) = mirror._directory.iterdir()
    return found


async def read_file(mirror: Mirror, commit: str, path: str) -> bytes:
    return await mirror.read(lambda objects: objects.blob(objects.find(commit, path).oid))


async def test_every_transport_gives_the_same_commit_and_content(repo, tmp_path):
    with contextlib.ExitStack() as stack:
        urls = [str(repo.path), repo.url, str(repo.path / ".git"), stack.enter_context(repo.serve_http())]
        if has_git_daemon():
            urls.append(stack.enter_context(repo.serve_daemon()))
        for url in urls:
            async with mirror_of(url, tmp_path) as mirror:
                tips = await mirror.fetch()
                assert (tips.head, tips.default, tips.notices) == (repo.head, "refs/heads/main", ())
                assert await mirror.resolve("") == repo.head
                assert await read_file(mirror, repo.head, "apps/web/deploy.yaml") == b"kind: Deployment\n"


async def test_commit_info_is_what_git_says(repo, tmp_path):
    first = repo.head
    second = repo.commit("web: second version\n\nwith a body", when=1_700_000_100)
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        info = await mirror.commit_info(second)
    assert (info.author, info.email, info.subject) == ("Ada", "ada@example.com", "web: second version")
    assert (info.time, info.parents) == (1_700_000_100.0, (first,))


async def test_without_news_nothing_is_fetched(repo, tmp_path):
    with repo.serve_http() as url:
        async with mirror_of(url, tmp_path) as mirror:
            first = await mirror.fetch()
            packs = sorted(mirror_files(mirror).glob("objects/pack/*"))
            second = await mirror.fetch()
            assert second.same_as(first)
            assert sorted(mirror_files(mirror).glob("objects/pack/*")) == packs


async def test_refs_of_every_kind_resolve(repo, tmp_path):
    old = repo.head
    repo.tag("v1.2.0", annotated=True)
    new = repo.commit("next")
    repo.tag("v1.3.0")
    repo.tag("v2.0.0-rc.1")
    repo.branch("feature/x", switch=False)
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        for ref in ("", "HEAD", "main", "refs/heads/main", "feature/x", new, new[:10], "^1.0", ">=1.2 <2", "v1.3.0"):
            assert await mirror.resolve(ref) == new, ref
        assert await mirror.resolve("v1.2.0") == old
        assert await mirror.resolve("~1.2.0") == old
        with pytest.raises(DocumentError, match="did you mean 'main'"):
            await mirror.resolve("mian")
        with pytest.raises(DocumentError, match="no tag is in the range"):
            await mirror.resolve(">=3")


async def test_a_token_is_sent_and_shown_nowhere(repo, tmp_path, caplog):
    with repo.serve_http(user="bot", password="s3cr3t-token") as url:
        async with mirror_of(url, tmp_path, credentials=Credentials(username="bot", token="s3cr3t-token")) as mirror:
            assert (await mirror.fetch()).head == repo.head
            config = (mirror_files(mirror) / "config").read_text()
            assert "s3cr3t" not in config + repr(mirror._credentials) + caplog.text
        with_user_info = url.replace("http://", "http://bot:s3cr3t-token@")
        async with mirror_of(with_user_info, tmp_path) as mirror:
            assert (await mirror.fetch()).head == repo.head
            assert "s3cr3t" not in mirror.name + (mirror_files(mirror) / "config").read_text()


async def test_refused_credentials_end_with_one_clear_error(repo, tmp_path):
    with repo.serve_http(user="bot", password="right") as url:
        async with mirror_of(url, tmp_path, credentials=Credentials(token="wr0ng")) as mirror:
            with pytest.raises(Unavailable, match="refused the token") as refused:
                await mirror.fetch()
            assert "wr0ng" not in str(refused.value)
        async with mirror_of(url, tmp_path) as mirror:
            with pytest.raises(Unavailable, match="asks for credentials, and none are set"):
                await mirror.fetch()


async def test_an_unreachable_repository_keeps_its_last_good_state(repo, tmp_path):
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        sha, away = repo.head, repo.path.with_name("away")
        repo.path.rename(away)
        with pytest.raises(Unavailable, match="no such directory"):
            await mirror.fetch()
        assert await mirror.resolve("main") == sha
        assert await read_file(mirror, sha, "apps/web/deploy.yaml")
    async with mirror_of(repo.path, tmp_path) as restarted:
        tips = await restarted.local()
        assert tips is not None
        assert (tips.head, tips.default) == (sha, "refs/heads/main")
        away.rename(repo.path)
        assert (await restarted.fetch()).head == sha


async def test_a_server_that_accepts_and_says_nothing_times_out(repo, tmp_path):
    access.configure(Limits(connect_timeout=1, server_timeout=1))
    try:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            async with mirror_of(f"http://127.0.0.1:{silent.getsockname()[1]}/x", tmp_path) as mirror:
                with pytest.raises(Unavailable, match="timed out"):
                    await mirror.fetch()
    finally:
        access.configure(Limits())


async def test_reading_goes_on_while_a_fetch_hangs(repo, tmp_path):
    """The remote stops answering in the middle of a fetch; what is already here is read all the same."""
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            mirror.location = type(mirror.location)("http", f"http://127.0.0.1:{silent.getsockname()[1]}/x", "", "", "")
            access.configure(Limits(server_timeout=5))
            try:
                async with asyncio.TaskGroup() as tasks:
                    hanging = tasks.create_task(_fails(mirror))
                    assert await mirror.resolve("main") == repo.head
                    assert not hanging.done()
                    silent.close()
            finally:
                access.configure(Limits())


async def _fails(mirror: Mirror) -> None:
    with pytest.raises(Unavailable):
        await mirror.fetch()


async def test_an_empty_repository_is_a_state_not_an_error(tmp_path):
    empty = GitRepo(tmp_path / "empty")
    async with mirror_of(empty.path, tmp_path) as mirror:
        tips = await mirror.fetch()
        assert tips.empty
        with pytest.raises(DocumentError, match="no commit yet"):
            await mirror.resolve("main")
        empty.write("a.yaml", "a: 1\n")
        sha = empty.commit("first")
        assert (await mirror.fetch()).head == sha
        assert await mirror.resolve("") == sha


async def test_a_repository_that_becomes_empty_keeps_what_it_had(repo, tmp_path):
    sha = repo.head
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        shutil.rmtree(repo.path)
        GitRepo(repo.path)
        tips = await mirror.fetch()
        assert [notice.kind for notice in tips.notices] == ["emptied"]
        assert await mirror.resolve("main") == sha
        assert (await mirror.fetch()).notices == ()


async def test_rewritten_history_is_followed_and_told(repo, tmp_path):
    repo.commit("second")
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        old = repo.head
        new = repo.rewrite()
        tips = await mirror.fetch()
        assert tips.head == new
        (notice,) = tips.notices
        assert (notice.kind, notice.ref, notice.old, notice.new) == ("rewritten", "refs/heads/main", old, new)
        assert "history of main was rewritten" in notice.message


async def test_a_force_push_to_a_bare_repository_is_followed(repo, tmp_path):
    shared = GitRepo(tmp_path / "shared.git", bare=True)
    repo.commit("second")
    repo.force_push(str(shared.path))
    async with mirror_of(shared.url, tmp_path) as mirror:
        await mirror.fetch()
        repo.git("reset", "--quiet", "--hard", "HEAD~1")
        repo.force_push(str(shared.path))
        tips = await mirror.fetch()
        assert tips.head == repo.head
        assert [notice.kind for notice in tips.notices] == ["rewritten"]


async def test_a_repository_replaced_by_another_is_followed_and_told(repo, tmp_path):
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        new = repo.replace_history()
        tips = await mirror.fetch()
        assert tips.head == new
        assert [notice.kind for notice in tips.notices] == ["replaced"]


async def test_a_deleted_branch_keeps_its_last_commit(repo, tmp_path):
    repo.branch("release")
    released = repo.commit("released")
    repo.switch("main")
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        repo.delete_branch("release")
        tips = await mirror.fetch()
        assert tips.gone == {"refs/heads/release"}
        assert [notice.kind for notice in tips.notices] == ["deleted"]
        assert await mirror.resolve("release") == released


async def test_a_branch_may_come_where_a_deleted_one_stands_in_the_way(repo, tmp_path):
    repo.branch("release", switch=False)
    repo.branch("team/a", switch=False)
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        repo.delete_branch("release")
        repo.delete_branch("team/a")
        repo.branch("release/1.0", switch=False)
        repo.branch("team", switch=False)
        await mirror.fetch()
        assert await mirror.resolve("release/1.0") == await mirror.resolve("team") == repo.head


async def test_a_damaged_mirror_is_made_anew(repo, tmp_path):
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        for pack in [*mirror_files(mirror).glob("objects/pack/*"), *mirror_files(mirror).glob("objects/??/*")]:
            pack.chmod(0o600)
            os.truncate(pack, 10)
        mirror._objects = None
        with pytest.raises(Unavailable, match="made anew at the next fetch"):
            await read_file(mirror, repo.head, "apps/web/deploy.yaml")
        tips = await mirror.fetch()
        assert [notice.kind for notice in tips.notices] == ["recloned"]
        assert await read_file(mirror, repo.head, "apps/web/deploy.yaml") == b"kind: Deployment\n"


async def test_a_mirror_of_many_fetches_is_compacted_and_loses_nothing(repo, tmp_path, monkeypatch):
    monkeypatch.setattr("hub.sources.mirror.MAX_PACKS", 4)
    first = repo.head
    repo.branch("short-lived", switch=False)
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        repo.delete_branch("short-lived")
        for number in range(12):
            repo.write("apps/web/deploy.yaml", f"kind: Deployment{number}\n")
            sha = repo.commit(f"change {number}")
            tips = await mirror.fetch()
            assert tips.head == sha
            assert await read_file(mirror, sha, "apps/web/deploy.yaml") == f"kind: Deployment{number}\n".encode()
        assert len(list(mirror_files(mirror).glob("objects/pack/*.pack"))) <= 5
        assert tips.gone == {"refs/heads/short-lived"}
        assert tips.notices == ()
        assert await mirror.resolve("short-lived") == first


async def test_a_lock_left_by_a_killed_process_does_not_stop_the_mirror(repo, tmp_path):
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        (mirror_files(mirror) / "refs/heads/main.lock").touch()
        (mirror_files(mirror) / "packed-refs.lock").touch()
    sha = repo.commit("after the crash")
    async with mirror_of(repo.path, tmp_path) as mirror:
        assert (await mirror.fetch()).head == sha


async def test_a_working_repository_gives_its_commits_not_its_uncommitted_changes(repo, tmp_path):
    repo.write("apps/web/deploy.yaml", "kind: Uncommitted\n")
    async with mirror_of(repo.path, tmp_path) as mirror:
        tips = await mirror.fetch()
        assert await read_file(mirror, tips.head, "apps/web/deploy.yaml") == b"kind: Deployment\n"
        repo.git("checkout", "--quiet", "--detach")
        detached = repo.commit("on no branch")
        tips = await mirror.fetch()
        assert (tips.head, tips.default) == (detached, "")
        assert await mirror.resolve("HEAD") == detached


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_a_server_with_an_untrusted_certificate_is_refused(repo, tmp_path):
    certificate = tmp_path / "self-signed.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.write_text(certificate.read_text() + (tmp_path / "cert.pem").read_text())
    with repo.serve_http(certificate=certificate) as url:
        async with mirror_of(url, tmp_path) as mirror:
            with pytest.raises(Unavailable, match=r"the certificate of 127\.0\.0\.1 is not trusted here"):
                await mirror.fetch()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
async def test_a_repository_of_another_user_says_how_to_allow_it(repo, tmp_path):
    for path in [repo.path, *repo.path.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    async with mirror_of(repo.path, tmp_path) as mirror:
        with pytest.raises(Unavailable, match=f"not owned by current user .*safe.directory {repo.path}"):
            await mirror.fetch()


async def test_a_closed_mirror_says_so(repo, tmp_path):
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
    with pytest.raises(Unavailable, match="is closed"):
        await mirror.resolve("main")


async def test_many_read_while_others_fetch(repo, tmp_path):
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()

        async def read() -> None:
            sha = await mirror.resolve("main")
            assert await read_file(mirror, sha, "apps/web/deploy.yaml")

        for number in range(5):
            sha = await asyncio.to_thread(repo.commit, f"change {number}")
            async with asyncio.TaskGroup() as tasks:
                for _ in range(20):
                    tasks.create_task(read())
                fetches = [tasks.create_task(mirror.fetch()) for _ in range(3)]
            assert {fetch.result().head for fetch in fetches} == {sha}


async def test_a_fetch_larger_than_the_limit_is_broken_off(repo, tmp_path):
    repo.write("big.bin", os.urandom(3_000_000))
    repo.commit("too much")
    with repo.serve_http() as url:
        async with mirror_of(url, tmp_path, limits=Limits(fetch_bytes=1024**2)) as mirror:
            with pytest.raises(Unavailable, match="larger than the limit of 1 MB"):
                await mirror.fetch()


async def test_paths_that_lead_astray_are_named(repo, tmp_path):
    repo.symlink("apps/linked", "web")
    repo.commit("a link to a directory")
    async with mirror_of(repo.path, tmp_path) as mirror:
        await mirror.fetch()
        for path, complaint in {
            "apps/wbe": "did you mean 'web'",
            "apps/linked/deploy.yaml": "apps/linked is a symbolic link",
            "../etc": "leads out of the repository",
            "/etc": "leads out of the repository",
            "apps/web/deploy.yaml/x": "is a file, not a directory",
        }.items():
            with pytest.raises(DocumentError, match=complaint):
                await read_file(mirror, repo.head, path)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://127.0.0.1:1/x", "Connection refused"),
        ("git://127.0.0.1:1/x", "Connection refused"),
        ("ssh://git@127.0.0.1:1/x", "Connection refused"),
        ("/nonexistent/fleet", "no such directory"),
    ],
)
async def test_what_cannot_be_reached_says_so(tmp_path, url, complaint):
    async with mirror_of(url, tmp_path) as mirror:
        with pytest.raises(Unavailable, match=complaint) as failed:
            await mirror.fetch()
        assert mirror.name in str(failed.value)
        assert await mirror.local() is None
        with pytest.raises(Unavailable, match="has not been fetched yet"):
            await mirror.resolve("main")


@contextlib.contextmanager
def redirecting(target: str, code: int = 302) -> Iterator[tuple[str, list[str]]]:
    """A server that sends everybody on to `target`; yields its origin, and whatever credentials it was shown."""
    shown: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers.get("Authorization", ""))
            self.send_response(code)
            self.send_header("Location", target + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", shown
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_a_redirect_to_another_host_is_not_followed(repo, tmp_path, code):
    with repo.serve_http(user="bot", password="t0ken") as url:
        elsewhere = url.rpartition("/")[0].replace("127.0.0.1", "localhost")
        with redirecting(elsewhere, code) as (origin, _):
            async with mirror_of(f"{origin}/fleet", tmp_path, credentials=Credentials(token="t0ken")) as mirror:
                with pytest.raises(Unavailable, match=r"cannot redirect from '127\.0\.0\.1' to 'localhost'.*write its"):
                    await mirror.fetch()


async def test_credentials_are_not_shown_to_another_server_after_a_redirect(repo, tmp_path):
    """Another port of the same host is another server."""
    asked: list[str] = []
    with (
        repo.serve_http(user="bot", password="t0ken", seen=asked) as url,
        redirecting(url.rpartition("/")[0]) as (origin, _),
    ):
        async with mirror_of(
            f"{origin}/fleet", tmp_path, credentials=Credentials(username="bot", token="t0ken")
        ) as mirror:
            with pytest.raises(
                Unavailable, match=r"its server redirects to 127\.0\.0\.1:.* which is not shown the credentials"
            ):
                await mirror.fetch()
    assert set(asked) == {""}


async def test_a_redirect_on_the_same_server_is_followed(repo, tmp_path):
    """GitLab sends who leaves out `.git` to the address with it, GitHub who asks for a renamed repository to the new one."""
    with repo.serve_http(user="bot", password="t0ken", moved={"/old": "/fleet"}) as url:
        address = f"{url.rpartition('/')[0]}/old"
        async with mirror_of(address, tmp_path, credentials=Credentials(username="bot", token="t0ken")) as mirror:
            assert (await mirror.fetch()).head == repo.head


async def test_no_connection_is_made_where_none_may_be(repo, tmp_path):
    asked: list[tuple[str, int]] = []

    def allowed(host: str, port: int) -> str:
        asked.append((host, port))
        return f"{host}:{port} may not be connected to: the operator says so"

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        port = listening.getsockname()[1]
        for url in (f"http://127.0.0.1:{port}/x", f"git://127.0.0.1:{port}/x", f"ssh://git@127.0.0.1:{port}/x"):
            async with mirror_of(url, tmp_path, allowed=allowed) as mirror:
                with pytest.raises(Unavailable, match="may not be connected to: the operator says so"):
                    await mirror.fetch()
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert asked == [("127.0.0.1", port)] * 3
    async with mirror_of(repo.path, tmp_path, allowed=allowed) as mirror:
        assert (await mirror.fetch()).head == repo.head
