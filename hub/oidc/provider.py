"""One login provider over HTTP: found by discovery, its keys fetched anew when it signs with one that is not known.

Nothing it answers is believed because of where it came from but over TLS: the issuer has to be the one of the settings,
addresses have to be https (or this machine's), answers are short and come in time, and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import base64
import urllib.parse
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from hub.oidc.keys import key_set, verified
from shared.errors import InvalidMessage, Unavailable
from shared.model import Value
from shared.tasks import Clock

TIMEOUT = 10.0
LIMIT = 1024 * 1024
"""Bytes of an answer."""
FRESH = 3600.0
"""Seconds for which discovery and keys are good; an unknown key has them fetched sooner."""
AT_MOST = 10.0
"""Seconds between two looks for an unknown key, so that nobody makes the hub ask for each of their inventions."""


class Metadata(Value, frozen=True):
    """What a provider says of itself: the parts that are used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    post_secret: bool = False
    """Whether the secret goes into the form, for a provider that takes it nowhere else."""


class Provider:
    """The provider at `issuer`.

    Raises (all methods):
        Unavailable: it does not answer, or not as a provider does.
    """

    def __init__(self, issuer: str, clock: Clock) -> None:
        self.issuer = issuer
        self._clock = clock
        self._metadata: tuple[Metadata, float] | None = None
        self._keys: tuple[Any, float] | None = None
        self._lock = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """What it says of itself, as of the last hour."""
        async with self._lock:
            known, now = self._metadata, self._clock.monotonic()
            if known is None or now - known[1] >= FRESH:
                told = await self._ask("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                known = self._metadata = _metadata(told, self.issuer), now
            return known[0]

    async def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that this provider has signed; whom and when it is for is not looked at.

        Raises:
            InvalidMessage: it has not.
        """
        try:
            return verified(token, await self._key_set(FRESH))
        except KeyError:
            pass
        try:
            return verified(token, await self._key_set(AT_MOST))
        except KeyError as error:
            raise InvalidMessage("the token is signed with a key that the login provider does not have") from error

    async def exchange(self, form: Mapping[str, str], client: str, secret: str) -> str:
        """The ID token for a code. `form` are the parameters of the grant.

        Raises:
            InvalidMessage: the provider refuses the code.
        """
        metadata = await self.metadata()
        headers = {}
        if metadata.post_secret:
            form = {**form, "client_id": client, "client_secret": secret}
        else:
            pair = f"{urllib.parse.quote(client, safe='')}:{urllib.parse.quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        told = await self._ask("POST", metadata.token_endpoint, form, headers)
        token = told.get("id_token")
        if not isinstance(token, str):
            raise InvalidMessage("the login provider gave no ID token: has the client the scope `openid`?")
        return token

    async def _key_set(self, fresh: float) -> Any:
        metadata = await self.metadata()
        async with self._lock:
            known, now = self._keys, self._clock.monotonic()
            if known is None or now - known[1] >= fresh:
                known = self._keys = key_set(await self._ask("GET", metadata.jwks_uri)), now
            return known[0]

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        accept = {"Accept": "application/json", **(headers or {})}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.request(method, url, data=form, headers=accept, allow_redirects=False) as answer,
            ):
                body = await answer.content.read(LIMIT)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"the login provider at {self.issuer} does not answer: {why}") from error
        return self._decoded(status, body, granting=form is not None)

    def _decoded(self, status: int, body: bytes, *, granting: bool) -> dict[str, Any]:
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            told = None
        if granting and status in {400, 401} and isinstance(told, dict):
            raise InvalidMessage(f"the login provider refuses: {str(told.get('error', status))[:100]}")
        if status != 200 or not isinstance(told, dict):
            raise Unavailable(f"the login provider at {self.issuer} answers {status}, and not as a provider does")
        return told


def _metadata(told: Mapping[str, Any], issuer: str) -> Metadata:
    if told.get("issuer") != issuer:
        raise Unavailable(
            f"what is at {issuer} calls itself {str(told.get('issuer'))[:200]!r}: set login.issuer to that"
        )
    found = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        address = told.get(name)
        if not isinstance(address, str) or not _safe(address):
            raise Unavailable(f"the login provider at {issuer} gives no https address as `{name}`")
        found[name] = address
    methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(issuer, **found, post_secret="client_secret_basic" not in methods)


def _safe(address: str) -> bool:
    parts = urllib.parse.urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"})
