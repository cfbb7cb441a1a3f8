"""A login provider (OpenID Connect) over real HTTP: discovery, keys that rotate, code with PKCE, refresh, device codes.

It logs in `person` at once: what it would ask them is not its business here. `tamper` changes the claims of ID tokens.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.fakes.httpserver import listening

CLIENT, SECRET, CLI = "yardarm", "the-clients-secret", "yardarm-cli"


class Provider:
    """`issuer` is where it answers, once it is served."""

    def __init__(self) -> None:
        self.issuer = ""
        self.person: dict[str, Any] = {
            "sub": "u1", "email": "ann@example.com", "email_verified": True, "groups": ["web-operators", "lunch"],
        }  # fmt: skip
        self.lasting = 3600.0
        self.tamper: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.asked: list[str] = []
        self.keys: list[ECKey] = []
        self.approved = False
        self._codes: dict[str, dict[str, str]] = {}
        self._refresh: set[str] = set()
        self.rotate()

    def rotate(self) -> None:
        """Signs with a new key from now on, and forgets the old ones."""
        self.keys = [ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig"})]

    def token(self, audience: str = CLIENT, key: ECKey | None = None, **more: Any) -> str:
        """An ID token for the person."""
        now = time.time()
        claims = {**self.person, "iss": self.issuer, "aud": audience, "iat": now, "exp": now + self.lasting, **more}
        signer = key or self.keys[-1]
        return jwt.encode({"alg": "ES256", "kid": signer.kid}, self.tamper(claims), signer)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_post("/device", self._device)
        return app

    async def _discovery(self, _request: web.Request) -> web.Response:
        self.asked.append("discovery")
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "device_authorization_endpoint": f"{self.issuer}/device",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    async def _keys(self, _request: web.Request) -> web.Response:
        self.asked.append("keys")
        return web.json_response({"keys": [{"kty": "new-kind"}, *(key.as_dict(private=False) for key in self.keys)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        back = urllib.parse.urlencode({"code": code, "state": query["state"], "iss": self.issuer})
        raise web.HTTPFound(f"{query['redirect_uri']}?{back}")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        client = self._client(request, form)
        match form["grant_type"]:
            case "authorization_code":
                begun = self._codes.pop(form["code"], {})
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                proven = base64.urlsafe_b64encode(digest).decode().rstrip("=") == begun.get("code_challenge")
                if not proven or (client, form["redirect_uri"]) != (begun["client_id"], begun["redirect_uri"]):
                    return web.json_response({"error": "invalid_grant"}, status=400)
                more = {"nonce": begun["nonce"]} if "nonce" in begun else {}
            case "refresh_token" if form["refresh_token"] in self._refresh:
                more = {}
            case "urn:ietf:params:oauth:grant-type:device_code" if self.approved:
                more = {}
            case "urn:ietf:params:oauth:grant-type:device_code":
                self.approved = True
                return web.json_response({"error": "authorization_pending"}, status=400)
            case _:
                return web.json_response({"error": "invalid_grant"}, status=400)
        refresh = secrets.token_urlsafe(16)
        self._refresh.add(refresh)
        return web.json_response(
            {"id_token": self.token(client, **more), "refresh_token": refresh, "token_type": "Bearer"}
        )

    async def _device(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "device_code": "d1", "user_code": "WDJB-MJHT", "verification_uri": f"{self.issuer}/activate",
                "expires_in": 60, "interval": 0,
            }
        )  # fmt: skip

    def _client(self, request: web.Request, form: dict[str, str]) -> str:
        shown = request.headers.get("Authorization", "")
        if not shown:
            assert form["client_id"] == CLI
            return CLI
        assert base64.b64decode(shown.removeprefix("Basic ")).decode() == f"{CLIENT}:{SECRET}"
        return CLIENT


@contextlib.asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """One that answers."""
    made = Provider()
    async with listening(made.app()) as made.issuer:
        yield made
