"""Signs what the hub writes to Git, with an SSH key, as `git commit -S` with `gpg.format = ssh` does.

`hub.sources.signatures.sshsig` reads the same format.
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from hub.sources.signatures import sshsig
from shared.errors import DocumentError
from shared.model import Place

_Key = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_HASH = "sha512"
_CURVE_HASHES: dict[str, hashes.HashAlgorithm] = {
    "nistp256": hashes.SHA256(),
    "nistp384": hashes.SHA384(),
    "nistp521": hashes.SHA512(),
}


class SigningKey:
    """A private key that signs commits. `public` is its line as in a file of allowed signers, without a name."""

    def __init__(self, key: _Key) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        kind, _, encoded = self.public.partition(" ")
        self._kind, self._blob = kind, base64.b64decode(encoded)

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """The key in an OpenSSH private key file.

        Raises:
            DocumentError: it cannot be read, has a passphrase, or is of a kind that is not supported.
        """
        where, hint = Place(str(path)), "git.signing_key: make one with `ssh-keygen -t ed25519 -N '' -f FILE`"
        try:
            key = load_ssh_private_key(path.read_bytes(), None)
        except OSError as error:
            raise DocumentError(f"the signing key cannot be read: {error.strerror}", where, hint) from error
        except TypeError:
            raise DocumentError(
                "the signing key has a passphrase, and nobody is there to type it", where, hint
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise DocumentError("it is no private key of OpenSSH that can be used here", where, hint) from None
        if not isinstance(key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise DocumentError("keys of this kind are not supported: ed25519, RSA or ECDSA", where, hint)
        return cls(key)

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return sshsig.fingerprint(self._blob)

    def sign(self, payload: bytes) -> bytes:
        """The armoured signature over a commit."""
        digest = hashlib.new(_HASH, payload).digest()
        namespace, algorithm = sshsig.NAMESPACE.encode(), _HASH.encode()
        signature = sshsig.strings(*self._signature(sshsig.signed_message(namespace, b"", algorithm, digest)))
        data = sshsig.enveloped(self._blob, namespace, b"", algorithm, signature)
        lines = textwrap.wrap(base64.b64encode(data).decode(), 70)
        return b"\n".join((sshsig.BEGIN, *(line.encode() for line in lines), sshsig.END)) + b"\n"

    def _signature(self, message: bytes) -> tuple[bytes, bytes]:
        """The name of the algorithm and the signature."""
        key = self._key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return b"ssh-ed25519", key.sign(message)
        if isinstance(key, rsa.RSAPrivateKey):
            return b"rsa-sha2-512", key.sign(message, padding.PKCS1v15(), hashes.SHA512())
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(_CURVE_HASHES[self._kind.removeprefix("ecdsa-sha2-")])))
        return self._kind.encode(), sshsig.strings(_mpint(r), _mpint(s))


def _mpint(number: int) -> bytes:
    """A positive number as SSH writes it: the first bit is the sign."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
