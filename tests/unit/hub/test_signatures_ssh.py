"""SSH signatures and allowed signers, held against ssh-keygen: what it makes is read, what it refuses is refused."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sources.signatures.envelope import Envelope
from hub.sources.signatures.policy import Signers, Unsigned, verify
from hub.sources.signatures.signers import AllowedSigner, read_signers
from hub.sources.signatures.sshsig import BadSignature, fingerprint, parse
from shared.errors import DocumentError
from tests.fakes.signing import HAS_SSH_KEYGEN, SecurityKey, SshKey, SshKeys

pytestmark = pytest.mark.skipif(not HAS_SSH_KEYGEN, reason="ssh-keygen is not installed")

PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor Ada\n\nhello\n"
NOON = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, SshKey]:
    made = SshKeys(tmp_path_factory.mktemp("keys"))
    kinds = {"ed25519": 0, "rsa": 2048, "ecdsa": 256}
    found = {kind: made.make(kind, kind, bits) for kind, bits in kinds.items()}
    found |= {f"ecdsa{bits}": made.make(f"ecdsa{bits}", "ecdsa", bits) for bits in (384, 521)}
    return found | {"small": made.make("small", "rsa", 1024), "other": made.make("other")}


def sealed(signature: bytes, payload: bytes = PAYLOAD, at: float = NOON) -> Envelope:
    return Envelope(payload, signature, "ssh" if signature else "", at)


def signers(*lines: str) -> Signers:
    return Signers(read_signers("".join(lines), "allowed_signers"))


def refused(signature: bytes, allowed: Signers, **kw: object) -> str:
    with pytest.raises(BadSignature) as bad:
        verify(sealed(signature, **kw), allowed)
    return str(bad.value)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa", "ecdsa384", "ecdsa521"])
def test_a_signature_by_an_allowed_key_names_who_made_it(keys, kind):
    signed = verify(sealed(keys[kind].sign(PAYLOAD)), signers(keys["other"].allowed(), keys[kind].allowed()))

    assert (signed.by, signed.key, signed.method) == (f"{kind}@example.com", keys[kind].fingerprint, "ssh")


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_both_hashes_are_read(keys, kind, hash_name):
    signature = keys[kind].sign(PAYLOAD, "git", "-O", f"hashalg={hash_name}")

    assert verify(sealed(signature), signers(keys[kind].allowed())).by == f"{kind}@example.com"


def test_a_security_key_counts_when_it_was_touched():
    key = SecurityKey()
    allowed = signers(key.allowed("ada"))

    assert verify(sealed(key.sign(PAYLOAD)), allowed).by == "ada@example.com"
    assert "nobody touched the security key" in refused(key.sign(PAYLOAD, touch=False), allowed)
    assert "does not fit its content" in refused(key.sign(PAYLOAD), allowed, payload=PAYLOAD + b"!")


def test_ssh_keygen_takes_the_security_key_of_these_tests_for_one(tmp_path):
    key = SecurityKey()
    (tmp_path / "allowed").write_text(key.allowed("ada"))
    (tmp_path / "sig").write_bytes(key.sign(PAYLOAD))
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "ada@example.com", "-n", "git", "-s", "sig"]
    subprocess.run(command, cwd=tmp_path, input=PAYLOAD, capture_output=True, check=True)


def test_what_does_not_count_says_why(keys):
    ed, rsa, small = keys["ed25519"], keys["rsa"], keys["small"]
    allowed = signers(ed.allowed(), rsa.allowed(), small.allowed())

    with pytest.raises(Unsigned):
        verify(sealed(b""), allowed)
    assert refused(ed.sign(PAYLOAD), allowed, payload=b"other").startswith("does not fit its content")
    assert f"is by {keys['other'].fingerprint}, which is not" in refused(keys["other"].sign(PAYLOAD), allowed)
    assert "was made for 'file', not for Git" in refused(ed.sign(PAYLOAD, "file"), allowed)
    assert "an RSA key of 1024 bits is too small" in refused(small.sign(PAYLOAD), allowed)
    assert "is of a kind that is not supported" in _x509(allowed)


def _x509(allowed: Signers) -> str:
    with pytest.raises(BadSignature) as bad:
        verify(Envelope(PAYLOAD, b"-----BEGIN SIGNED MESSAGE-----\n", "x509", NOON), allowed)
    return str(bad.value)


def test_somebody_elses_signature_does_not_count_for_an_allowed_key(keys):
    """The key stands in the signature: one that names a trusted key must have been made by it."""
    stolen = parse(keys["other"].sign(PAYLOAD))
    forged = base64.encodebytes(
        base64.b64decode("".join(keys["other"].sign(PAYLOAD).decode().splitlines()[1:-1])).replace(
            stolen.key, keys["ed25519"].blob
        )
    )
    armoured = b"-----BEGIN SSH SIGNATURE-----\n" + forged + b"-----END SSH SIGNATURE-----\n"

    assert "does not fit its content" in refused(armoured, signers(keys["ed25519"].allowed()))


@pytest.fixture(scope="module")
def signature(keys) -> bytes:
    return keys["ed25519"].sign(PAYLOAD)


@given(st.data())
def test_a_signature_with_any_byte_changed_is_refused(keys, signature, data):
    raw = bytearray(base64.b64decode(b"".join(signature.splitlines()[1:-1])))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    armoured = b"-----BEGIN SSH SIGNATURE-----\n" + base64.encodebytes(raw) + b"-----END SSH SIGNATURE-----\n"

    assert refused(armoured, signers(keys["ed25519"].allowed()))


@given(st.binary(max_size=200))
def test_anything_else_is_no_signature(data):
    for armoured in (
        data,
        b"-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(data) + b"\n-----END SSH SIGNATURE-----",
    ):
        with pytest.raises(BadSignature):
            parse(armoured)


@pytest.mark.parametrize(
    ("options", "at", "complaint"),
    [
        ('namespaces="git"', NOON, ""),
        ('namespaces="file,g*"', NOON, ""),
        ('namespaces="file"', NOON, "may sign for file only"),
        ('valid-after="20200101"', NOON, ""),
        ('valid-after="20300101Z"', NOON, "counts only after 2030-01-01 00:00 UTC"),
        ('valid-before="20300101"', NOON, ""),
        ('valid-before="202311142213"', NOON, "expired on 2023-11-14 22:13 UTC"),
        ('valid-before="20231114221320Z"', NOON, ""),
        ('NAMESPACES="git",valid-after="20200101",valid-before="20300101"', NOON, ""),
    ],
)
def test_a_key_counts_for_what_and_when_its_line_says(keys, options, at, complaint):
    key = keys["ed25519"]
    allowed = signers(key.allowed(options))

    if complaint:
        assert complaint in refused(key.sign(PAYLOAD), allowed, at=at)
    else:
        assert verify(sealed(key.sign(PAYLOAD), at=at), allowed).by == "ed25519@example.com"


def test_one_of_several_lines_for_a_key_is_enough(keys):
    key = keys["ed25519"]
    allowed = signers(key.allowed('valid-before="20200101"'), key.allowed('valid-after="20200101"'))

    assert verify(sealed(key.sign(PAYLOAD)), allowed).method == "ssh"


def test_comments_quotes_and_several_names_are_read(keys):
    key = keys["ed25519"]
    text = f'# who may\n\n"a b@example.com,*@example.org" namespaces="git"\t{key.public} a comment here\n'

    (signer,) = read_signers(text, "allowed")
    assert signer == AllowedSigner("a b@example.com,*@example.org", key.blob, ("git",))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("ada@example.com", "a line is: who"),
        ("ada@example.com ssh-ed25519", "a line is: who"),
        ("ada@example.com ssh-ed25519 AAAA!", "not base64"),
        ("ada@example.com ssh-ed25519 AAAA", "cut short"),
        ("ada@example.com ssh-rsa {key}", "not one of kind ssh-rsa"),
        ("ada@example.com cert-authority ssh-ed25519 {key}", "certificates are not supported"),
        ('ada@example.com trusted="yes" ssh-ed25519 {key}', "no option 'trusted'"),
        ("ada@example.com namespaces ssh-ed25519 {key}", "no option 'namespaces', or it has no value"),
        ('ada@example.com valid-after="tomorrow" ssh-ed25519 {key}', "is not a time"),
        ('ada@example.com valid-after="20201301" ssh-ed25519 {key}', "is not a time"),
        ('ada@example.com namespaces="git ssh-ed25519 {key}', "quotation mark"),
    ],
)
def test_a_line_that_cannot_be_understood_is_an_error_with_its_number(keys, line, complaint):
    with pytest.raises(DocumentError, match=complaint) as wrong:
        read_signers("# first\n" + line.format(key=keys["ed25519"].public.split()[1]), "signers")
    assert wrong.value.place is not None
    assert (wrong.value.place.file, wrong.value.place.line) == ("signers", 2)


def test_fingerprints_are_those_that_ssh_keygen_shows(keys, tmp_path: Path):
    for key in keys.values():
        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", key.path.with_suffix(".pub")], capture_output=True, check=True, text=True
        ).stdout
        assert fingerprint(key.blob) in shown
