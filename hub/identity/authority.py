"""Who this hub is, and what it vouches for: NATS accounts, users' credentials, signed assignments.

This mints; it knows nothing of connections and starts no server.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from hub.identity import claims, jwt, keyfile
from hub.identity.keyring import Account, Keyring, Role
from hub.identity.serverconfig import server_config
from shared import nkeys, subjects
from shared.credentials import Credentials
from shared.errors import InvalidMessage
from shared.nkeys import NKey
from shared.signing import PublicKey, SigningKey
from shared.tasks import Clock

_RESERVED = "join"


class Identity:
    """Who this hub is. Everything private about it; `repr` shows none of it."""

    def __init__(self, ring: Keyring, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._take(ring)

    def __repr__(self) -> str:
        return f"Identity({self._ring.accounts['hub']})"

    @classmethod
    def load_or_create(cls, folder: Path, clock: Clock | None = None) -> Identity:
        """The identity kept in `folder`/keys, made on the first call.

        Raises:
            DocumentError: the file is damaged. It is never replaced: a new identity would lock out every agent.
        """
        clock = clock or Clock()
        return cls(keyfile.load_or_create(folder, clock.now()), clock)

    @property
    def hub_keys(self) -> tuple[PublicKey, ...]:
        """Whose word agents are to take: the key in use and, while it is being changed, the other one."""
        return tuple(SigningKey(base64.b64decode(key.seed)).public for key in self._ring.keys["assignments"])

    def agent_jwt(self, cluster: str, public: str, *, expires: float | None, tenant: str = subjects.TENANT) -> str:
        """Makes the holder of a user key the agent of `cluster`, which can fetch the blobs of `tenant`.

        `public` is the key's public name (`U…`); the private half stays where it was made. `expires` is in unix
        seconds; None: never.

        Raises:
            InvalidMessage: a name that cannot be a subject token, not a user key, or it would have expired already.
        """
        if cluster == _RESERVED:
            raise InvalidMessage(f"a cluster cannot be named {_RESERVED!r}: join codes are answered in that inbox")
        user = claims.scoped_user(self._ring.accounts["agents"], (f"tenant:{subjects.token(tenant)}",))
        return self._user(self._current("agents"), public, subjects.token(cluster), user, expires)

    def agent_credentials(
        self, cluster: str, tenant: str = subjects.TENANT, *, expires: float | None = None
    ) -> Credentials:
        """A new user for the agent of `cluster`, for where no key can be made in the cluster itself.

        `expires` is in unix seconds; None: never, as nobody renews what was handed over as a file.

        Raises:
            InvalidMessage: as `agent_jwt`.
        """
        user = NKey.generate("user")
        jwt = self.agent_jwt(cluster, user.public, expires=expires, tenant=tenant)
        return Credentials(jwt=jwt, seed=user.seed, hub_keys=self.hub_keys)

    def join_credentials(self, code_id: str, expires: float) -> Credentials:
        """A new user who may ask `join.<code_id>` and read the answer, and nothing else. `expires`: unix seconds.

        Raises:
            InvalidMessage: an id that cannot be a subject token, or it would have expired already.
        """
        user = NKey.generate("user")
        scoped = claims.scoped_user(self._ring.accounts["agents"])
        jwt = self._user(self._current("join"), user.public, subjects.token(code_id), scoped, expires)
        return Credentials(jwt=jwt, seed=user.seed, hub_keys=self.hub_keys)

    def hub_credentials(self) -> Credentials:
        """A new user for a hub: everything within the account HUB."""
        return self._full_user("hub")

    def system_credentials(self) -> Credentials:
        """A new user of the system account, for operating the servers."""
        return self._full_user("system")

    def account_jwts(self, revoked: Mapping[str, int] | None = None, *, at: float | None = None) -> dict[str, str]:
        """The accounts by name, as servers should have them. See `claims.agents` for `revoked`.

        `at` is when they are made, None for now: of two, servers keep the newer one.
        """
        at = self._clock.now() if at is None else at
        names, issuer = self._ring.accounts, self._current("operator")
        accounts: dict[Account, jwt.Claims] = {
            "system": claims.system(self._publics("system")),
            "hub": claims.hub(names["agents"], self._publics("hub")),
            "agents": claims.agents(names["hub"], self._publics("agents"), self._publics("join"), revoked),
        }
        return {names[each]: jwt.sign(issuer, names[each], each, made, at=at) for each, made in accounts.items()}

    def server_config(
        self, listen: str, store_dir: Path, extra: str = "", revoked: Mapping[str, int] | None = None
    ) -> str:
        """A nats-server configuration that trusts this identity.

        `listen` is `host:port`; `extra` is appended: TLS, or for a cluster `server_name` and a cluster block.
        """
        system = self._ring.accounts["system"]
        operators = [
            jwt.sign(key, key.public, "yardarm", claims.operator(system), at=self._clock.now())
            for key in self._ring.nkeys("operator")
        ]
        return server_config(listen, store_dir, operators, system, self.account_jwts(revoked), extra)

    def _take(self, ring: Keyring) -> None:
        self._ring = ring
        current = ring.key("assignments")
        if current is None:
            raise InvalidMessage("there is no key for assignments")
        self.signing_key = SigningKey(base64.b64decode(current.seed))
        """Signs assignments; its public half is in every agent's credentials."""

    def _current(self, role: Role) -> NKey:
        return self._ring.nkeys(role)[0]

    def _publics(self, role: Role) -> list[str]:
        return [key.public for key in self._ring.nkeys(role)]

    def _full_user(self, account: Account) -> Credentials:
        user = NKey.generate("user")
        full = claims.full_user(self._ring.accounts[account])
        return Credentials(
            jwt=jwt.sign(self._current(account), user.public, account, full, at=self._clock.now()), seed=user.seed
        )

    def _user(self, issuer: NKey, public: str, name: str, user: jwt.Claims, expires: float | None) -> str:
        nkeys.parse_public(public, "user")
        now = self._clock.now()
        if expires is not None and expires <= now:
            raise InvalidMessage(f"the user of {name} would have expired already")
        return jwt.sign(issuer, public, name, user, at=now, expires=expires)
