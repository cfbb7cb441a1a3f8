"""Webhooks: only what is signed is believed, and every sender's bodies name their repository."""

from __future__ import annotations

import hashlib
import hmac

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sources.webhooks import PROVIDERS, receive, sign
from shared.errors import InvalidMessage, InvalidSignature

SECRET = "shared-secret"


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def headers(provider: str, body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {
        "github": {"X-Hub-Signature-256": "sha256=" + signature(body, secret), "X-GitHub-Event": "push"},
        "gitlab": {"X-Gitlab-Token": secret, "X-Gitlab-Event": "Push Hook"},
        "gitea": {"X-Gitea-Signature": signature(body, secret), "X-Gitea-Event": "push"},
        "forgejo": {"X-Forgejo-Signature": signature(body, secret), "X-Forgejo-Event": "push"},
        "bitbucket": {"X-Hub-Signature": "sha256=" + signature(body, secret), "X-Event-Key": "repo:push"},
        "generic": {"X-Yardarm-Signature": sign(body, secret)},
    }[provider]


BODIES = {
    "github": {
        "ref": "refs/heads/main",
        "repository": {
            "full_name": "acme/fleet",
            "clone_url": "https://github.com/acme/fleet.git",
            "ssh_url": "git@github.com:acme/fleet.git",
        },
    },
    "gitlab": {
        "object_kind": "push",
        "ref": "refs/heads/main",
        "project": {
            "git_ssh_url": "git@github.com:acme/fleet.git",
            "git_http_url": "https://github.com/acme/fleet.git",
        },
        "repository": {"url": "git@github.com:acme/fleet.git"},
    },
    "gitea": {"ref": "refs/heads/main", "repository": {"clone_url": "https://github.com/acme/fleet.git"}},
    "forgejo": {"ref": "main", "repository": {"ssh_url": "ssh://git@github.com/acme/fleet.git"}},
    "bitbucket": {
        "push": {"changes": [{"new": {"type": "branch", "name": "main"}, "old": None}]},
        "repository": {"links": {"html": {"href": "https://github.com/acme/fleet"}}},
    },
    "generic": {"repository": "git@github.com:acme/fleet.git", "ref": "main"},
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_signed_delivery_names_repository_and_ref(provider):
    body = orjson.dumps(BODIES[provider])
    delivery = receive(provider, headers(provider, body), body, SECRET)
    assert delivery.refs == {"refs/heads/main"}
    assert delivery.concerns("https://github.com/acme/fleet")
    assert delivery.concerns("git@github.com:acme/fleet.git")
    assert not delivery.concerns("https://github.com/acme/other")


def test_bitbucket_server_names_its_clone_links():
    body = orjson.dumps(
        {
            "changes": [{"ref": {"id": "refs/tags/v1"}, "type": "ADD"}],
            "repository": {"links": {"clone": [{"name": "ssh", "href": "ssh://git@bb.example.com:7999/p/fleet.git"}]}},
        }
    )
    delivery = receive("bitbucket", headers("bitbucket", body), body, SECRET)
    assert delivery.refs == {"refs/tags/v1"}
    assert delivery.concerns("ssh://git@bb.example.com:7999/p/fleet.git")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_wrong_missing_and_unset_secrets_are_refused(provider):
    body = orjson.dumps(BODIES[provider])
    with pytest.raises(InvalidSignature, match="does not fit"):
        receive(provider, headers(provider, body, "other"), body, SECRET)
    with pytest.raises(InvalidSignature, match="is missing"):
        receive(provider, {}, body, SECRET)
    with pytest.raises(InvalidSignature, match="no secret is set"):
        receive(provider, headers(provider, body, ""), body, "")


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name != "gitlab"])
@given(extra=st.binary(min_size=1, max_size=20))
def test_a_changed_body_is_refused(provider, extra):
    body = orjson.dumps(BODIES[provider])
    with pytest.raises(InvalidSignature):
        receive(provider, headers(provider, body), body + extra, SECRET)


@pytest.mark.parametrize("given_signature", ["sha256=", "", "sha1=abc", "ü", "0" * 64])
def test_odd_signatures_are_refused(given_signature):
    with pytest.raises(InvalidSignature):
        receive("github", {"X-Hub-Signature-256": given_signature}, b"{}", SECRET)


@given(st.recursive(st.none() | st.integers(-9, 9) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["repository", "project", "ref", "refs", "push", "changes", "new", "links", "clone", "html", "href", "url"]),
    inner, max_size=4), max_leaves=20))  # fmt: skip
def test_a_signed_body_of_any_shape_is_read_or_refused(payload):
    body = orjson.dumps(payload)
    try:
        receive("github", headers("github", body), body, SECRET)
    except InvalidMessage:
        assert not isinstance(payload, dict)


def test_other_bodies_and_senders_get_an_answer():
    for body, complaint in ((b"not json", "not JSON"), (b"[]", "not a JSON object")):
        with pytest.raises(InvalidMessage, match=complaint):
            receive("github", headers("github", body), body, SECRET)
    form = headers("github", b"payload=x") | {"Content-Type": "application/x-www-form-urlencoded"}
    with pytest.raises(InvalidMessage, match="set the content type to application/json"):
        receive("github", form, b"payload=x", SECRET)
    with pytest.raises(InvalidMessage, match="are not known"):
        receive("gogs", {}, b"{}", SECRET)
    ping = headers("github", b"{}") | {"X-GitHub-Event": "ping"}
    assert receive("github", ping, b"{}", SECRET).ping
