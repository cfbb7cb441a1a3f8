"""Which commit of a repository may be acted upon: the newest, or, where it is not signed as is asked, an earlier one.

Where signatures are enforced and the tip of a ref is not good, the commit that was accepted last stays. It is noted in
the mirror, so that it is there after a restart and whatever happens to the branch. A mirror that has none yet looks
back from the tip of a branch, over first parents. Runs on the mirror's thread (`Mirror.read`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hub.sources.memo import Memo
from hub.sources.objects import HEAD, OURS, CommitInfo, Located, Objects
from hub.sources.signatures import envelope
from hub.sources.signatures.policy import Policy, Signed, Signers, verify
from hub.sources.signatures.sshsig import BadSignature
from shared.errors import DocumentError
from shared.model import Problem
from shared.tasks import Clock

LOOK_BACK = 200
"""Commits below the tip of a branch among which a good one is looked for."""

_HINT = (
    "sign it, or a commit on top of it, with the key of an allowed signer (git commit -S); or have the hub's operator"
    " allow its key in git.signatures"
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The commit to act upon for a ref, and who signed it; None: nobody was asked for, or it is not signed well.

    `problem` says what is wrong with the tip: an error when an earlier commit stands in for it.
    """

    commit: str
    signed: Signed | None = None
    problem: Problem | None = None


class Acceptance:
    """The decision for one repository. `policy` is asked each time, so that it may change while the hub runs."""

    def __init__(self, policy: Callable[[], Policy], clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._known: Memo[Signed | BadSignature] = Memo(1000)

    def accept(self, objects: Objects, ref: str) -> Accepted:
        """The commit that counts for a ref.

        Raises:
            DocumentError: there is no such ref; or none of its commits may be acted upon; or who may sign is not known.
        """
        policy, tip = self._policy(), objects.locate(ref)
        if policy.require == "none":
            return Accepted(tip.commit)
        try:
            signed = self._verified(objects, tip, policy.signers, objects.remembered(_name(ref)))
        except BadSignature as bad:
            return self._instead(objects, ref, tip, policy, bad)
        if policy.require == "enforce" and objects.remembered(_name(ref)) != tip.commit:
            objects.remember(_name(ref), tip.name if signed.what == "tag" else tip.commit)
        return Accepted(tip.commit, signed)

    def refusal(self, objects: Objects, ref: str, commit: str) -> str:
        """Why a commit of a branch does not count, empty when it does, or when all do: see `hub.sources.writing`.

        A signature vouches for all that is below it, so the hub's own may not stand on what nobody has vouched for.

        Raises:
            DocumentError: who may sign is not known.
        """
        policy = self._policy()
        if policy.require != "enforce":
            return ""
        try:
            signed = _of_commit(objects, commit, policy.signers)
        except BadSignature as bad:
            return _told(objects.commit(commit), ref, bad)
        is_new = objects.remembered(_name(ref)) != commit
        if is_new and signed.expires and signed.expires <= self._clock.now():
            return _told(objects.commit(commit), ref, BadSignature(f"is by {signed.key}, which has expired"))
        return ""

    def _instead(self, objects: Objects, ref: str, tip: Located, policy: Policy, bad: BadSignature) -> Accepted:
        told = _told(objects.commit(tip.commit), ref, bad)
        if policy.require == "warn":
            return Accepted(
                tip.commit, problem=Problem("warning", f"{told}; it is acted upon all the same", hint=_HINT)
            )
        last = objects.remembered(_name(ref))
        stands_in = [Located(last, f"{OURS}{_name(ref)}")] if last else []
        for located in (*stands_in, *_below(objects, tip)):
            try:
                signed = self._verified(objects, located, policy.signers, last)
            except BadSignature:
                continue
            message = f"{told}; it is not acted upon, {located.commit[:12]} stays"
            return Accepted(located.commit, signed, Problem("error", message, hint=_HINT))
        raise DocumentError(f"{told}; nothing of it is acted upon", hint=_HINT)

    def _verified(self, objects: Objects, located: Located, signers: Signers, last: str) -> Signed:
        """Who signed a commit, or the tag that leads to it. A key that has expired vouches for nothing new.

        Raises:
            BadSignature: nobody who may.
        """
        signed = self._signed(objects, located, signers)
        if located.commit != last and signed.expires and signed.expires <= self._clock.now():
            raise BadSignature(f"is by {signed.key} ({signed.by}), which has expired")
        return signed

    def _signed(self, objects: Objects, located: Located, signers: Signers) -> Signed:
        tag = objects.raw_tag(located.name) if located.name.startswith(("refs/tags/", OURS)) else None
        key = (located, tag, signers.digest)
        known = self._known.get(key)
        if known is None:
            try:
                known = _of_tag(located.name, tag, signers) if tag is not None else None
                known = known or _of_commit(objects, located.commit, signers)
            except BadSignature as bad:
                known = bad
            self._known.put(key, known)
        if isinstance(known, BadSignature):
            raise known
        return known


def _of_commit(objects: Objects, commit: str, signers: Signers) -> Signed:
    try:
        opened = envelope.open_commit(objects.raw_commit(commit))
    except ValueError as error:
        raise BadSignature(f"cannot be told: {error}") from None
    return verify(opened, signers)


def _of_tag(name: str, raw: bytes, signers: Signers) -> Signed | None:
    """Who signed a tag; None when it is not signed at all: then its commit may be.

    A good tag served under another name would pass an old release off as a new one.
    """
    opened = envelope.open_tag(raw)
    if not opened.method:
        return None
    signed = verify(opened, signers, "tag")
    if name.startswith("refs/tags/") and opened.name != name.removeprefix("refs/tags/"):
        raise BadSignature(f"is for a tag called {opened.name!r}")
    return signed


def _below(objects: Objects, tip: Located) -> Iterator[Located]:
    """The first parents of a branch's tip, newest first; none of what is pinned by a tag or an id."""
    if not (tip.name == HEAD or tip.name.startswith("refs/heads/")):
        return
    commit = objects.commit(tip.commit)
    for _ in range(LOOK_BACK):
        if not commit.parents or not objects.has(commit.parents[0]):
            return
        commit = objects.commit(commit.parents[0])
        yield Located(commit.sha)


def _name(ref: str) -> str:
    """Under which name the last good commit of a ref is noted: refs may hold anything, a range for example."""
    return f"accepted/{hashlib.sha256(ref.strip().encode()).hexdigest()[:40]}"


def _told(commit: CommitInfo, ref: str, bad: BadSignature) -> str:
    shown = f"commit {commit.sha[:12]} of {ref or 'HEAD'} by {commit.author} <{commit.email}>"
    return f"{shown}: its signature {bad}"
