"""Webhooks: is a delivery genuine, and which repositories and refs does it speak of. Pure.

A delivery only ever makes the hub look at a repository it already knows; nothing in its body is believed beyond that.
So an old one that is sent again does no harm. Signatures are compared in constant time and checked before the body is
parsed; of a form, Gitea signs the field `payload` and GitHub the whole body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from hub.domain import urls
from shared.errors import InvalidMessage, InvalidSignature

MAX_BODY = 25 * 1024**2
"""GitHub's own limit on what it sends."""
TOLERANCE = 300.0
"""Seconds by which a delivery that says when it was sent may be early or late, as the Standard Webhooks have it."""
_FORM = "application/x-www-form-urlencoded"
_WHSEC = "whsec_"
"""How the secrets of Standard Webhooks begin; the rest is the key in base64."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a genuine delivery says.

    `repositories` are keys as `urls.normalise` gives them, in all forms the sender named. `refs` are full ref names;
    none means that it does not say (look at everything). `ping` is the sender's test of the connection. `names` are
    the ends of addresses (`project/name`), where the sender says no more.
    """

    repositories: frozenset[str]
    refs: frozenset[str] = frozenset()
    ping: bool = False
    names: frozenset[str] = frozenset()

    def concerns(self, address: str) -> bool:
        """Whether the repository configured as `address` is one of those named."""
        key = urls.normalise(address)
        return key in self.repositories or any(key.endswith(f"/{name}") for name in self.names)


@dataclass(frozen=True, slots=True)
class _Provider:
    signature: str
    event: str
    prefix: str = ""
    token: bool = False
    """The header carries the secret itself, not a signature."""
    signs_payload: bool = False
    """Of a form, only the field `payload` is signed."""


PROVIDERS: Mapping[str, _Provider] = {
    "github": _Provider("x-hub-signature-256", "x-github-event", prefix="sha256="),
    "gitlab": _Provider("x-gitlab-token", "x-gitlab-event", token=True),
    "gitea": _Provider("x-gitea-signature", "x-gitea-event", signs_payload=True),
    "forgejo": _Provider("x-forgejo-signature", "x-forgejo-event", signs_payload=True),
    "bitbucket": _Provider("x-hub-signature", "x-event-key", prefix="sha256="),
    "generic": _Provider("x-yardarm-signature", "x-yardarm-event", prefix="sha256="),
}


def receive(provider: str, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Delivery:
    """Verify a delivery and read it.

    Args:
        provider: one of `PROVIDERS`.
        headers: of the request; names in any case.
        body: as received, byte by byte.
        secret: shared with the sender.
        now: unix seconds.

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
    if provider == "gitlab" and "webhook-signature" in named:
        _verify_standard(named, body, secret, now)
    else:
        _verify(known, named, body, secret)
    payload = _decode(named, body)
    if _is_ping(named.get(known.event, "").lower(), payload):
        return Delivery(frozenset(), ping=True)
    repositories = frozenset(_repositories(payload))
    names = frozenset() if repositories else frozenset(_names(payload))
    return Delivery(repositories, frozenset(_refs(payload)), names=names)


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
        signed = [body, *_form_payload(headers, body)] if provider.signs_payload else [body]
        expected = [provider.prefix + hmac.new(secret.encode(), each, hashlib.sha256).hexdigest() for each in signed]
        good = any(hmac.compare_digest(given.lower().encode(), each.encode()) for each in expected)
    if not good:
        raise InvalidSignature(f"the header {provider.signature} does not fit the secret that is set here")


def _verify_standard(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> None:
    """A signature of the Standard Webhooks, over an id and a time as well; what GitLab calls a signing token."""
    if not secret:
        raise InvalidSignature("no secret is set for webhooks: set one here and at the sender")
    identity, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not identity or not re.fullmatch(r"\d{1,15}", sent):
        raise InvalidSignature("the headers webhook-id and webhook-timestamp belong to webhook-signature")
    digest = hmac.new(_standard_key(secret), f"{identity}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}".encode()
    given = headers["webhook-signature"].split()
    if not any(hmac.compare_digest(each.encode(), expected) for each in given):
        raise InvalidSignature("the header webhook-signature does not fit the secret that is set here")
    if abs(now - int(sent)) > TOLERANCE:
        raise InvalidSignature(f"it was sent at {sent}, by the sender's clock, which is too long ago or to come")


def _standard_key(secret: str) -> bytes:
    if secret.startswith(_WHSEC):
        try:
            return base64.b64decode(secret.removeprefix(_WHSEC), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def _is_ping(event: str, payload: Mapping[str, Any]) -> bool:
    return event in ("ping", "diagnostics:ping") or payload == {"test": True}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _decode(headers: Mapping[str, str], body: bytes) -> Any:
    if _is_form(headers):
        found = _form_payload(headers, body)
        if not found:
            raise InvalidMessage("a form without the field payload: set the content type to application/json")
        body = found[0]
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(f"the body is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise InvalidMessage("the body is not a JSON object")
    return payload


def _is_form(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").strip().lower().startswith(_FORM)


def _form_payload(headers: Mapping[str, str], body: bytes) -> list[bytes]:
    """The field `payload` of a form, none where there is no such thing."""
    if not _is_form(headers):
        return []
    try:
        found = parse_qs(body.decode(), max_num_fields=20).get("payload", [])
    except ValueError:
        return []
    return [each.encode() for each in found[:1]]


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


def _names(payload: Mapping[str, Any]) -> Iterator[str]:
    """`project/name` of a repository without addresses: so Bitbucket Server sends it, depending on its version."""
    repository = payload.get("repository")
    if not isinstance(repository, dict):
        return
    project, name = repository.get("project"), repository.get("slug")
    if isinstance(project, dict) and isinstance(project.get("key"), str) and isinstance(name, str) and name:
        yield f"{project['key']}/{name}".lower()


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
    return f"refs/{'tags' if kind in ('tag', 'annotated_tag') else 'heads'}/{ref}"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
