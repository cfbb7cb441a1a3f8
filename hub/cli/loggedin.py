"""What `yardarm login` keeps: the provider's token for one hub, renewed when it is about to end."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.provider import Provider
from hub.cli.trouble import Trouble
from shared.tasks import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

EARLY = 60.0
"""Seconds before its end at which a token is renewed: it has to last for a command."""


def keep(path: Path, url: str, issuer: str, client: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Stores a provider's answer, readable by its owner alone; returns the claims of its ID token.

    Raises:
        Trouble: there is no ID token in it.
    """
    token = told.get("id_token")
    if not isinstance(token, str):
        raise Trouble("the login provider gave no ID token")
    claims = claims_of(token)
    note = {"url": url, "issuer": issuer, "client": client, "token": token, "refresh": told.get("refresh_token", "")}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(note), encoding="utf-8")
    new.replace(path)
    return claims


def fresh(path: Path, note: Mapping[str, object]) -> str:
    """The token that is kept, or a new one if it is about to end and the provider gives one.

    Raises:
        Trouble: it has ended and is not renewed; says to log in again.
    """
    token, refresh = str(note["token"]), str(note.get("refresh", ""))
    now = Clock().now()
    ends = float(claims_of(token).get("exp", 0.0))
    if now < ends - EARLY:
        return token
    if refresh:
        try:
            told = Provider(str(note["issuer"])).token(
                {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": str(note["client"])}
            )
            told.setdefault("refresh_token", refresh)
            keep(path, str(note["url"]), str(note["issuer"]), str(note["client"]), told)
            return str(told["id_token"])
        except Trouble:
            if now < ends:
                return token
    if now < ends:
        return token
    raise Trouble(f"your login at {note['url']} has ended: `yardarm login` again")


def claims_of(token: str) -> dict[str, Any]:
    """What a token says. Whether it is true is the hub's to find out: it verifies the signature."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, binascii.Error) as error:
        raise Trouble("the login provider gave a token that cannot be read: `yardarm login` again") from error
    return claims if isinstance(claims, dict) else {}
