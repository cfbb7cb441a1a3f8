"""Webhooks: only what is signed is believed, and every sender's bodies name their repository."""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.parse

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sources.webhooks import PROVIDERS, receive, sign
from shared.errors import InvalidMessage, InvalidSignature

SECRET = "shared-secret"
NOW = 1_700_000_000.0


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
    delivery = receive(provider, headers(provider, body), body, SECRET, NOW)
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
    delivery = receive("bitbucket", headers("bitbucket", body), body, SECRET, NOW)
    assert delivery.refs == {"refs/tags/v1"}
    assert delivery.concerns("ssh://git@bb.example.com:7999/p/fleet.git")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_wrong_missing_and_unset_secrets_are_refused(provider):
    body = orjson.dumps(BODIES[provider])
    with pytest.raises(InvalidSignature, match="does not fit"):
        receive(provider, headers(provider, body, "other"), body, SECRET, NOW)
    with pytest.raises(InvalidSignature, match="is missing"):
        receive(provider, {}, body, SECRET, NOW)
    with pytest.raises(InvalidSignature, match="no secret is set"):
        receive(provider, headers(provider, body, ""), body, "", NOW)


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name != "gitlab"])
@given(extra=st.binary(min_size=1, max_size=20))
def test_a_changed_body_is_refused(provider, extra):
    body = orjson.dumps(BODIES[provider])
    with pytest.raises(InvalidSignature):
        receive(provider, headers(provider, body), body + extra, SECRET, NOW)


@pytest.mark.parametrize("given_signature", ["sha256=", "", "sha1=abc", "ü", "0" * 64])
def test_odd_signatures_are_refused(given_signature):
    with pytest.raises(InvalidSignature):
        receive("github", {"X-Hub-Signature-256": given_signature}, b"{}", SECRET, NOW)


@given(st.recursive(st.none() | st.integers(-9, 9) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["repository", "project", "ref", "refs", "push", "changes", "new", "links", "clone", "html", "href", "url"]),
    inner, max_size=4), max_leaves=20))  # fmt: skip
def test_a_signed_body_of_any_shape_is_read_or_refused(payload):
    body = orjson.dumps(payload)
    try:
        receive("github", headers("github", body), body, SECRET, NOW)
    except InvalidMessage:
        assert not isinstance(payload, dict)


def test_other_bodies_and_senders_get_an_answer():
    for body, complaint in ((b"not json", "not JSON"), (b"[]", "not a JSON object")):
        with pytest.raises(InvalidMessage, match=complaint):
            receive("github", headers("github", body), body, SECRET, NOW)
    for body, complaint in ((b"payload=x", "not JSON"), (b"other={}", "without the field payload")):
        form = headers("github", body) | {"Content-Type": "application/x-www-form-urlencoded"}
        with pytest.raises(InvalidMessage, match=complaint):
            receive("github", form, body, SECRET, NOW)
    with pytest.raises(InvalidMessage, match="are not known"):
        receive("gogs", {}, b"{}", SECRET, NOW)
    ping = headers("github", b"{}") | {"X-GitHub-Event": "ping"}
    assert receive("github", ping, b"{}", SECRET, NOW).ping


@pytest.mark.parametrize("provider", ["github", "gitea", "forgejo"])
@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "Application/x-www-form-urlencoded; charset=utf-8"]
)
def test_a_form_is_read_as_its_sender_signs_it(provider, content_type):
    """GitHub signs the body as it is sent, Gitea and Forgejo the JSON in it."""
    payload = orjson.dumps(BODIES["github"] | {"text": "a+b &c=d ü"})
    body = urllib.parse.urlencode({"payload": payload}).encode()
    signed = headers(provider, body if provider == "github" else payload) | {"Content-Type": content_type}

    assert receive(provider, signed, body, SECRET, NOW).concerns("https://github.com/acme/fleet")
    with pytest.raises(InvalidSignature, match="does not fit"):
        receive(provider, signed, body.replace(b"acme", b"evil"), SECRET, NOW)
    if provider == "github":
        with pytest.raises(InvalidSignature, match="does not fit"):
            receive(provider, headers(provider, payload) | {"Content-Type": content_type}, body, SECRET, NOW)


KEY = b"0123456789abcdef0123456789abcdef"


def standard(body: bytes, key: bytes = KEY, at: float = NOW, identity: str = "f5e5f430") -> dict[str, str]:
    """The headers of a webhook with a signing token, as GitLab sends it."""
    digest = hmac.new(key, f"{identity}.{at:.0f}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": f"{at:.0f}",
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        "X-Gitlab-Event": "Push Hook",
    }


@pytest.mark.parametrize("secret", ["whsec_" + base64.b64encode(KEY).decode(), KEY.decode()])
def test_a_signing_token_of_gitlab_is_verified(secret):
    body = orjson.dumps(BODIES["gitlab"])
    good = standard(body)

    assert receive("gitlab", good, body, secret, NOW).concerns("https://github.com/acme/fleet")
    both = good | {"webhook-signature": "v1,AAAA " + good["webhook-signature"]}
    assert receive("gitlab", both, body, secret, NOW + 200).refs == {"refs/heads/main"}
    for wrong in (
        standard(body, b"another"),
        good | {"webhook-id": "another"},
        good | {"webhook-timestamp": f"{NOW + 1:.0f}"},
        good | {"webhook-signature": "v2" + good["webhook-signature"][2:]},
        good | {"webhook-signature": ""},
        good | {"webhook-signature": "v1,ü"},
        # A plain token beside a signature that does not fit is no way in.
        standard(body, b"another") | {"X-Gitlab-Token": secret},
    ):
        with pytest.raises(InvalidSignature, match="webhook-signature does not fit"):
            receive("gitlab", wrong, body, secret, NOW)
    with pytest.raises(InvalidSignature, match="webhook-signature does not fit"):
        receive("gitlab", good, body + b" ", secret, NOW)
    for missing in ("webhook-id", "webhook-timestamp"):
        with pytest.raises(InvalidSignature, match="belong to webhook-signature"):
            receive("gitlab", {k: v for k, v in good.items() if k != missing}, body, secret, NOW)
    for late in (301, -301):
        with pytest.raises(InvalidSignature, match="too long ago or to come"):
            receive("gitlab", good, body, secret, NOW + late)


@pytest.mark.parametrize(
    ("provider", "event", "body"),
    [
        ("github", {"X-GitHub-Event": "ping"}, {"zen": "Design for failure.", "hook_id": 1}),
        ("bitbucket", {"X-Event-Key": "diagnostics:ping"}, {"test": True}),
        ("bitbucket", {}, {"test": True}),
    ],
)
def test_the_test_of_a_connection_is_answered(provider, event, body):
    data = orjson.dumps(body)
    signed = {key: value for key, value in headers(provider, data).items() if "Event" not in key}

    assert receive(provider, signed | event, data, SECRET, NOW).ping


REPOSITORY = BODIES["github"]["repository"]
ZERO = "0" * 40


@pytest.mark.parametrize(
    ("provider", "body", "refs"),
    [
        ("github", {"ref": "refs/tags/v1", "created": True, "repository": REPOSITORY}, {"refs/tags/v1"}),
        ("github", {"ref": "refs/heads/x", "deleted": True, "after": ZERO, "repository": REPOSITORY}, {"refs/heads/x"}),
        ("github", {"ref": "v1", "ref_type": "tag", "repository": REPOSITORY}, {"refs/tags/v1"}),
        ("gitea", {"ref": "x", "ref_type": "branch", "pusher_type": "user", "repository": REPOSITORY}, {"refs/heads/x"}),
        ("gitlab", {"object_kind": "tag_push", "ref": "refs/tags/v1", "after": ZERO, "project": BODIES["gitlab"]["project"]},
         {"refs/tags/v1"}),
        ("gitlab", {"event_name": "repository_update", "refs": ["refs/heads/x"], "project": BODIES["gitlab"]["project"]},
         {"refs/heads/x"}),
        ("bitbucket", {"push": {"changes": [{"old": {"type": "branch", "name": "x"}, "new": None, "closed": True}]},
                       "repository": BODIES["bitbucket"]["repository"]}, {"refs/heads/x"}),
        ("bitbucket", {"push": {"changes": [{"old": None, "new": {"type": "annotated_tag", "name": "v1"}}]},
                       "repository": BODIES["bitbucket"]["repository"]}, {"refs/tags/v1"}),
    ],
)  # fmt: skip
def test_tags_that_are_pushed_and_branches_that_are_deleted_are_told(provider, body, refs):
    data = orjson.dumps(body)
    delivery = receive(provider, headers(provider, data), data, SECRET, NOW)

    assert delivery.refs == refs
    assert delivery.concerns("https://github.com/acme/fleet")


def test_bitbucket_server_may_send_no_address_at_all():
    body = orjson.dumps(
        {
            "eventKey": "repo:refs_changed",
            "repository": {"slug": "fleet", "project": {"key": "PLAT"}},
            "changes": [{"ref": {"id": "refs/heads/main", "type": "BRANCH"}, "type": "UPDATE"}],
        }
    )
    delivery = receive("bitbucket", headers("bitbucket", body), body, SECRET, NOW)

    assert delivery.refs == {"refs/heads/main"}
    assert delivery.concerns("https://bb.example.com/scm/PLAT/fleet.git")
    assert delivery.concerns("ssh://git@bb.example.com:7999/plat/fleet.git")
    assert not delivery.concerns("https://bb.example.com/scm/PLAT/other.git")
    assert not delivery.concerns("https://bb.example.com/scm/XPLAT/fleet.git")
