"""The hub's keys, and what they vouch for: NATS accounts, users' credentials, signed assignments."""

from hub.identity.authority import Identity
from hub.identity.serverconfig import MAX_PAYLOAD

__all__ = ["MAX_PAYLOAD", "Identity"]
