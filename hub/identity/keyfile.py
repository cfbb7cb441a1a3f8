"""The keys file: private, written whole or not at all, made once and never replaced by new keys."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

import msgspec

from hub.identity.keyring import VERSION, Keyring, create, upgrade
from shared.errors import DocumentError, InvalidMessage
from shared.model import Place

log = logging.getLogger(__name__)

FOLDER = "keys"
NAME = "identity.json"
_RESTORE = "restore the file from a backup; without it every agent has to join again"


def load_or_create(folder: Path, now: float) -> Keyring:
    """The keys kept in `folder`/keys, made on the first call.

    Raises:
        DocumentError: the file is damaged. It is never replaced: a new identity would lock out every agent.
    """
    path = where(folder)
    with contextlib.suppress(FileExistsError):
        if not path.exists():
            _create(path, create(now))
    if path.stat().st_mode & 0o077:
        log.warning("the hub's keys can be read by other users: chmod 600", extra={"file": str(path)})
    return _read(path, now)


def where(folder: Path) -> Path:
    """Where the keys are kept."""
    return folder / FOLDER / NAME


def _read(path: Path, now: float) -> Keyring:
    content = path.read_bytes()
    try:
        if "version" in msgspec.json.decode(content, type=dict[str, object]):
            ring = msgspec.json.decode(content, type=Keyring)
            if ring.version != VERSION:
                raise InvalidMessage(f"version {ring.version}, this build knows {VERSION}")
            ring.check()
            return ring
        ring = upgrade(msgspec.json.decode(content, type=dict[str, str]), now)
        ring.check()
    except (msgspec.MsgspecError, InvalidMessage, UnicodeDecodeError) as error:
        raise DocumentError(f"these are not the hub's keys: {error}", Place(str(path)), _RESTORE) from error
    _replace(path, ring)
    return ring


def _create(path: Path, ring: Keyring) -> None:
    """Writes new keys; never over existing ones (raises FileExistsError then)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    draft = _draft(path, ring)
    try:
        path.hardlink_to(draft)
    finally:
        draft.unlink()


def _replace(path: Path, ring: Keyring) -> None:
    _draft(path, ring).replace(path)


def _draft(path: Path, ring: Keyring) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(ring), indent=2))
        file.flush()
        os.fsync(file.fileno())
    return draft
