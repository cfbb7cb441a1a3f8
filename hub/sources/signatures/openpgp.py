"""OpenPGP signatures, as `git commit -S` with GnuPG makes them; the mathematics is Sequoia's.

Sequoia judges a key as of the time a signature says it was made, which whoever holds the key chooses. So a key that has
expired by now is told of beside the result, and whether that matters is decided elsewhere. Revoked keys never count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pysequoia
from pysequoia.packet import PacketPile, SignatureType, Tag

from hub.sources.signatures.sshsig import BadSignature
from shared.errors import DocumentError
from shared.model import Place


@dataclass(frozen=True, slots=True)
class PgpSigner:
    """A certificate that may sign. `key` of the certificate, `by` its first user id."""

    certificate: bytes
    fingerprint: str
    by: str


@dataclass(frozen=True, slots=True)
class PgpSignature:
    """A good signature: by whom, with which key; `expires` is when that key does, in unix seconds, 0 for never."""

    by: str
    key: str
    expires: float


def read_certificates(data: bytes, file: str) -> tuple[PgpSigner, ...]:
    """All certificates of a file, armoured or not.

    Raises:
        DocumentError: it holds none, or something else.
    """
    try:
        certificates = pysequoia.Cert.split_bytes(data)
    except RuntimeError as error:
        raise DocumentError(f"no OpenPGP certificates: {_first_line(error)}", Place(file)) from None
    if not certificates:
        raise DocumentError("no OpenPGP certificate in it", Place(file), "gpg --export --armor ada@example.com")
    return tuple(_signer(certificate) for certificate in certificates)


def _signer(certificate: pysequoia.Cert) -> PgpSigner:
    try:
        names = [str(user) for user in certificate.user_ids]
    except RuntimeError:  # too weak for Sequoia to look at: nothing that it signs counts
        names = []
    fingerprint = certificate.fingerprint.upper()
    return PgpSigner(bytes(certificate), fingerprint, names[0] if names else fingerprint)


def issuer(armoured: bytes) -> str:
    """The key that a signature says it is from; empty when it does not say.

    Raises:
        BadSignature: it is none.
    """
    try:
        signature = pysequoia.Sig.from_bytes(armoured)
    except RuntimeError as error:
        raise BadSignature(f"cannot be read: {_first_line(error)}") from None
    return (signature.issuer_fingerprint or signature.issuer_key_id or "").upper()


def verify(armoured: bytes, payload: bytes, signers: Iterable[PgpSigner]) -> PgpSignature:
    """Who of `signers` has made the signature over `payload`.

    Raises:
        BadSignature: nobody, or with a key that was revoked, or had expired when it was made.
    """
    known = {each.fingerprint: each for each in signers}
    certificates = [pysequoia.Cert.from_bytes(each.certificate) for each in known.values()]
    named = issuer(armoured)
    try:
        found = pysequoia.verify(
            bytes=payload, store=lambda _ids: certificates, signature=pysequoia.Sig.from_bytes(armoured)
        )
    except RuntimeError:
        raise BadSignature(_why_not(named, certificates)) from None
    good = found.valid_sigs[0]
    signer = known[good.certificate.upper()]
    certificate = next(each for each in certificates if each.fingerprint == good.certificate)
    return PgpSignature(signer.by, good.signing_key.upper(), _expires(certificate, good.signing_key))


def _why_not(named: str, certificates: list[pysequoia.Cert]) -> str:
    """What Sequoia does not say: it only says no."""
    for certificate in certificates:
        keys = {packet.fingerprint.upper() for packet in _keys(certificate) if packet.fingerprint}
        if any(key.endswith(named) for key in keys) and named:
            if _revoked(certificate):
                return f"is by {named}, which was revoked"
            return (
                f"by {named} is not valid: its content was changed, the key had expired or was revoked, or its"
                " algorithms are too weak"
            )
    return f"is by {named or 'an unnamed key'}, which is not an allowed signer's"


def _revoked(certificate: pysequoia.Cert) -> bool:
    try:
        return certificate.is_revoked
    except RuntimeError:  # as in `_signer`
        return False


def _keys(certificate: pysequoia.Cert) -> list[pysequoia.packet.Packet]:
    return [
        packet
        for packet in PacketPile.from_bytes(bytes(certificate))
        if packet.tag in (Tag.PublicKey, Tag.PublicSubkey)
    ]


def _expires(certificate: pysequoia.Cert, key: str) -> float:
    """When a certificate or its signing subkey expires, whichever is first; 0: neither does."""
    ends = [certificate.expiration.timestamp()] if certificate.expiration is not None else []
    subkey, newest = None, None
    for packet in PacketPile.from_bytes(bytes(certificate)):
        if packet.tag in (Tag.PublicKey, Tag.PublicSubkey):
            subkey = packet if packet.tag == Tag.PublicSubkey and packet.fingerprint == key else None
        elif (
            subkey is not None and packet.tag == Tag.Signature and packet.signature_type == SignatureType.SubkeyBinding
        ):
            made = packet.signature_created
            if made is not None and (newest is None or made >= newest[0]):
                newest = made, subkey.key_created, packet.key_validity_period
    if newest is not None and newest[1] is not None and newest[2]:
        ends.append((newest[1] + newest[2]).timestamp())
    return min(ends, default=0.0)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
