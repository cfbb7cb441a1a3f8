"""Git over a real SSH server: the key that is shown, the host key that is believed, and what is said otherwise."""

from __future__ import annotations

import gc
from pathlib import Path

import asyncssh
import pygit2
import pytest

from hub.sources.access import Credentials
from hub.sources.mirror import Mirror
from hub.sources.writing import Author, Change, Writer
from shared.errors import Unavailable
from shared.tasks import Clock
from tests.fakes.gitrepo import GitRepo
from tests.fakes.sshserver import Keys, ssh_server

# asyncssh leaves a coroutine of a connection that the client dropped to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")


@pytest.fixture
def keys(tmp_path):
    home, connect, idle = (
        pygit2.settings.homedir,
        pygit2.settings.server_connect_timeout,
        pygit2.settings.server_timeout,
    )
    yield Keys(tmp_path / "keys")
    pygit2.settings.homedir = home
    pygit2.settings.server_connect_timeout, pygit2.settings.server_timeout = connect, idle
    gc.collect()  # what asyncssh left behind would otherwise warn in somebody else's test


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "my repos" / "fleet")
    repo.write("apps/web/cm.yaml", "kind: ConfigMap\n")
    repo.commit("start")
    return repo


async def fetched(address: str, folder: Path, **credentials: object) -> str:
    mirror = Mirror(address, folder, Credentials(**credentials))
    try:
        return (await mirror.fetch()).head
    finally:
        mirror.close()


async def test_a_repository_is_read_and_followed_over_ssh(repo, keys, tmp_path):
    async with ssh_server(keys, keys.user) as port:
        keys.believe(port, keys.host)
        mirror = Mirror(f"ssh://git@127.0.0.1:{port}{repo.path}", tmp_path / "m", Credentials(ssh_key=keys.user))
        try:
            assert (await mirror.fetch()).head == repo.head
            repo.write("apps/web/cm.yaml", "kind: Secret\n")
            newer = repo.commit("second")
            assert (await mirror.fetch()).head == newer
            found = await mirror.read(lambda objects: objects.blob(objects.find(newer, "apps/web/cm.yaml").oid))
            assert found == b"kind: Secret\n"
        finally:
            mirror.close()


async def test_a_commit_is_pushed_over_ssh(repo, keys, tmp_path):
    served = GitRepo(tmp_path / "served.git", bare=True)
    repo.force_push(str(served.path))
    async with ssh_server(keys, keys.user) as port:
        keys.believe(port, keys.host)
        url = f"ssh://git@127.0.0.1:{port}{served.path}"
        mirror = Mirror(url, tmp_path / "m", Credentials(ssh_key=keys.user))
        try:
            await mirror.fetch()
            writer = Writer(Author("Yardarm", "yardarm@example.com"), Clock())
            written = await writer.write(mirror, lambda _base: Change("promote", {"pins.yaml": b"a: b\n"}))
        finally:
            mirror.close()
    assert served.git("rev-parse", "main", "main^").split() == [written.commit, repo.head]


async def test_a_key_with_a_passphrase_opens_with_it(repo, keys, tmp_path):
    async with ssh_server(keys, keys.locked) as port:
        keys.believe(port, keys.host)
        address = f"ssh://git@127.0.0.1:{port}{repo.path}"
        given = {"ssh_key": keys.locked, "ssh_passphrase": "pass word"}

        assert await fetched(address, tmp_path / "m", **given) == repo.head
        with pytest.raises(Unavailable) as refused:
            await fetched(address, tmp_path / "n", ssh_key=keys.locked, ssh_passphrase="wrong")
    assert "pass word" not in str(refused.value)


async def test_a_key_that_the_server_does_not_know_is_refused_once_and_clearly(repo, keys, tmp_path):
    async with ssh_server(keys, keys.user) as port:
        keys.believe(port, keys.host)
        with pytest.raises(Unavailable, match="refused the SSH key"):
            await fetched(f"ssh://git@127.0.0.1:{port}{repo.path}", tmp_path / "m", ssh_key=keys.other)


@pytest.mark.parametrize("known", ["nobody", "an impostor"])
async def test_a_host_that_is_not_the_known_one_gets_nothing(repo, keys, tmp_path, known):
    async with ssh_server(keys, keys.user) as port:
        keys.believe(port + (known == "nobody"), asyncssh.generate_private_key("ssh-ed25519"))
        with pytest.raises(Unavailable, match=r"host key of 127\.0\.0\.1 is not in known_hosts, or is another one"):
            await fetched(f"ssh://git@127.0.0.1:{port}{repo.path}", tmp_path / "m", ssh_key=keys.user)


async def test_a_repository_that_is_not_there_is_said(repo, keys, tmp_path):
    async with ssh_server(keys, keys.user) as port:
        keys.believe(port, keys.host)
        with pytest.raises(Unavailable) as refused:
            await fetched(f"ssh://git@127.0.0.1:{port}/no/such/repo", tmp_path / "m", ssh_key=keys.user)
    assert "/no/such/repo cannot be read" in str(refused.value)
