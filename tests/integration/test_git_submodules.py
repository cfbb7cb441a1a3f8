"""Repositories with submodules, over HTTP: what is read of them, from where, and what is said when one cannot be had."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hub.sources.access import Credentials
from hub.sources.content import read_content
from hub.sources.mirror import Mirror
from hub.sources.modules import Reach
from hub.sources.tree import GitTree
from shared.errors import DocumentError, Unavailable
from tests.fakes.gitrepo import GitRepo

ANYWHERE = Reach(lambda _address: Credentials(), lambda _host, _port: "")


@pytest.fixture
def lib(tmp_path) -> GitRepo:
    lib = GitRepo(tmp_path / "lib")
    lib.write("base/cm.yaml", "kind: ConfigMap\n")
    lib.commit("lib")
    return lib


@pytest.fixture
def repo(tmp_path, lib) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("apps/web/own.yaml", "kind: Secret\n")
    add(repo, "apps/web/lib", "../lib", lib.head)
    return repo


def add(repo: GitRepo, path: str, url: str, commit: str) -> str:
    """Pins a commit as a submodule, as `git submodule add` writes it down, and commits that."""
    file = repo.path / ".gitmodules"
    before = file.read_text() if file.exists() else ""
    repo.write(".gitmodules", f'{before}[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
    return pin(repo, path, commit)


def pin(repo: GitRepo, path: str, commit: str) -> str:
    repo.git("add", "--all")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    repo.git("commit", "--quiet", "--message", f"{path} at {commit[:7]}")
    return repo.head


@contextlib.contextmanager
def served(repo: GitRepo, **more: object) -> Iterator[str]:
    """All repositories beside `repo`; gives its address."""
    with repo.serve_http(**more) as url:
        yield url


@contextlib.asynccontextmanager
async def mirrored(url: str, folder: Path, reach: Reach | None = ANYWHERE, **more: object) -> AsyncIterator[Mirror]:
    mirror = Mirror(url, folder, reach=reach, **more)
    try:
        await mirror.fetch()
        yield mirror
    finally:
        mirror.close()


async def files(mirror: Mirror, commit: str, path: str = "apps/web") -> dict[str, bytes]:
    found = await mirror.read(lambda objects: read_content(objects, commit, path, lambda _: True))
    assert found.problems == ()
    return dict(found.files)


async def test_a_submodule_is_read_as_part_of_the_repository_at_the_commit_that_is_pinned(repo, lib, tmp_path):
    pinned = repo.head
    lib.write("base/cm.yaml", "kind: Newer\n")
    newer = lib.commit("newer")
    with served(repo) as url:
        async with mirrored(url, tmp_path / "m") as mirror:
            await mirror.complete(pinned)
            expected = {"own.yaml": b"kind: Secret\n", "lib/base/cm.yaml": b"kind: ConfigMap\n"}
            assert await files(mirror, pinned) == expected
            assert await mirror.read(lambda objects: GitTree(objects, pinned).read("apps/web/lib/base/cm.yaml"))

            moved = pin(repo, "apps/web/lib", newer)
            await mirror.fetch()
            await mirror.complete(moved)
            assert (await files(mirror, moved))["lib/base/cm.yaml"] == b"kind: Newer\n"
            assert await files(mirror, pinned) == expected


async def test_submodules_of_submodules_are_read(repo, lib, tmp_path):
    deep = GitRepo(tmp_path / "deep")
    deep.write("deep.yaml", "kind: Deep\n")
    with_deep = add(lib, "vendor/deep", "../deep", deep.commit("deep"))
    sha = pin(repo, "apps/web/lib", with_deep)
    with served(repo) as url:
        async with mirrored(url, tmp_path / "m") as mirror:
            await mirror.complete(sha)
            assert (await files(mirror, sha))["lib/vendor/deep/deep.yaml"] == b"kind: Deep\n"


async def test_without_leave_submodules_are_not_read_and_that_is_said(repo, tmp_path):
    with served(repo) as url:
        async with mirrored(url, tmp_path / "m", reach=None) as mirror:
            await mirror.complete(repo.head)
            sha = repo.head
            found = await mirror.read(lambda objects: read_content(objects, sha, "apps/web", lambda _: True))
    assert [path for path, _ in found.files] == ["own.yaml"]
    assert [problem.message for problem in found.problems] == ["a submodule, which is not read"]


async def test_what_was_read_of_a_submodule_stays_after_a_restart_and_tidying_up(repo, lib, tmp_path, monkeypatch):
    sha = repo.head
    with served(repo) as url:
        async with mirrored(url, tmp_path / "m") as mirror:
            await mirror.complete(sha)
            lib.replace_history()
            lib.git("reflog", "expire", "--expire=now", "--all")
            lib.git("gc", "--quiet", "--prune=now")
            monkeypatch.setattr("hub.sources.mirror.MAX_PACKS", 0)
            repo.write("README.md", "x")
            repo.git("add", "README.md")
            repo.git("commit", "--quiet", "--message", "another")
            newer = repo.head
            await mirror.fetch()
            await mirror.complete(newer)
            assert "lib/base/cm.yaml" in await files(mirror, newer)
        async with mirrored(url, tmp_path / "m") as mirror:
            await mirror.complete(sha)
            assert "lib/base/cm.yaml" in await files(mirror, sha)


async def test_a_commit_that_the_submodule_does_not_have_is_named(repo, lib, tmp_path):
    lib.write("x", "y")
    lost = lib.commit("never pushed")
    sha = pin(repo, "apps/web/lib", lost)
    lib.git("reset", "--quiet", "--hard", "HEAD~1")
    lib.git("reflog", "expire", "--expire=now", "--all")
    lib.git("gc", "--quiet", "--prune=now")
    with served(repo) as url:
        async with mirrored(url, tmp_path / "m") as mirror:
            with pytest.raises(Unavailable, match=f"the submodule apps/web/lib: .*/lib has no commit {lost[:12]}"):
                await mirror.complete(sha)


async def test_a_submodule_that_cannot_be_read_is_tried_again(repo, lib, tmp_path):
    sha = repo.head
    lib.path.rename(tmp_path / "away")
    with served(repo) as url:
        async with mirrored(url, tmp_path / "m") as mirror:
            with pytest.raises(Unavailable, match=r"the submodule apps/web/lib: .*/lib cannot be read"):
                await mirror.complete(sha)
            (tmp_path / "away").rename(lib.path)
            await mirror.complete(sha)
            assert "lib/base/cm.yaml" in await files(mirror, sha)


async def test_submodules_have_credentials_of_their_own_and_keep_to_the_policy(repo, tmp_path):
    asked: list[str] = []

    def credentials(address: str) -> Credentials:
        asked.append(address)
        return Credentials(username="bot", token="t0ken")

    with served(repo, user="bot", password="t0ken") as url:
        reach = Reach(credentials, lambda _host, _port: "")
        async with mirrored(url, tmp_path / "m", reach, credentials=Credentials("bot", "t0ken")) as mirror:
            await mirror.complete(repo.head)
            assert "lib/base/cm.yaml" in await files(mirror, repo.head)
        assert asked == [f"{url.rpartition('/')[0]}/lib"]

        refusing = Reach(credentials, lambda host, port: f"{host}:{port} may not be connected to")
        async with mirrored(url, tmp_path / "n", refusing, credentials=Credentials("bot", "t0ken")) as mirror:
            with pytest.raises(Unavailable, match="may not be connected to"):
                await mirror.complete(repo.head)


@pytest.mark.parametrize("url", ["/etc", "file:///etc", "../../../../x"])
async def test_addresses_that_lead_to_the_hubs_machine_or_nowhere_are_refused(repo, tmp_path, url):
    sha = add(repo, "apps/web/bad", url, "1" * 40)
    with served(repo) as address:
        async with mirrored(address, tmp_path / "m") as mirror:
            with pytest.raises(DocumentError) as raised:
                await mirror.complete(sha)
    assert raised.value.place is None or raised.value.place.file == ".gitmodules"


async def test_a_submodule_of_itself_is_no_circle(repo, tmp_path):
    sha = add(repo, "apps/web/self", "../fleet", repo.head)
    with served(repo) as url:
        async with mirrored(url, tmp_path / "m") as mirror:
            await mirror.complete(sha)
            assert "self/apps/web/own.yaml" in await files(mirror, sha)
