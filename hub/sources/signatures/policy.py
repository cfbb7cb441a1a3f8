"""Whether a commit or tag may be acted upon: it must be signed by somebody who is allowed to.

What counts is the tip that is asked for, not each commit below it: whoever signs a commit vouches for its whole tree,
and for the history it stands on. So a merge made by a Git host counts when the host's key is allowed, and a merge made
by a person when that person is; commits of others that were merged need no signature of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hub.sources.signatures import openpgp, sshsig
from hub.sources.signatures.envelope import Envelope
from hub.sources.signatures.openpgp import PgpSigner
from hub.sources.signatures.signers import AllowedSigner
from hub.sources.signatures.sshsig import BadSignature

Require = Literal["none", "warn", "enforce"]


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed: `by` as the list of signers calls them, `key` its fingerprint, `method` ssh or openpgp.

    `what` is commit or tag. `expires` is when the key does, in unix seconds, 0 for never or not by itself.
    """

    by: str
    key: str
    method: str
    what: str = "commit"
    expires: float = 0.0


@dataclass(frozen=True, slots=True)
class Signers:
    """Who may sign."""

    ssh: tuple[AllowedSigner, ...] = ()
    openpgp: tuple[PgpSigner, ...] = ()

    @property
    def digest(self) -> str:
        """Equal for equal signers."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of a repository's commits. Nothing, by default."""

    require: Require = "none"
    signers: Signers = Signers()


def verify(envelope: Envelope, signers: Signers, what: str = "commit") -> Signed:
    """Who signed it.

    Raises:
        BadSignature: nobody who is allowed to; the message goes after "its signature ", or says that there is none.
    """
    match envelope.method:
        case "":
            raise Unsigned
        case "ssh":
            return _ssh(envelope, signers.ssh, what)
        case "openpgp":
            found = openpgp.verify(envelope.signature, envelope.payload, signers.openpgp)
            return Signed(found.by, found.key, "openpgp", what, found.expires)
        case _:
            raise BadSignature("is of a kind that is not supported: SSH and OpenPGP are")


class Unsigned(BadSignature):
    """There is no signature at all."""

    def __init__(self) -> None:
        super().__init__("is missing")


def _ssh(envelope: Envelope, allowed: Iterable[AllowedSigner], what: str) -> Signed:
    signature = sshsig.parse(envelope.signature)
    mine = [signer for signer in allowed if signer.key == signature.key]
    if not mine:
        raise BadSignature(f"is by {signature.fingerprint}, which is not an allowed signer's")
    sshsig.verify(signature, envelope.payload)
    refusals = [signer.refusal(signature.namespace, envelope.at) for signer in mine]
    for signer, refusal in zip(mine, refusals, strict=True):
        if not refusal:
            return Signed(signer.principals, signature.fingerprint, "ssh", what)
    raise BadSignature(f"is by {signature.fingerprint} ({mine[0].principals}): {refusals[0]}")
