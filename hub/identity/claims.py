"""What operators, accounts and users may do, as NATS claims. Pure.

NATS runs in operator mode with two accounts. HUB owns JetStream. AGENTS has none and reaches exactly what agents need
through mapped service imports: permissions alone would not do, because the server does not check the reply subject of
a request, so that in one account a restricted agent could have the answer stored as another cluster's desired state.

Agents' users are signed with a scoped signing key whose template names the cluster, so that an agent is added without
a change at the server. Whoever only has a join code has a role of its own, which can ask one question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hub.identity.jwt import Claims
from shared import subjects
from shared.asking import LONGEST

AGENT_PAYLOAD = 256 * 1024
"""Bytes an agent may send at once: a report of `MAX_OBJECTS` objects fits several times."""
AGENT_SUBSCRIPTIONS = 20
JOIN_PAYLOAD = 16 * 1024
"""Bytes of a request to join: a key, a recipient, a few names."""
JOIN_SUBSCRIPTIONS = 5
ANSWERS_FOR = LONGEST + 30
"""Seconds for which an agent may answer a question; by then nobody listens any more."""

_DIRECT = "$JS.API.DIRECT.GET"
_SERVICES: tuple[tuple[str, str], ...] = (
    (f"{_DIRECT}.DESIRED.desired.*.*", "get.desired.$1.$2"),
    (f"{_DIRECT}.DESIRED.desired.*.*.*", "get.desired.$1.$2.$3"),
    (f"{_DIRECT}.BLOBS.blob.*.*", "get.blob.$1.$2"),
    (subjects.REPORTS_ALL, ""),
    (subjects.EVENTS_ALL, ""),
    (subjects.JOIN_ALL, ""),
    (subjects.RENEW_ALL, ""),
)
"""(subject in HUB, what agents call it; empty for the same). Answers, stores' acknowledgements too, come back."""
_NOTIFY = f"{subjects.NOTIFY_PREFIX}{subjects.DESIRED_ALL}"
_ASK = subjects.ASK_ALL
"""The one way from HUB into AGENTS: an agent may answer what it was asked, once, and nothing else."""

_UNLIMITED: Claims = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
}
_JETSTREAM: Claims = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


def operator(system_account: str) -> Claims:
    """Who vouches for the accounts."""
    return {"type": "operator", "system_account": system_account}


def system(signing_keys: Sequence[str]) -> Claims:
    """The account that operates the servers."""
    return _account(signing_keys)


def hub(agents: str, signing_keys: Sequence[str]) -> Claims:
    """The account HUB. `agents` is the name of the other one."""
    exports = [
        {"name": subject, "subject": subject, "type": "service", "response_type": "Singleton"}
        for subject, _ in _SERVICES
    ]
    exports.append({"name": _NOTIFY, "subject": _NOTIFY, "type": "stream"})
    asked = {"name": _ASK, "subject": _ASK, "account": agents, "type": "service"}
    return _account(signing_keys) | {"limits": _UNLIMITED | _JETSTREAM, "exports": exports, "imports": [asked]}


def agents(
    hub: str, agents_keys: Sequence[str], join_keys: Sequence[str], revoked: Mapping[str, int] | None = None
) -> Claims:
    """The account AGENTS. Of a user in `revoked` nothing counts that was made at or before that time (unix seconds)."""
    imports: list[Claims] = [
        {"name": subject, "subject": subject, "account": hub, "type": "service"}
        | ({"local_subject": local} if local else {})
        for subject, local in _SERVICES
    ]
    imports.append({"name": _NOTIFY, "subject": _NOTIFY, "account": hub, "type": "stream"})
    scopes = [_scope(key, "agent", _agent_template()) for key in agents_keys]
    scopes += [_scope(key, "join", _join_template()) for key in join_keys]
    exports = [{"name": _ASK, "subject": _ASK, "type": "service", "response_type": "Singleton"}]
    claims = _account(scopes) | {"imports": imports, "exports": exports}
    return claims | ({"revocations": dict(sorted(revoked.items()))} if revoked else {})


def scoped_user(account: str, tags: Sequence[str] = ()) -> Claims:
    """A user whose permissions are those of the signing key's template."""
    return {"type": "user", "issuer_account": account} | ({"tags": list(tags)} if tags else {})


def full_user(account: str) -> Claims:
    """A user who may do everything within the account."""
    return {"type": "user", "issuer_account": account, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}


def _account(signing_keys: Sequence[str | Claims]) -> Claims:
    return {
        "type": "account",
        "limits": dict(_UNLIMITED),
        "default_permissions": {"pub": {}, "sub": {}},
        "signing_keys": list(signing_keys),
    }


def _scope(key: str, role: str, template: Claims) -> Claims:
    return {"kind": "user_scope", "key": key, "role": role, "template": template}


def _agent_template() -> Claims:
    """What an agent may do. The server fills in the user's name (the cluster) and its tenant tag."""
    cluster, tenant = "{{name()}}", "{{tag(tenant)}}"
    publish = [
        f"get.desired.{cluster}.>",
        f"get.{subjects.ANCHORS}",
        f"get.blob.{tenant}.*",
        f"report.{cluster}.>",
        f"events.{cluster}.*",
        f"renew.{cluster}",
    ]
    listen = [
        f"{subjects.NOTIFY_PREFIX}desired.{cluster}.>",
        f"{subjects.NOTIFY_PREFIX}{subjects.ANCHORS}",
        f"_INBOX.{cluster}.>",
        f"ask.{cluster}.*",
    ]
    return {
        "pub": {"allow": publish},
        "sub": {"allow": listen},
        "resp": {"max": 1, "ttl": int(ANSWERS_FOR * 1e9)},
        "subs": AGENT_SUBSCRIPTIONS,
        "data": -1,
        "payload": AGENT_PAYLOAD,
    }


def _join_template() -> Claims:
    """What somebody with a join code may do. The user's name is the code's id."""
    code = "{{name()}}"
    return {
        "pub": {"allow": [f"join.{code}"]},
        "sub": {"allow": [f"_INBOX.join.{code}.>"]},
        "subs": JOIN_SUBSCRIPTIONS,
        "data": -1,
        "payload": JOIN_PAYLOAD,
    }
