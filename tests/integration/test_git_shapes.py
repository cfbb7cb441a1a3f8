"""Local repositories as people have them: shallow, partial, bare, worktrees, submodules, odd paths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hub.sources.mirror import Mirror
from shared.errors import DocumentError, Unavailable
from tests.fakes.gitrepo import ENVIRONMENT, GitRepo


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "origin")
    repo.git("config", "uploadpack.allowFilter", "true")
    for number in range(3):
        repo.write("apps/web/cm.yaml", f"kind: ConfigMap{number}\n")
        repo.commit(f"number {number}")
    return repo


def git(*args: str | Path, cwd: Path) -> None:
    subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *args], cwd=cwd, env=ENVIRONMENT, check=True, capture_output=True
    )


async def content(address: str | Path, folder: Path) -> tuple[str, bytes]:
    mirror = Mirror(str(address), folder)
    try:
        tips = await mirror.fetch()
        return tips.head, await mirror.read(
            lambda objects: objects.blob(objects.find(tips.head, "apps/web/cm.yaml").oid)
        )
    finally:
        mirror.close()


async def test_a_shallow_clone_is_read(repo, tmp_path):
    git("clone", "--quiet", "--depth", "1", repo.url, tmp_path / "shallow", cwd=tmp_path)

    assert await content(tmp_path / "shallow", tmp_path / "m") == (repo.head, b"kind: ConfigMap2\n")


async def test_a_commit_on_top_of_a_shallow_clone_is_followed(repo, tmp_path):
    git("clone", "--quiet", "--depth", "1", repo.url, tmp_path / "shallow", cwd=tmp_path)
    mirror = Mirror(str(tmp_path / "shallow"), tmp_path / "m")
    try:
        await mirror.fetch()
        git("commit", "--quiet", "--allow-empty", "-m", "more", cwd=tmp_path / "shallow")
        tips = await mirror.fetch()
        assert tips.head != repo.head
        assert (await mirror.commit_info(tips.head)).subject == "more"
    finally:
        mirror.close()


async def test_a_partial_clone_says_what_it_is(repo, tmp_path):
    git("clone", "--quiet", "--filter=blob:none", "--no-checkout", repo.url, tmp_path / "partial", cwd=tmp_path)

    with pytest.raises(Unavailable, match="partial clone"):
        await content(tmp_path / "partial", tmp_path / "m")


async def test_a_worktree_gives_the_commit_it_is_at(repo, tmp_path):
    repo.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "tree"), "HEAD~1")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path / "tree", capture_output=True, text=True, check=True
    ).stdout.strip()

    assert await content(tmp_path / "tree", tmp_path / "m") == (head, b"kind: ConfigMap1\n")


async def test_the_checkout_of_a_submodule_is_a_repository(repo, tmp_path):
    outer = GitRepo(tmp_path / "outer")
    git("submodule", "--quiet", "add", repo.url, "vendor/fleet", cwd=outer.path)
    outer.commit("with a submodule")

    assert await content(outer.path / "vendor" / "fleet", tmp_path / "m") == (repo.head, b"kind: ConfigMap2\n")


async def test_a_bare_repository_is_read(repo, tmp_path):
    git("clone", "--quiet", "--bare", repo.url, tmp_path / "bare.git", cwd=tmp_path)

    for address in (tmp_path / "bare.git", f"file://{tmp_path / 'bare.git'}"):
        assert (await content(address, tmp_path / "m"))[0] == repo.head


@pytest.mark.parametrize("name", ["with space", "ünï", "per%20cent", "q?x=1#y", "semi;colon", "a:b"])
async def test_paths_may_hold_anything(repo, tmp_path, name):
    git("clone", "--quiet", repo.url, tmp_path / name, cwd=tmp_path)

    assert (await content(tmp_path / name, tmp_path / "m"))[0] == repo.head


async def test_a_folder_inside_a_repository_is_not_one(repo, tmp_path):
    with pytest.raises(Unavailable, match="not a Git repository"):
        await content(repo.path / "apps", tmp_path / "m")


@pytest.mark.parametrize("address", ["~/fleet", "./fleet", "fleet"])
def test_addresses_that_depend_on_where_the_hub_runs_are_refused(address, tmp_path):
    with pytest.raises(DocumentError, match="absolute path"):
        Mirror(address, tmp_path / "m")
