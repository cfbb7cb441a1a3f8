"""Secrets are decrypted here, between bundle and plan: in a thread, with libraries that are loaded for the first one.

What comes out stays in memory. What cannot be opened is an object that is refused, with a reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from agent.domain.desired import Desired, Given
from agent.domain.secrecy import Unreadable, Unsealed, filled
from shared.errors import InvalidMessage
from shared.model import Manifest
from shared.sealed import SEALED, encrypted, is_sealed, read_seal

if TYPE_CHECKING:
    from shared.sops.ages import Identities

log = logging.getLogger(__name__)


class AgeKeys(Protocol):
    """Where the cluster's age keys are."""

    def identities(self) -> str:
        """The text of a key file, as it is now; empty when there is none. It may block.

        Raises:
            OSError: it cannot be read.
        """


class NoKeys:
    """An agent without keys."""

    def identities(self) -> str:
        """Nothing."""
        return ""


class KeyFile:
    """A key file of age. It is read each time, so that a new key needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def identities(self) -> str:
        """See `AgeKeys`."""
        return self._path.read_text(encoding="utf-8")


class Unsealer:
    """Opens what is sealed."""

    def __init__(self, keys: AgeKeys) -> None:
        self._keys = keys

    async def opened(self, given: Sequence[Manifest | Desired]) -> list[Given]:
        """The objects in their order, those with secrets opened, or with the reason why not."""
        sealed = [each for each in given if isinstance(each, dict) and is_sealed(each)]
        if not sealed:
            return list(given)
        found = iter(await asyncio.to_thread(self._open_all, sealed))
        return [next(found) if isinstance(each, dict) and is_sealed(each) else each for each in given]

    def _open_all(self, sealed: Sequence[Manifest]) -> list[Unsealed | Unreadable]:
        from shared.sops.ages import Identities
        from shared.sops.errors import NotOpened

        try:
            text = self._keys.identities()
            if not text.strip():
                reason = "this agent has no age key: start it with --age-key FILE"
                return [Unreadable(each, reason, for_want_of_a_key=True) for each in sealed]
            identities = Identities.read(text)
        except (OSError, UnicodeDecodeError, NotOpened) as error:
            why = str(error) if isinstance(error, NotOpened) else f"the age key cannot be read: {type(error).__name__}"
            return [Unreadable(each, why, for_want_of_a_key=True) for each in sealed]
        return [_opened(each, identities) for each in sealed]


def _opened(manifest: Manifest, identities: Identities) -> Unsealed | Unreadable:
    from shared.sops.errors import NoKey, NotOpened
    from shared.sops.opening import opened

    try:
        if SEALED in manifest:
            seal = read_seal(manifest)
            return filled(manifest, seal, [opened(_document(text), identities) for text in seal.documents])
        hidden = tuple(encrypted(manifest))
        plain = opened(manifest, identities)
        orjson.dumps(plain)
        return Unsealed(manifest, plain, hidden)
    except (NotOpened, InvalidMessage) as error:
        return Unreadable(manifest, str(error), for_want_of_a_key=isinstance(error, NoKey))
    except orjson.JSONEncodeError:
        return Unreadable(manifest, "a decrypted value is no text: a Secret takes such a one as base64, under `data`")


def _document(text: str) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise InvalidMessage(f"a document under {SEALED} cannot be read")
    return document
