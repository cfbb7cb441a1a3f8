"""A real SSH server that serves Git on loopback, and the keys for it.

keys = Keys(tmp_path / "keys")
async with ssh_server(keys, keys.user) as port: ...
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh

from hub.sources.access import Limits, configure
from tests.fakes.gitrepo import ENVIRONMENT


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


async def _serve(process: asyncssh.SSHServerProcess) -> None:
    """Runs what Git asks for, and nothing else."""
    words = shlex.split(process.command or "")
    if len(words) != 2 or words[0] not in ("git-upload-pack", "git-receive-pack"):
        process.stderr.write(b"only git-upload-pack and git-receive-pack\n")
        process.exit(1)
        return
    child = await asyncio.create_subprocess_exec(
        "git", words[0].removeprefix("git-"), words[1], env=ENVIRONMENT, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    process.exit(await child.wait())


@contextlib.asynccontextmanager
async def ssh_server(keys: Keys, *allowed: Path) -> AsyncIterator[int]:
    authorized = "".join(key.with_suffix(".pub").read_text() for key in allowed)
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[keys.host], encoding=None, process_factory=_serve,
        authorized_client_keys=asyncssh.import_authorized_keys(authorized),
    )  # fmt: skip
    async with server:
        yield server.get_port()
