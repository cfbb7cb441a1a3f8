"""The hooks that run when an application leaves, kept on the cluster: the assignment that says so does not hold them.

They are in a Secret beside the parent of the unit's ApplySet, since a hook may hold secrets or be one. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
import zstandard

from shared.bundle import decompress
from shared.errors import InvalidMessage
from shared.model import Manifest, ObjectRef, UnitKey

_KEY = "hooks"
_LIMIT = 16 * 1024 * 1024
"""Bytes of hooks, unpacked."""


def secret_ref(parent: ObjectRef) -> ObjectRef:
    """The Secret of a unit, which has the name of its ApplySet's parent."""
    return ObjectRef("v1", "Secret", parent.namespace, parent.name)


def secret(unit: UnitKey, parent: ObjectRef, hooks: Sequence[Manifest]) -> Manifest:
    """The Secret as it is applied."""
    packed = zstandard.ZstdCompressor(level=9).compress(orjson.dumps(list(hooks)))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": parent.name,
            "namespace": parent.namespace,
            "labels": {"app.kubernetes.io/managed-by": "yardarm"},
            "annotations": {"yardarm.dev/unit": str(unit)},
        },
        "type": "yardarm.dev/farewell",
        "data": {_KEY: base64.b64encode(packed).decode()},
    }


def read(live: Manifest) -> list[Manifest]:
    """The hooks in a live Secret.

    Raises:
        InvalidMessage: somebody has damaged it.
    """
    try:
        packed = base64.b64decode((live.get("data") or {})[_KEY], validate=True)
        return msgspec.json.decode(decompress(packed, _LIMIT), type=list[dict[str, Any]])
    except (KeyError, TypeError, ValueError, InvalidMessage, msgspec.DecodeError) as error:
        name = (live.get("metadata") or {}).get("name")
        raise InvalidMessage(
            f"the hooks for leaving in Secret {name} cannot be read ({error}): without that Secret none are run"
        ) from error


def digest(hooks: Sequence[Manifest]) -> str:
    """Names these hooks; empty when there are none."""
    return hashlib.sha256(orjson.dumps(list(hooks))).hexdigest()[:16] if hooks else ""
