"""OpenPGP signatures that gpg makes: whose count, and whose do not any more."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hub.sources.signatures import openpgp
from hub.sources.signatures.openpgp import PgpSigner, read_certificates, verify
from hub.sources.signatures.sshsig import BadSignature
from shared.errors import DocumentError
from tests.fakes.signing import HAS_GPG, GnuPG, gnupg

pytestmark = pytest.mark.skipif(not HAS_GPG, reason="gpg is not installed")

PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nhello\n"
LONG_AGO = "20200101T000000!"


@pytest.fixture(scope="module")
def gpg() -> Iterator[GnuPG]:
    with gnupg() as made:
        yield made


@pytest.fixture(scope="module")
def ada(gpg) -> str:
    return gpg.make("ada")


def signer(gpg: GnuPG, *keys: str) -> tuple[PgpSigner, ...]:
    return read_certificates(gpg.export(*keys), "keys.asc")


def refused(signature: bytes, signers: tuple[PgpSigner, ...], payload: bytes = PAYLOAD) -> str:
    with pytest.raises(BadSignature) as bad:
        verify(signature, payload, signers)
    return str(bad.value)


@pytest.mark.parametrize("kind", ["ed25519", "rsa2048", "nistp256"])
def test_a_signature_by_an_allowed_key_names_who_made_it(gpg, ada, kind):
    key = gpg.make(f"of-{kind}", kind)

    found = verify(gpg.sign(key, PAYLOAD), PAYLOAD, signer(gpg, ada, key))

    assert (found.by, found.key, found.expires) == (f"of-{kind} <of-{kind}@example.com>", key, 0.0)


def test_what_does_not_count_says_why(gpg, ada):
    stranger, weak = gpg.make("stranger"), gpg.make("weak", "rsa1024")
    allowed = signer(gpg, ada, weak)

    assert f"by {ada} is not valid: its content was changed" in refused(gpg.sign(ada, PAYLOAD), allowed, b"other")
    assert f"is by {stranger}, which is not an allowed signer's" in refused(gpg.sign(stranger, PAYLOAD), allowed)
    assert "its algorithms are too weak" in refused(gpg.sign(weak, PAYLOAD), allowed)
    assert "algorithms are too weak" in refused(gpg.sign(ada, PAYLOAD, "--digest-algo", "SHA1"), allowed)
    assert "is not an allowed signer's" in refused(gpg.sign(ada, PAYLOAD), ())
    for nonsense in (b"", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"):
        assert "cannot be read" in refused(nonsense, allowed)


def test_a_revoked_key_does_not_count_for_what_it_signed_before_either(gpg):
    key = gpg.make("revoked")
    signature, before = gpg.sign(key, PAYLOAD), signer(gpg, key)
    gpg.revoke(key)

    assert verify(signature, PAYLOAD, before).key == key
    assert f"is by {key}, which was revoked" in refused(signature, signer(gpg, key))


def test_when_a_key_expires_is_told(gpg):
    key = gpg.make("expiring", expires="1y", at=LONG_AGO)
    made_then = gpg.sign(key, PAYLOAD, "--faked-system-time", "20200601T000000!")

    found = verify(made_then, PAYLOAD, signer(gpg, key))

    assert time.gmtime(found.expires)[:3] == (2020, 12, 31)


def test_a_signing_subkey_counts_and_its_own_end_is_told(gpg):
    key = gpg.make("subkey", usage="cert", at=LONG_AGO)
    gpg("--faked-system-time", LONG_AGO, "--quick-add-key", key, "ed25519", "sign", "2y")
    signature = gpg.sign(key, PAYLOAD, "--faked-system-time", "20200601T000000!")

    found = verify(signature, PAYLOAD, signer(gpg, key))

    assert found.key == openpgp.issuer(signature) != key
    assert time.gmtime(found.expires)[:3] == (2021, 12, 31)


def test_files_with_several_certificates_are_read_and_others_refused(gpg, ada):
    key = gpg.make("second")

    assert {each.fingerprint for each in signer(gpg, ada, key)} == {ada, key}
    assert read_certificates(gpg("--export", ada), "keys.pgp")[0].by == "ada <ada@example.com>"
    for nonsense in (b"", b"ada", b"ssh-ed25519 AAAA"):
        with pytest.raises(DocumentError, match=r"keys\.asc: no OpenPGP certificate"):
            read_certificates(nonsense, "keys.asc")
