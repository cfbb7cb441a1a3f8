"""Keys for signed commits: SSH keys by ssh-keygen, OpenPGP keys by gpg in a home of its own, and a security key in software.

keys = SshKeys(tmp_path)
ada = keys.make("ada")
repo.git(*ada.config(), "commit", "-S", "-m", "signed")
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HAS_SSH_KEYGEN = shutil.which("ssh-keygen") is not None
HAS_GPG = shutil.which("gpg") is not None


@dataclass(frozen=True)
class SshKey:
    """A private key file; `public` is its line without the comment."""

    path: Path
    name: str

    @property
    def public(self) -> str:
        return " ".join(self.path.with_suffix(".pub").read_text().split()[:2])

    @property
    def blob(self) -> bytes:
        return base64.b64decode(self.public.split()[1])

    @property
    def fingerprint(self) -> str:
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def allowed(self, options: str = "") -> str:
        """Its line in a file of allowed signers."""
        return f"{self.name}@example.com {f'{options} ' if options else ''}{self.public}\n"

    def config(self) -> list[str]:
        """Arguments of git that sign with it."""
        return ["-c", "gpg.format=ssh", "-c", f"user.signingKey={self.path}"]

    def sign(self, payload: bytes, namespace: str = "git", *options: str) -> bytes:
        """The armoured signature that ssh-keygen makes."""
        return subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-q", "-f", self.path, "-n", namespace, *options],
            input=payload, capture_output=True, check=True,
        ).stdout  # fmt: skip


class SshKeys:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str, kind: str = "ed25519", bits: int = 0) -> SshKey:
        path = self.folder / f"id_{name}"
        size = ["-b", str(bits)] if bits else []
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", name, "-f", path], check=True)
        return SshKey(path, name)


class SecurityKey:
    """What a FIDO2 security key with an ed25519 key does, in software. `touch` is whether somebody touches it."""

    def __init__(self, application: bytes = b"ssh:") -> None:
        self._key = Ed25519PrivateKey.generate()
        self._application = application
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.kind = b"sk-ssh-ed25519@openssh.com"
        self.blob = _strings(self.kind, public, application)

    def allowed(self, name: str) -> str:
        return f"{name}@example.com {self.kind.decode()} {base64.b64encode(self.blob).decode()}\n"

    def sign(self, payload: bytes, namespace: bytes = b"git", *, touch: bool = True) -> bytes:
        digest = hashlib.sha512(payload).digest()
        message = b"SSHSIG" + _strings(namespace, b"", b"sha512", digest)
        flags = struct.pack(">BI", 1 if touch else 0, 7)
        signed = hashlib.sha256(self._application).digest() + flags + hashlib.sha256(message).digest()
        signature = _strings(self.kind, self._key.sign(signed)) + flags
        data = b"SSHSIG" + struct.pack(">I", 1) + _strings(self.blob, namespace, b"", b"sha512", signature)
        text = base64.encodebytes(data).decode()
        return f"-----BEGIN SSH SIGNATURE-----\n{text}-----END SSH SIGNATURE-----\n".encode()


def _strings(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


class GnuPG:
    """A home of its own, with keys without passphrases."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str, data: bytes = b"") -> bytes:
        done = subprocess.run(
            ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *arguments],
            env={"PATH": os.environ["PATH"], "GNUPGHOME": str(self.home)}, input=data, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"gpg {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout

    def make(self, name: str, kind: str = "ed25519", usage: str = "sign", expires: str = "0", at: str = "") -> str:
        """Makes a key, perhaps as of an earlier time; returns its fingerprint."""
        past = ["--faked-system-time", at] if at else []
        self(*past, "--quick-generate-key", f"{name} <{name}@example.com>", kind, usage, expires)
        listed = self("--list-keys", "--with-colons", f"{name}@example.com").decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr"))

    def export(self, *keys: str) -> bytes:
        return self("--export", "--armor", *keys)

    def sign(self, key: str, payload: bytes, *options: str) -> bytes:
        return self(*options, "--detach-sign", "--armor", "--local-user", key, data=payload)

    def revoke(self, key: str) -> None:
        """With the certificate that gpg has made for that with the key."""
        made = (self.home / "openpgp-revocs.d" / f"{key}.rev").read_bytes()
        self("--import", data=made.replace(b":-----BEGIN", b"-----BEGIN"))

    def config(self, key: str) -> list[str]:
        """Arguments of git that sign with a key; GNUPGHOME has to be in the environment."""
        return ["-c", "gpg.format=openpgp", "-c", f"user.signingKey={key}"]


@contextlib.contextmanager
def gnupg() -> Iterator[GnuPG]:
    """Its agent ends with the block. Below /tmp, because the path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="gpg", dir="/tmp") as folder:
        try:
            yield GnuPG(Path(folder))
        finally:
            environment = {"PATH": os.environ["PATH"], "GNUPGHOME": folder}
            subprocess.run(["gpgconf", "--kill", "all"], env=environment, capture_output=True, check=False)
