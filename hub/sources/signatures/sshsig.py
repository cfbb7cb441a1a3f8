"""SSH signatures (OpenSSH's PROTOCOL.sshsig), as `git commit -S` with `gpg.format = ssh` makes them.

Keys of kind ed25519, RSA and ECDSA, and both kinds on security keys (FIDO2), whose signatures must say that somebody
touched the key. Certificates are not supported.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature as _Invalid
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
NAMESPACE = "git"
_MAGIC = b"SSHSIG"
_VERSION = 1
_SMALLEST_RSA = 2048
_TOUCHED = 0x01
_CURVES: dict[bytes, ec.EllipticCurve] = {
    b"nistp256": ec.SECP256R1(),
    b"nistp384": ec.SECP384R1(),
    b"nistp521": ec.SECP521R1(),
}
_HASHES: dict[bytes, hashes.HashAlgorithm] = {
    b"nistp256": hashes.SHA256(),
    b"nistp384": hashes.SHA384(),
    b"nistp521": hashes.SHA512(),
}
_RSA: dict[bytes, hashes.HashAlgorithm] = {b"rsa-sha2-256": hashes.SHA256(), b"rsa-sha2-512": hashes.SHA512()}


class BadSignature(Exception):
    """It is no good; the message goes after "its signature "."""


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature taken apart; nothing in it is verified. `key` is the public key as SSH writes it."""

    key: bytes
    namespace: str
    reserved: bytes
    hash: str
    signature: bytes

    @property
    def fingerprint(self) -> str:
        """Of the key, as `ssh-keygen -l` shows it."""
        return fingerprint(self.key)


def fingerprint(key: bytes) -> str:
    """Of a public key, as `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def parse(armoured: bytes) -> SshSignature:
    """Takes an armoured signature apart.

    Raises:
        BadSignature: it is none.
    """
    lines = armoured.strip().splitlines()
    if len(lines) < 3 or lines[0].strip() != BEGIN or lines[-1].strip() != END:
        raise BadSignature("is not whole")
    try:
        data = base64.b64decode(b"".join(line.strip() for line in lines[1:-1]), validate=True)
        if data[:6] != _MAGIC or struct.unpack_from(">I", data, 6) != (_VERSION,):
            raise BadSignature("is not one of SSH, version 1")
        key, namespace, reserved, algorithm, signature = _strings(data[10:], 5)
    except (binascii.Error, struct.error, ValueError) as error:
        raise BadSignature(f"cannot be read: {error}") from None
    hash_name = algorithm.decode(errors="replace")
    if hash_name not in ("sha256", "sha512"):
        raise BadSignature(f"uses {hash_name!r}, which is not accepted: SHA-256 or SHA-512")
    return SshSignature(key, namespace.decode(errors="replace"), reserved, hash_name, signature)


def verify(signed: SshSignature, payload: bytes) -> None:
    """Whether the key in a signature has made it over `payload`, for Git. Who may use the key is asked elsewhere.

    Raises:
        BadSignature: it has not.
    """
    if signed.namespace != NAMESPACE:
        raise BadSignature(f"was made for {signed.namespace!r}, not for Git: it belongs to something else")
    digest = hashlib.new(signed.hash, payload).digest()
    try:
        _verify(signed, signed_message(signed.namespace.encode(), signed.reserved, signed.hash.encode(), digest))
    except _Invalid:
        raise BadSignature("does not fit its content: it was changed afterwards, or signed by somebody else") from None
    except (ValueError, UnsupportedAlgorithm, struct.error) as error:
        raise BadSignature(f"cannot be verified: {error}") from None


def signed_message(namespace: bytes, reserved: bytes, algorithm: bytes, digest: bytes) -> bytes:
    """What the key signs."""
    return _MAGIC + strings(namespace, reserved, algorithm, digest)


def enveloped(key: bytes, namespace: bytes, reserved: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """The signature with all that `parse` takes apart, before it is armoured."""
    return _MAGIC + struct.pack(">I", _VERSION) + strings(key, namespace, reserved, algorithm, signature)


def strings(*parts: bytes) -> bytes:
    """Strings one after the other, as SSH writes them."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _verify(signed: SshSignature, message: bytes) -> None:
    kind, fields = _take(signed.key)
    made_with, rest = _take(signed.signature)
    value, extra = _take(rest)
    bare = kind.removeprefix(b"sk-").removesuffix(b"@openssh.com") if kind.startswith(b"sk-") else kind
    if bare != kind:
        fields, message = _touched(fields, bare, extra, message)
        extra = b""
    if extra:
        raise ValueError("there is something after the signature")
    if bare == b"ssh-rsa":
        _verify_rsa(fields, made_with, value, message)
    elif made_with != kind:
        raise ValueError(f"a key of kind {kind!r} with a signature of kind {made_with!r}")
    elif bare == b"ssh-ed25519":
        (point,) = _strings(fields, 1)
        ed25519.Ed25519PublicKey.from_public_bytes(point).verify(value, message)
    elif bare.startswith(b"ecdsa-sha2-"):
        _verify_ecdsa(fields, bare.removeprefix(b"ecdsa-sha2-"), value, message)
    else:
        raise ValueError(f"keys of kind {kind.decode(errors='replace')} are not supported")


def _touched(fields: bytes, bare: bytes, extra: bytes, message: bytes) -> tuple[bytes, bytes]:
    """The fields of the key that a security key has beside its application, and what such a key signs."""
    count = 1 if bare == b"ssh-ed25519" else 2
    *own, application = _strings(fields, count + 1)
    if len(extra) != 5 or not extra[0] & _TOUCHED:
        raise ValueError("nobody touched the security key")
    message = hashlib.sha256(application).digest() + extra + hashlib.sha256(message).digest()
    return strings(*own), message


def _verify_rsa(fields: bytes, made_with: bytes, value: bytes, message: bytes) -> None:
    exponent, modulus = (int.from_bytes(part, "big") for part in _strings(fields, 2))
    if made_with not in _RSA:
        raise ValueError(f"{made_with.decode(errors='replace')} is not accepted: RSA with SHA-256 or SHA-512")
    if modulus.bit_length() < _SMALLEST_RSA:
        raise ValueError(f"an RSA key of {modulus.bit_length()} bits is too small")
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    key.verify(value.rjust((modulus.bit_length() + 7) // 8, b"\0"), message, padding.PKCS1v15(), _RSA[made_with])


def _verify_ecdsa(fields: bytes, curve: bytes, value: bytes, message: bytes) -> None:
    named, point = _strings(fields, 2)
    if named != curve or curve not in _CURVES:
        raise ValueError(f"the curve {curve.decode(errors='replace')} is not supported")
    r, s = (int.from_bytes(part, "big") for part in _strings(value, 2))
    key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], point)
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(_HASHES[curve]))


def _take(data: bytes) -> tuple[bytes, bytes]:
    """A string as SSH writes it, and what follows."""
    (size,) = struct.unpack_from(">I", data)
    if 4 + size > len(data):
        raise ValueError("it is cut short")
    return data[4 : 4 + size], data[4 + size :]


def _strings(data: bytes, count: int) -> list[bytes]:
    """Exactly so many strings."""
    found: list[bytes] = []
    for _ in range(count):
        value, data = _take(data)
        found.append(value)
    if data:
        raise ValueError("there is more in it than there should be")
    return found
