"""The hub's keys as values: which there are, what each is used for, and how one is changed for another. Pure.

Each role has one key in use. While it is being changed there are two: either the next one, which is made known before
it is used, or the old one, which still counts until nobody needs it.

The accounts' own private keys are not kept at all: whoever has one can make users for as long as the account lives.
What makes users are the accounts' signing keys, which can be changed.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from shared.errors import InvalidMessage
from shared.nkeys import Kind, NKey

Role = Literal["operator", "system", "hub", "agents", "join", "assignments"]
"""`operator` vouches for the accounts; `system`, `hub`, `agents` and `join` make users; `assignments` signs what agents
are told."""
ROLES: tuple[Role, ...] = get_args(Role)
Account = Literal["system", "hub", "agents"]
ACCOUNTS: tuple[Account, ...] = get_args(Account)
Use = Literal["next", "current", "old"]

VERSION = 2

_KIND: dict[Role, Kind] = {
    "operator": "operator",
    "system": "account",
    "hub": "account",
    "agents": "account",
    "join": "account",
}
"""The NATS keys among them."""


class Key(msgspec.Struct, frozen=True):
    """One key. `made` is in unix seconds. `seed` is a NATS seed, or 32 bytes as base64 for `assignments`."""

    seed: str
    made: float
    use: Use = "current"

    def __repr__(self) -> str:
        return f"Key(…, made={self.made:.0f}, use={self.use!r})"  # a seed must not reach a log


class Keyring(msgspec.Struct, frozen=True):
    """All of them. `accounts` are public names, which never change: the streams belong to them."""

    accounts: Mapping[str, str]
    keys: Mapping[str, tuple[Key, ...]]
    version: int = VERSION

    def key(self, role: Role, use: Use = "current") -> Key | None:
        """The key of a role that is used so, None if there is none."""
        return next((key for key in self.keys[role] if key.use == use), None)

    def nkeys(self, role: Role) -> tuple[NKey, ...]:
        """All NATS keys of a role, the one in use first."""
        order = {"current": 0, "next": 1, "old": 2}
        return tuple(NKey.parse(key.seed) for key in sorted(self.keys[role], key=lambda key: order[key.use]))

    def check(self) -> None:
        """Raises InvalidMessage when a key is missing, damaged, or of another kind."""
        for account in ACCOUNTS:
            if not self.accounts.get(account, "").startswith("A"):
                raise InvalidMessage(f"the account {account} has no name")
        for role in ROLES:
            keys = self.keys.get(role, ())
            if [key.use for key in keys].count("current") != 1:
                raise InvalidMessage(f"the role {role} has not exactly one key in use")
            for key in keys:
                _check(role, key)


def new_key(role: Role, made: float, use: Use = "current") -> Key:
    """A random key."""
    seed = NKey.generate(_KIND[role]).seed if role in _KIND else base64.b64encode(secrets.token_bytes(32)).decode()
    return Key(seed, made, use)


def create(now: float) -> Keyring:
    """All keys, new."""
    accounts: dict[str, str] = {account: NKey.generate("account").public for account in ACCOUNTS}
    return Keyring(accounts, _complete({role: new_key(role, now) for role in ROLES}))


def upgrade(flat: Mapping[str, str], now: float) -> Keyring:
    """The keyring of a first-generation file, which held one seed per name.

    Raises:
        InvalidMessage: a key is missing or damaged.
    """
    try:
        accounts: dict[str, str] = {}
        for account in ACCOUNTS:
            accounts[account] = _of_kind(flat[account], "account").public
        keys = {role: new_key(role, now) for role in ROLES}
        keys["operator"] = Key(flat["operator"], now)
        keys["agents"] = Key(flat["agents_signing"], now)
        keys["assignments"] = Key(flat["assignments"], now)
    except KeyError as error:
        raise InvalidMessage(f"there is no key {error}") from error
    return Keyring(accounts, _complete(keys))


def _complete(keys: Mapping[Role, Key]) -> dict[str, tuple[Key, ...]]:
    """Servers learn of operators only when they start, so the next one is told to them from the beginning."""
    made: dict[str, tuple[Key, ...]] = {role: (key,) for role, key in keys.items()}
    made["operator"] += (new_key("operator", keys["operator"].made, "next"),)
    return made


def _check(role: Role, key: Key) -> None:
    kind = _KIND.get(role)
    if kind is not None:
        _of_kind(key.seed, kind)
        return
    try:
        seed = base64.b64decode(key.seed, validate=True)
    except binascii.Error as error:
        raise InvalidMessage(f"the key {role} is no base64") from error
    if len(seed) != 32:
        raise InvalidMessage(f"the key {role} has {len(seed)} bytes, not 32")


def _of_kind(seed: str, kind: Kind) -> NKey:
    key = NKey.parse(seed)
    if key.kind != kind:
        raise InvalidMessage(f"an {key.kind} key where one of kind {kind} belongs")
    return key
