"""The configuration of a nats-server that trusts a hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

MAX_PAYLOAD = 1024 * 1024
"""Bytes per message: NATS' own default. Bodies are cut into chunks well below."""


def server_config(
    listen: str, store: Path, operators: Sequence[str], system: str, accounts: Mapping[str, str], extra: str = ""
) -> str:
    """Its text. `operators` are JWTs; `system` names the system account; `accounts` are JWTs by account name.

    The servers keep accounts in a folder beside the streams, where the hub puts newer ones while they run. What
    stands in the configuration counts only where it is newer than that.
    """
    return _SERVER.format(
        listen=_quoted(listen),
        store=_quoted(str(store)),
        accounts=_quoted(str(store / "accounts")),
        payload=MAX_PAYLOAD,
        operators=", ".join(map(_quoted, operators)),
        system=system,
        preload="\n".join(f"  {name}: {_quoted(jwt)}" for name, jwt in accounts.items()),
        extra=extra,
    )


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


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
# The one in use and the next: who changes operators need not restart the servers.
operator: [{operators}]
system_account: {system}
resolver {{ type: full, dir: {accounts}, allow_delete: false, interval: "2m" }}
resolver_preload: {{
{preload}
}}
{extra}
"""
