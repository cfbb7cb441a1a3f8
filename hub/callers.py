"""Who is let into the API, put together from the settings: tokens in the store, sessions, and the login provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hub import sessions, tokens
from hub.logins import Client, Logins
from hub.oidc.provider import Provider
from hub.sessions import Sessions
from hub.settings import LoginSettings
from hub.store import Store
from hub.tokens import Tokens
from shared.tasks import Clock


class Callers:
    """`heard` takes over records of the store, by the first part of their keys; `login` is None without a provider."""

    def __init__(
        self, login: LoginSettings, url: str, store: Callable[[], Store], loaded: Callable[[], bool], clock: Clock
    ) -> None:
        """`url` is where people reach the hub; `loaded` says whether what was stored at the start is known."""
        self.tokens = Tokens(store, loaded, clock)
        self._sessions = Sessions(store, clock)
        self.login = _logins(login, url, self._sessions, clock) if login.issuer else None
        self.heard: Mapping[str, Callable[[str, bytes], None]] = {
            tokens.PREFIX: self.tokens.heard,
            sessions.PREFIX: self._sessions.heard,
        }


def _logins(given: LoginSettings, url: str, kept: Sessions, clock: Clock) -> Logins:
    client = Client(
        given.client_id,
        given.client_secret.get_secret_value(),
        url.rstrip("/"),
        given.scopes,
        given.cli_client_id,
        given.audiences,
    )
    return Logins(Provider(given.issuer, clock), client, given.reading, kept, given.session_hours * 3600, clock)
