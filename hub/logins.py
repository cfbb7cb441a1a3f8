"""Logging in by a provider: the way there and back of a browser, its session, and the provider's tokens as they are.

The way there: a state, a nonce and a PKCE verifier, kept by the browser in a sealed cookie. The way back: the state has
to be the browser's own, the code is exchanged with the verifier, and the ID token has to carry the nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from hub.domain.idtokens import Expected, check
from hub.domain.logins import Person, Reading
from hub.domain.principals import Principal
from hub.oidc.provider import Provider
from hub.sessions import Sessions
from shared.errors import InvalidMessage
from shared.tasks import Clock

CALLBACK = "/login/callback"
MOST_TOKENS = 5000
"""Tokens of the provider that are remembered as verified."""


@dataclass(frozen=True, slots=True)
class Client:
    """This hub as the provider knows it. `url` is the hub's own; `cli` the public client of `yardarm login`."""

    id: str
    secret: str
    url: str
    scopes: tuple[str, ...]
    cli: str = ""
    audiences: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Client({self.id!r}, …)"


class Logins:
    """Knows people by the provider; what they may do follows from their groups, as the settings have them now."""

    def __init__(
        self,
        provider: Provider,
        client: Client,
        reading: Reading,
        sessions: Sessions,
        lasting: float,
        clock: Clock,
    ) -> None:
        """`lasting` is the seconds of a session."""
        self.key = hmac.digest(client.secret.encode(), b"yardarm cookies", hashlib.sha256)
        """Seals cookies. All hubs of a fleet have it, as they are one client of the provider."""
        self.lasting = lasting
        self._provider = provider
        self._client = client
        self._reading = reading
        self._sessions = sessions
        self._clock = clock
        self._tokens: dict[str, tuple[Principal, float]] = {}

    async def begin(self) -> tuple[str, dict[str, str]]:
        """Where the browser has to go, and what it has to keep until it comes back. May raise `Unavailable`."""
        kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        digest = hashlib.sha256(kept["verifier"].encode()).digest()
        metadata = await self._provider.metadata()
        query = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": f"{self._client.url}{CALLBACK}",
            "scope": " ".join(self._client.scopes),
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        glue = "&" if urllib.parse.urlsplit(metadata.authorization_endpoint).query else "?"
        return f"{metadata.authorization_endpoint}{glue}{urllib.parse.urlencode(query)}", kept

    async def finish(self, kept: Mapping[str, str], told: Mapping[str, str]) -> tuple[Principal, str]:
        """Who has come back, and the id of their new session. `told` is the query of the way back.

        Raises:
            InvalidMessage: this is not the answer to what the browser began, or names nobody who may do anything.
            Unavailable: the provider or the store does not answer.
        """
        if not hmac.compare_digest(told.get("state", "").encode(), kept["state"].encode()):
            raise InvalidMessage("this is the answer to another login than the one this browser began")
        if told.get("iss", self._provider.issuer) != self._provider.issuer:
            raise InvalidMessage("this is the answer of another login provider")
        if "code" not in told:
            raise InvalidMessage(f"the login provider refuses: {told.get('error', 'it gave no code')[:100]}")
        form = {
            "grant_type": "authorization_code",
            "code": told["code"],
            "redirect_uri": f"{self._client.url}{CALLBACK}",
            "code_verifier": kept["verifier"],
        }
        token = await self._provider.exchange(form, self._client.id, self._client.secret)
        claims = await self._provider.claims(token)
        check(claims, Expected(self._provider.issuer, (self._client.id,), kept["nonce"]), self._clock.now())
        person = self._reading.person(claims)
        principal = self._principal(person)
        return principal, await self._sessions.create(person, self.lasting)

    def session(self, identity: str) -> Principal | None:
        """Whose session this is, None when it has ended."""
        person = self._sessions.find(identity)
        return self._reading.principal(person) if person is not None else None

    async def end(self, identity: str) -> None:
        """Ends a session. May raise `Unavailable`."""
        await self._sessions.end(identity)

    async def bearer(self, token: str) -> Principal:
        """Whom a token of the provider is about, shown in place of one of this hub.

        Raises:
            InvalidMessage: it is not good here.
            Unavailable: the provider does not answer.
        """
        digest, now = hashlib.sha256(token.encode()).hexdigest(), self._clock.now()
        known = self._tokens.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        claims = await self._provider.claims(token)
        audiences = tuple(filter(None, (self._client.id, self._client.cli, *self._client.audiences)))
        ends = check(claims, Expected(self._provider.issuer, audiences), now)
        principal = self._principal(self._reading.person(claims))
        if len(self._tokens) >= MOST_TOKENS:
            self._tokens.clear()
        self._tokens[digest] = principal, ends
        return principal

    def about(self) -> dict[str, object]:
        """What `yardarm login` needs to know; nothing of it is secret."""
        return {
            "issuer": self._provider.issuer,
            "clientId": self._client.cli or None,
            "scopes": list(self._client.scopes),
        }

    def _principal(self, person: Person) -> Principal:
        principal = self._reading.principal(person)
        if not principal.granted:
            raise InvalidMessage(f"{person.name} is in no group that may do anything here: ask who runs this hub")
        return principal
