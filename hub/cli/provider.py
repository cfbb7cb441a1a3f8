"""The login provider as `yardarm login` talks to it: a public client, over https. Standard library, and blocking."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from hub.cli.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 15.0
LIMIT = 1024 * 1024


class Refused(Trouble):
    """The provider says no; `code` of OAuth is in `error`."""

    def __init__(self, error: str) -> None:
        super().__init__(f"the login provider refuses: {error}")
        self.error = error


class Provider:
    """The provider at `issuer`.

    Raises (all methods):
        Refused: it says no.
        Trouble: it does not answer, or not as a provider does.
    """

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._about: dict[str, Any] | None = None

    def endpoint(self, name: str) -> str:
        """One of its addresses, by the name that discovery has for it; empty if it has none."""
        if self._about is None:
            self._about = self._ask(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if self._about.get("issuer") != self.issuer:
                raise Trouble(f"what is at {self.issuer} is another login provider than it says")
        return str(self._about.get(name, ""))

    def token(self, form: Mapping[str, str]) -> dict[str, Any]:
        """What it gives for a code, a refresh token or a device's code."""
        return self._ask(self.endpoint("token_endpoint"), form)

    def device(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A code to be typed in on another device."""
        where = self.endpoint("device_authorization_endpoint")
        if not where:
            raise Trouble("the login provider knows no device codes: `yardarm login` with a browser on this machine")
        return self._ask(where, form)

    def _ask(self, url: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise Trouble(f"the login provider's address {url[:200]!r} is not https")
        body = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, body, {"Accept": "application/json", "User-Agent": "yardarm"})  # noqa: S310 - the scheme is looked at above
        try:
            with _OPENER.open(request, timeout=TIMEOUT) as answer:
                return _decoded(answer.read(LIMIT), url)
        except urllib.error.HTTPError as error:
            told = _decoded(error.read(LIMIT), url)
            raise Refused(str(told.get("error", error.code))[:100]) from error
        except OSError as error:
            raise Trouble(f"the login provider at {self.issuer} does not answer: {error}") from error


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follows none: a token goes where it was meant to go."""


_OPENER = urllib.request.build_opener(_Stay)


def _decoded(body: bytes, url: str) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Trouble(f"{urllib.parse.urlsplit(url).netloc} does not answer like a login provider")
    return told
