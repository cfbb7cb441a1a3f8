"""Logging in by a provider: there and back, sessions, what another site may make a browser do, and its tokens alone."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from yarl import URL

from hub.api.app import create_app
from hub.api.context import Context
from hub.domain.logins import Membership, Reading
from hub.domain.principals import Grant
from hub.logins import Client, Logins
from hub.metrics import Metrics
from hub.oidc.provider import Provider as Known
from hub.sessions import Sessions
from tests.fakes.fleetview import FakeClock, sample
from tests.fakes.memorystore import MemoryStore
from tests.fakes.provider import CLI, CLIENT, SECRET, provider
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

ROOT = Path(__file__).parents[2]
READING = Reading(groups={"web-operators": Membership((Grant("operator", ("default",)),), ("sre",))})


class Hub:
    """Two hubs would share the store: `sessions` of another one can be made of it."""

    def __init__(self, issuer):
        self.clock, self.trail, self.store = FakeClock(time.time()), Trail(), MemoryStore()
        self.view = sample(self.clock)
        self.issuer = issuer
        self.url = ""
        self.client = None
        self.browser: aiohttp.ClientSession

    def app(self):
        self.sessions = Sessions(lambda: self.store, self.clock)
        client = Client(CLIENT, SECRET, self.url, ("openid", "email"), CLI)
        self.logins = Logins(Known(self.issuer, self.clock), client, READING, self.sessions, 3600, self.clock)
        metrics = Metrics(self.view, "0.1.0")
        context = Context(self.view, metrics, *[self] * 6, "own", "0.1.0", login=self.logins, audit=self.trail)
        return create_app(context)

    async def sync(self, application):
        return "looked at"

    def tell(self, event):
        """What is asked for is told."""

    async def get(self, path, **headers):
        async with self.browser.get(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def post(self, path, **headers):
        async with self.browser.post(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


class _Late:
    """An application that is made once it is known where it is served."""

    def __init__(self, hub):
        self.hub, self.app = hub, None

    async def __call__(self, scope, receive, send):
        self.app = self.app or self.hub.app()
        await self.app(scope, receive, send)


@pytest.fixture
async def site():
    """A hub and its provider, with a browser."""
    async with provider() as issuer:
        hub = Hub(issuer.issuer)
        async with (
            serving(_Late(hub)) as hub.url,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as hub.browser,
        ):
            yield hub, issuer


async def logged_in(hub):
    async with hub.browser.get(f"{hub.url}/login") as answer:
        assert (answer.status, answer.url.path) == (200, "/")
    return (await hub.get("/api/v1/self"))[1]


async def test_somebody_logs_in_and_is_what_their_groups_are_given(site):
    hub, _ = site
    assert (await hub.get("/api/v1/self"))[0] == 401

    me = await logged_in(hub)

    assert (me["name"], me["via"], me["teams"]) == ("ann@example.com", "page", ["sre"])
    assert me["grants"] == [{"role": "operator", "projects": ["default"], "environments": ["*"]}]
    assert (await hub.get("/api/v1/units"))[0] == 200
    (cookie,) = [each for each in hub.browser.cookie_jar if each.key == "yardarm-session"]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("lax", "/")
    assert not any(cookie.value in key for key in hub.store.records)
    assert [(each.action, each.actor, each.result) for each in hub.trail.entries if each.action == "login"] == [
        ("login", "ann@example.com", "ok")
    ]


async def test_a_session_changes_something_only_for_a_page_of_the_hub(site):
    hub, _ = site
    proof = {"X-CSRF-Token": (await logged_in(hub))["csrf"]}
    path = "/api/v1/applications/web/sync"

    assert (await hub.post(path))[0] == 403
    assert (await hub.post(path, Origin=hub.url))[0] == 403
    assert (await hub.post(path, Origin="https://evil.example", **proof))[0] == 403
    assert (await hub.post(path, **{"Origin": hub.url, "Sec-Fetch-Site": "cross-site"}, **proof))[0] == 403
    assert (await hub.post(path, **{"Origin": hub.url, "X-CSRF-Token": "é"}))[0] == 403
    assert (await hub.post(path, **{"Origin": hub.url, "Sec-Fetch-Site": "same-origin"}, **proof))[0] == 202
    assert [each.result for each in hub.trail.entries if each.actor and each.action != "login"] == ["refused"] * 5 + [
        "ok"
    ]


async def test_logging_out_ends_the_session_here_and_on_other_hubs(site):
    hub, _ = site
    me = await logged_in(hub)
    taken = {each.key: each.value for each in hub.browser.cookie_jar}
    other = Sessions(lambda: hub.store, hub.clock)
    for key, (value, _) in hub.store.records.items():
        other.heard(key, value)

    assert (await hub.post("/logout", **{"Origin": hub.url, "X-CSRF-Token": me["csrf"]}))[0] == 200

    hub.browser.cookie_jar.update_cookies(taken, URL(hub.url))
    assert (await hub.get("/api/v1/self"))[0] == 401
    for key, (value, _) in hub.store.records.items():
        other.heard(key, value)
    assert all(session.ended for session in other._known.values())


async def test_a_session_ends_by_itself_and_cannot_be_made_up(site):
    hub, _ = site
    await logged_in(hub)
    (cookie,) = [each for each in hub.browser.cookie_jar if each.key == "yardarm-session"]
    body, _, mac = cookie.value.partition(".")
    for forged in (f"{body}.{mac[:-2]}AA", f"{body[:-4]}AAAA.{mac}", "a.b", "", f"{body}"):
        hub.browser.cookie_jar.update_cookies({"yardarm-session": forged}, URL(hub.url))
        assert (await hub.get("/api/v1/self"))[0] == 401
    hub.browser.cookie_jar.update_cookies({"yardarm-session": cookie.value}, URL(hub.url))
    assert (await hub.get("/api/v1/self"))[0] == 200
    hub.clock.at += 3601
    assert (await hub.get("/api/v1/self"))[0] == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"aud": [CLIENT, "another"]}, {"iss": "https://evil.example"},
        {"exp": 1.0}, {"iat": 1e11}, {"exp": True}, {"azp": "another"}, {"sub": ""}, {"email_verified": False},
        {"email": "admin"}, {"groups": ["lunch"]}, {"groups": {"web-operators": 1}},
    ],
)  # fmt: skip
async def test_a_token_that_is_not_quite_right_begins_no_session(site, wrong):
    hub, issuer = site
    issuer.tamper = lambda claims: {name: value for name, value in {**claims, **wrong}.items() if value is not None}

    status, told = await hub.get("/login")

    assert status == 403, told
    assert (await hub.get("/api/v1/self"))[0] == 401
    assert hub.trail.entries[-2].result == "refused"


async def test_the_way_back_is_only_for_the_browser_that_began(site):
    hub, _ = site
    async with hub.browser.get(f"{hub.url}/login", allow_redirects=False) as answer:
        there = URL(answer.headers["Location"])
        assert answer.status == 303
    async with hub.browser.get(there, allow_redirects=False) as answer:
        back = URL(answer.headers["Location"])
    async with aiohttp.ClientSession() as stranger, stranger.get(back) as answer:
        assert answer.status == 403
    assert (await hub.get(str(back.with_query({**back.query, "state": "x"}).relative())))[0] == 403
    assert (await hub.get(str(back.with_query({**back.query, "iss": "https://evil.example"}).relative())))[0] == 403
    async with hub.browser.get(back, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert (await hub.get(str(back.relative())))[0] == 403  # a code is good once, and so is the way
    assert {"redirect_uri", "nonce", "state", "code_challenge"} <= set(there.query)


async def test_tokens_of_the_provider_are_taken_as_they_are(site):
    hub, issuer = site

    async def me(token):
        return await hub.get("/api/v1/self", Authorization=f"Bearer {token}")

    status, told = await me(issuer.token(CLI))
    assert (status, told["name"], told["via"], told["csrf"]) == (200, "ann@example.com", "oidc", "")
    assert (await me(issuer.token("another")))[0] == 401
    assert (await me(issuer.token(CLI, key=ECKey.generate_key("P-256", {"kid": issuer.keys[0].kid}))))[0] == 401
    claims = {**issuer.person, "iss": issuer.issuer, "aud": CLI, "iat": time.time(), "exp": time.time() + 99}
    shared = jwt.encode(
        {"alg": "HS256", "kid": issuer.keys[0].kid},
        claims,
        OctKey.import_key(issuer.keys[0].as_pem(private=False).hex()),
    )
    assert (await me(shared))[0] == 401
    for other in ("a.b.c", "eyJhbGciOiJub25lIn0.e30.", ".."):
        assert (await me(other))[0] in {401, 400, 431}, other[:20]
    good = issuer.token(CLI)
    assert (await me(good))[0] == 200
    hub.clock.at += 3700
    assert (await me(good))[0] == 401


async def test_keys_that_rotate_are_fetched_and_invented_ones_are_not_asked_for_each_time(site):
    hub, issuer = site

    async def status(token):
        return (await hub.get("/api/v1/self", Authorization=f"Bearer {token}"))[0]

    assert await status(issuer.token(CLI)) == 200
    hub.clock.at += 30
    issuer.rotate()
    assert await status(issuer.token(CLI)) == 200
    assert issuer.asked.count("keys") == 2
    for _ in range(5):
        assert await status(issuer.token(CLI, key=ECKey.generate_key("P-256", {"kid": "invented"}))) == 401
    assert issuer.asked.count("keys") == 2


async def test_the_command_line_logs_in_and_stays_so(site, tmp_path):
    hub, issuer = site
    hub.clock.at = time.time()
    browser = tmp_path / "browser"
    browser.write_text(f"#!{sys.executable}\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1]).read()\n")
    browser.chmod(0o700)
    kept = tmp_path / "yardarm" / "login.json"

    async def yardarm(*words):
        environment = {"PATH": os.environ["PATH"], "BROWSER": str(browser), "XDG_CONFIG_HOME": str(tmp_path),
                       "XDG_RUNTIME_DIR": str(tmp_path / "none"), "HOME": str(tmp_path)}  # fmt: skip
        command = [sys.executable, "-m", "hub", *words]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=-1, stderr=-1, cwd=ROOT)
        output, errors = await process.communicate()
        return process.returncode, (output + errors).decode()

    code, said = await yardarm("login", hub.url)
    assert (code, "as ann@example.com" in said) == (0, True), said
    assert kept.stat().st_mode & 0o077 == 0
    assert (await yardarm("get", "clusters"))[0] == 0
    first = kept.read_text()
    issuer.lasting = 30.0  # about to end, so that it is renewed each time
    kept.write_text(first.replace(json.loads(first)["token"], issuer.token(CLI)))
    assert (await yardarm("get", "clusters"))[0] == 0
    assert json.loads(kept.read_text())["token"] != json.loads(first)["token"]
    code, said = await yardarm("login", "--device")
    assert (code, "WDJB-MJHT" in said) == (0, True), said
    assert (await yardarm("logout"))[0] == 0
    assert "no hub is known" in (await yardarm("get", "clusters"))[1]


async def test_without_the_provider_tokens_of_the_hub_still_open_it(site):
    hub, _ = site
    hub.issuer = "http://127.0.0.1:9"

    assert (await hub.get("/login"))[0] == 503
    assert (await hub.get("/api/v1/self", Authorization="Bearer own"))[0] == 200
    assert (await hub.get("/api/v1/self", Authorization="Bearer a.b.c"))[0] == 503
