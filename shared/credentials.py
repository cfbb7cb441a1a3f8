"""The one file an agent is given when it joins: its NATS user, and the hub keys whose word it takes.

A NATS `.creds` file with one more block, which other NATS tools pass over.
"""

from __future__ import annotations

import re

import msgspec

from shared.errors import InvalidMessage
from shared.nkeys import NKey
from shared.signing import PublicKey

_BLOCK = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(.*?)\s+-{3,}END \1-{3,}", re.DOTALL)
_JWT = "NATS USER JWT"
_SEED = "USER NKEY SEED"
_HUB = "YARDARM HUB KEYS"


class Credentials(msgspec.Struct, frozen=True):
    """Who a process is on NATS (`jwt`, `seed`), and the hub keys an agent trusts (empty for the hub itself)."""

    jwt: str
    seed: str
    hub_keys: tuple[PublicKey, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Credentials:
        """Reads the file's content.

        Raises:
            InvalidMessage: a block is missing or unreadable.
        """
        blocks = dict(_BLOCK.findall(text))
        for name in (_JWT, _SEED):
            if name not in blocks:
                raise InvalidMessage(f"the credentials have no block {name!r}: see `yardarm keys agent`")
        NKey.parse(blocks[_SEED])
        keys = tuple(PublicKey.parse(line) for line in blocks.get(_HUB, "").split())
        return cls(jwt=blocks[_JWT], seed=blocks[_SEED], hub_keys=keys)

    def __str__(self) -> str:
        keys = "\n".join(map(str, self.hub_keys))
        blocks = [(_JWT, self.jwt), (_SEED, self.seed), *([(_HUB, keys)] if keys else [])]
        return "\n".join(f"-----BEGIN {name}-----\n{body}\n------END {name}------\n" for name, body in blocks)

    def __repr__(self) -> str:
        return "Credentials(…)"  # a seed must not reach a log
