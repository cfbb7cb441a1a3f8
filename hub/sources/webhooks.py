"""Webhooks: is a delivery genuine, and which repositories and refs does it speak of. Pure.

A delivery only ever makes the hub look at a repository it already knows; nothing in its body is believed beyond that.
Signatures are compared in constant time and checked before the body is parsed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.sources import urls
from shared.errors import InvalidMessage, InvalidSignature

MAX_BODY = 25 * 1024**2
"""GitHub's own limit on what it sends."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a genuine delivery says.

    `repositories` are keys as `urls.normalise` gives them, in all forms the sender named. `refs` are full ref names;
    none means that it does not say (look at everything). `ping` is the sender's test of the connection.
    """

    repositories: frozenset[str]
    refs: frozenset[str] = frozenset()
    ping: bool = False

    def concerns(self, address: str) -> bool:
        """Whether the repository configured as `address` is one of those named."""
        return urls.normalise(address) in self.repositories


@dataclass(frozen=True, slots=True)
class _Provider:
    signature: str
    event: str
    prefix: str = ""
    token: bool = False
    """The header carries the secret itself, not a signature."""


PROVIDERS: Mapping[str, _Provider] = {
    "github": _Provider("x-hub-signature-256", "x-github-event", prefix="sha256="),
    "gitlab": _Provider("x-gitlab-token", "x-gitlab-event", token=True),
    "gitea": _Provider("x-gitea-signature", "x-gitea-event"),
    "forgejo": _Provider("x-forgejo-signature", "x-forgejo-event"),
    "bitbucket": _Provider("x-hub-signature", "x-event-key", prefix="sha256="),
    "generic": _Provider("x-yardarm-signature", "x-yardarm-event", prefix="sha256="),
}


def receive(provider: str, headers: Mapping[str, str], body: bytes, secret: str) -> Delivery:
    """Verify a delivery and read it.

    Args:
        provider: one of `PROVIDERS`.
        headers: of the request; names in any case.
        body: as received, byte by byte.
        secret: shared with the sender.

    Raises:
        InvalidSignature: the signature is missing or wrong, or no secret is set: nothing is believed unsigned.
        InvalidMessage: signed, but not readable.
    """
    known = PROVIDERS.get(provider)
    if known is None:
        raise InvalidMessage(f"webhooks of {provider!r} are not known; there are {', '.join(PROVIDERS)}")
    named = {name.lower(): value for name, value in headers.items()}
    if len(body) > MAX_BODY:
        raise InvalidMessage(f"a body of {len(body)} bytes is too large")
    _verify(known, named, body, secret)
    payload = _decode(named, body)
    event = named.get(known.event, "").lower()
    if event in ("ping", "diagnostics:ping"):
        return Delivery(frozenset(), ping=True)
    return Delivery(frozenset(_repositories(payload)), frozenset(_refs(payload)))


def sign(body: bytes, secret: str) -> str:
    """The value of `X-Yardarm-Signature` for a body, for those who send generic webhooks."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _verify(provider: _Provider, headers: Mapping[str, str], body: bytes, secret: str) -> None:
    given = headers.get(provider.signature, "").strip()
    if provider.signature == "x-forgejo-signature" and not given:
        given = headers.get("x-gitea-signature", "").strip()
    if not secret:
        raise InvalidSignature("no secret is set for webhooks: set one here and at the sender")
    if not given:
        raise InvalidSignature(f"the header {provider.signature} is missing: set the secret at the sender too")
    if provider.token:
        # Hashed first, so that the time tells nothing of the secret's length either.
        good = hmac.compare_digest(_digest(given), _digest(secret))
    else:
        expected = provider.prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        good = hmac.compare_digest(given.lower().encode(), expected.encode())
    if not good:
        raise InvalidSignature(f"the header {provider.signature} does not fit the secret that is set here")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _decode(headers: Mapping[str, str], body: bytes) -> Any:
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise InvalidMessage("a form was sent: set the content type to application/json at the sender")
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(f"the body is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise InvalidMessage("the body is not a JSON object")
    return payload


_ADDRESS_FIELDS = (
    *("clone_url", "ssh_url", "git_url", "html_url"),  # GitHub, Gitea
    *("git_http_url", "git_ssh_url", "http_url", "web_url", "homepage", "url"),  # GitLab
)


def _repositories(payload: Mapping[str, Any]) -> Iterator[str]:
    """Keys of all addresses under `repository` and `project` (GitLab), or of a generic body's own fields."""
    for holder in (payload.get("repository"), payload.get("project")):
        if isinstance(holder, str):
            yield from _key(holder)
        if isinstance(holder, dict):
            for field in _ADDRESS_FIELDS:
                yield from _key(holder.get(field))
            yield from _bitbucket_keys(holder)
    for address in _list(payload.get("repositories")):
        yield from _key(address)


def _bitbucket_keys(repository: Mapping[str, Any]) -> Iterator[str]:
    """Bitbucket Cloud names its web page only, Bitbucket Server a list of links to clone."""
    links = repository.get("links")
    if not isinstance(links, dict):
        return
    html = links.get("html")
    if isinstance(html, dict):
        yield from _key(html.get("href"))
    for clone in _list(links.get("clone")):
        if isinstance(clone, dict):
            yield from _key(clone.get("href"))


def _key(address: object) -> Iterator[str]:
    if isinstance(address, str) and (key := urls.normalise(address)):
        yield key


def _refs(payload: Mapping[str, Any]) -> Iterator[str]:
    ref = payload.get("ref")
    if isinstance(ref, str) and ref:
        yield _full_ref(ref, str(payload.get("ref_type", "")))
    for each in _list(payload.get("refs")):
        if isinstance(each, str):
            yield _full_ref(each, "")
    push = payload.get("push")
    changes = push.get("changes") if isinstance(push, dict) else payload.get("changes")
    for change in _list(changes):
        if isinstance(change, dict):
            yield from _bitbucket_refs(change)


def _bitbucket_refs(change: Mapping[str, Any]) -> Iterator[str]:
    for side in (change.get("new"), change.get("old")):
        if isinstance(side, dict) and isinstance(side.get("name"), str):
            yield _full_ref(side["name"], str(side.get("type", "")))
    ref = change.get("ref")
    if isinstance(ref, dict) and isinstance(ref.get("id"), str):
        yield ref["id"]


def _full_ref(ref: str, kind: str) -> str:
    if ref.startswith("refs/"):
        return ref
    return f"refs/{'tags' if kind == 'tag' else 'heads'}/{ref}"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
