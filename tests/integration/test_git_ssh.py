"""Git over a real SSH server: the key that is shown, the host key that is believed, and what is said otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pygit2
import pytest

from hub.sources.access import Credentials, Limits, configure
from hub.sources.mirror import Mirror
from shared.errors import Unavailable
from tests.fakes.gitrepo import ENVIRONMENT, GitRepo

# asyncssh leaves a coroutine of a connection that the client dropped to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")


class Keys:
    """A host key, a user key (ed25519, in OpenSSH's own format) and another user's, as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.host = asyncssh.generate_private_key("ssh-ed25519")
        self.user = self._file("id_user")
        self.other = self._file("id_other")
        self.locked = self._file("id_locked", passphrase="pass word")
        self.known = folder / "known_hosts"

    def _file(self, name: str, passphrase: str | None = None) -> Path:
        key = asyncssh.generate_private_key("ssh-ed25519")
        path = self.folder / name
        path.write_bytes(key.export_private_key(passphrase=passphrase, **({"rounds": 50} if passphrase else {})))
        path.with_suffix(".pub").write_bytes(key.export_public_key())
        path.chmod(0o600)
        return path

    def believe(self, port: int, key: asyncssh.SSHKey) -> None:
        self.known.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode().strip()}\n")
        configure(Limits(connect_timeout=10, server_timeout=10), self.known, self.folder / "home")


async def _upload_pack(process: asyncssh.SSHServerProcess) -> None:
    """Runs what Git asks for, and nothing else."""
    words = shlex.split(process.command or "")
    if len(words) != 2 or words[0] != "git-upload-pack":
        process.stderr.write(b"only git-upload-pack\n")
        process.exit(1)
        return
    child = await asyncio.create_subprocess_exec(
        "git", "upload-pack", words[1], env=ENVIRONMENT, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    process.exit(await child.wait())


@contextlib.asynccontextmanager
async def ssh_server(keys: Keys, *allowed: Path) -> AsyncIterator[int]:
    authorized = "".join(key.with_suffix(".pub").read_text() for key in allowed)
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[keys.host], encoding=None, process_factory=_upload_pack,
        authorized_client_keys=asyncssh.import_authorized_keys(authorized),
    )  # fmt: skip
    async with server:
        yield server.get_port()


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
