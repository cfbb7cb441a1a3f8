"""The hub's keys, and what they vouch for: NATS accounts, users' credentials, signed assignments.

NATS runs in operator mode with two accounts. HUB owns JetStream. AGENTS has none and reaches exactly what agents need
through mapped service imports: permissions alone would not do, because the server does not check the reply subject of
a request, so that in one account a restricted agent could have the answer stored as another cluster's desired state.

Agents' users are signed with a scoped signing key whose template names the cluster, so that an agent is added without
a change at the server. This module mints; it knows nothing of connections and starts no server.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import orjson

from shared import subjects
from shared.asking import LONGEST
from shared.credentials import Credentials
from shared.errors import DocumentError, InvalidMessage
from shared.model import Place
from shared.nkeys import Kind, NKey
from shared.signing import SigningKey
from shared.tasks import Clock

log = logging.getLogger(__name__)

Claims = dict[str, Any]

KEYS_FILE = "identity.json"
MAX_PAYLOAD = 1024 * 1024
"""Bytes per message: NATS' own default. Bodies are cut into chunks well below."""
AGENT_PAYLOAD = 256 * 1024
"""Bytes an agent may send at once: a report of `MAX_OBJECTS` objects fits several times."""
AGENT_SUBSCRIPTIONS = 20
ANSWERS_FOR = LONGEST + 30
"""Seconds for which an agent may answer a question; by then nobody listens any more."""

_JWT_HEADER = b'{"typ":"JWT","alg":"ed25519-nkey"}'
_KINDS: dict[str, Kind] = {
    "operator": "operator",
    "system": "account",
    "hub": "account",
    "agents": "account",
    "agents_signing": "account",
}
_ASSIGNMENTS = "assignments"

_DIRECT = "$JS.API.DIRECT.GET"
_SERVICES: tuple[tuple[str, str], ...] = (
    (f"{_DIRECT}.DESIRED.desired.*.*", "get.desired.$1.$2"),
    (f"{_DIRECT}.DESIRED.desired.*.*.*", "get.desired.$1.$2.$3"),
    (f"{_DIRECT}.BLOBS.blob.*.*", "get.blob.$1.$2"),
    (subjects.REPORTS_ALL, ""),
    (subjects.EVENTS_ALL, ""),
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


class Identity:
    """Who this hub is. Everything private about it; `repr` shows none of it."""

    def __init__(self, keys: Mapping[str, NKey], assignments_seed: bytes, clock: Clock | None = None) -> None:
        """`keys` by the names of the keys file; `assignments_seed` is 32 bytes."""
        self._keys = keys
        self._clock = clock or Clock()
        self.signing_key = SigningKey(assignments_seed)
        """Signs assignments; its public half is in every agent's credentials."""

    def __repr__(self) -> str:
        return f"Identity({self._keys['operator'].public})"

    @classmethod
    def load_or_create(cls, folder: Path, clock: Clock | None = None) -> Identity:
        """The identity kept in `folder`/keys, made on the first call.

        Raises:
            DocumentError: the file is damaged. It is never replaced: a new identity would lock out every agent.
        """
        path = folder / "keys" / KEYS_FILE
        with contextlib.suppress(FileExistsError):
            if not path.exists():
                _create(path)
        if path.stat().st_mode & 0o077:
            log.warning("the hub's keys can be read by other users: chmod 600", extra={"file": str(path)})
        try:
            stored = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
            keys = {name: _of_kind(stored[name], kind) for name, kind in _KINDS.items()}
            return cls(keys, base64.b64decode(stored[_ASSIGNMENTS], validate=True), clock)
        except (msgspec.MsgspecError, InvalidMessage, KeyError, ValueError) as error:
            raise DocumentError(
                f"these are not the hub's keys: {error}",
                Place(str(path)),
                "restore the file from a backup; without it every agent has to join again",
            ) from error

    def agent_credentials(self, cluster: str, tenant: str = subjects.TENANT) -> Credentials:
        """A new user for the agent of `cluster`, which can fetch the blobs of `tenant`.

        Raises:
            InvalidMessage: a name that cannot be a subject token.
        """
        user = NKey.generate("user")
        claims: Claims = {
            "type": "user",
            "issuer_account": self._keys["agents"].public,
            "tags": [f"tenant:{subjects.token(tenant)}"],
        }
        jwt = self._mint(self._keys["agents_signing"], user.public, subjects.token(cluster), claims)
        return Credentials(jwt=jwt, seed=user.seed, hub_keys=(self.signing_key.public,))

    def hub_credentials(self) -> Credentials:
        """A new user for a hub: everything within the account HUB."""
        return self._full_user("hub", "hub")

    def system_credentials(self) -> Credentials:
        """A new user of the system account, for operating the servers."""
        return self._full_user("system", "system")

    def server_config(self, listen: str, store_dir: Path, extra: str = "") -> str:
        """A nats-server configuration that trusts this identity.

        `listen` is `host:port`; `extra` is appended: TLS, or for a cluster `server_name` and a cluster block.
        """
        operator = self._mint(
            self._keys["operator"],
            self._keys["operator"].public,
            "yardarm",
            {"type": "operator", "system_account": self._keys["system"].public},
        )
        accounts = {"system": self._account_claims(), "hub": self._hub_claims(), "agents": self._agents_claims()}
        preload = "\n".join(
            f"  {self._keys[name].public}: {self._mint(self._keys['operator'], self._keys[name].public, name, claims)}"
            for name, claims in accounts.items()
        )
        return _SERVER.format(
            listen=orjson.dumps(listen).decode(),
            store=orjson.dumps(str(store_dir)).decode(),
            payload=MAX_PAYLOAD,
            operator=operator,
            system=self._keys["system"].public,
            preload=preload,
            extra=extra,
        )

    def _full_user(self, account: str, name: str) -> Credentials:
        user = NKey.generate("user")
        claims: Claims = {"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
        return Credentials(jwt=self._mint(self._keys[account], user.public, name, claims), seed=user.seed)

    def _account_claims(self) -> Claims:
        return {"type": "account", "limits": dict(_UNLIMITED), "default_permissions": {"pub": {}, "sub": {}}}

    def _hub_claims(self) -> Claims:
        exports = [
            {"name": subject, "subject": subject, "type": "service", "response_type": "Singleton"}
            for subject, _ in _SERVICES
        ]
        exports.append({"name": _NOTIFY, "subject": _NOTIFY, "type": "stream"})
        asked = {"name": _ASK, "subject": _ASK, "account": self._keys["agents"].public, "type": "service"}
        return self._account_claims() | {"limits": _UNLIMITED | _JETSTREAM, "exports": exports, "imports": [asked]}

    def _agents_claims(self) -> Claims:
        hub = self._keys["hub"].public
        imports: list[Claims] = [
            {"name": subject, "subject": subject, "account": hub, "type": "service"}
            | ({"local_subject": local} if local else {})
            for subject, local in _SERVICES
        ]
        imports.append({"name": _NOTIFY, "subject": _NOTIFY, "account": hub, "type": "stream"})
        scope = {
            "kind": "user_scope",
            "key": self._keys["agents_signing"].public,
            "role": "agent",
            "template": _agent_template(),
        }
        exports = [{"name": _ASK, "subject": _ASK, "type": "service", "response_type": "Singleton"}]
        return self._account_claims() | {"imports": imports, "exports": exports, "signing_keys": [scope]}

    def _mint(self, issuer: NKey, subject: str, name: str, nats: Claims) -> str:
        claims: Claims = {
            "iat": int(self._clock.now()),
            "iss": issuer.public,
            "name": name,
            "nats": nats | {"version": 2},
            "sub": subject,
        }
        digest = hashlib.sha256(orjson.dumps(claims, option=orjson.OPT_SORT_KEYS)).digest()
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        signed = f"{_base64url(_JWT_HEADER)}.{_base64url(orjson.dumps(claims))}"
        return f"{signed}.{_base64url(issuer.sign(signed.encode()))}"


def _agent_template() -> Claims:
    """What an agent may do. The server fills in the user's name (the cluster) and its tenant tag."""
    cluster, tenant = "{{name()}}", "{{tag(tenant)}}"
    publish = [
        f"get.desired.{cluster}.>",
        f"get.blob.{tenant}.*",
        f"report.{cluster}.>",
        f"events.{cluster}.*",
    ]
    return {
        "pub": {"allow": publish},
        "sub": {
            "allow": [f"{subjects.NOTIFY_PREFIX}desired.{cluster}.>", f"_INBOX.{cluster}.>", f"ask.{cluster}.*"],
        },
        "resp": {"max": 1, "ttl": int(ANSWERS_FOR * 1e9)},
        "subs": AGENT_SUBSCRIPTIONS,
        "data": -1,
        "payload": AGENT_PAYLOAD,
    }


def _create(path: Path) -> None:
    """Writes new keys; whole or not at all, and never over existing ones (raises FileExistsError then)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    stored = {name: NKey.generate(kind).seed for name, kind in _KINDS.items()}
    stored[_ASSIGNMENTS] = base64.b64encode(secrets.token_bytes(32)).decode()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(stored, option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    finally:
        draft.unlink()


def _of_kind(seed: str, kind: Kind) -> NKey:
    key = NKey.parse(seed)
    if key.kind != kind:
        raise InvalidMessage(f"an {cast('str', key.kind)} key where one of kind {kind} belongs")
    return key


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


_SERVER = """\
listen: {listen}
max_payload: {payload}
# A cluster behind a slow link gets its time instead of being cut off in the middle of a large body.
write_deadline: "60s"
# Thousands of agents that come back at once each cost a signature check.
authorization {{ timeout: 15 }}
jetstream {{
  store_dir: {store}
  # What a power failure can take at the most; the death of the process takes nothing.
  sync_interval: "10s"
  limits {{ default_max_consumers: -1 }}
}}
operator: {operator}
system_account: {system}
resolver: MEMORY
resolver_preload: {{
{preload}
}}
{extra}
"""
