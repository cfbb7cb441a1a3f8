"""How much is let through: of a caller, of an address, of wrong tokens; bodies too large, too slow, or cut off."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from hub.api.app import create_app
from hub.api.context import Context
from hub.domain.limiting import Limits, Rate
from hub.metrics import Metrics
from tests.fakes.fleetview import sample
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

TOKEN = "a-test-token"
GOOD = {"Authorization": f"Bearer {TOKEN}"}
LIMITS = Limits(caller=Rate(1, 5), address=Rate(1, 12), failures=Rate(0.1, 3), body=2048, patience=0.3)


class Site:
    def __init__(self, **more):
        self.view, self.trail = sample(), Trail()
        metrics = Metrics(self.view, "0.1.0")
        self.app = create_app(
            Context(self.view, metrics, *[object()] * 6, TOKEN, "0.1.0", limits=LIMITS, audit=self.trail, **more)
        )
        self.url = ""
        self.session: aiohttp.ClientSession

    async def status(self, headers=GOOD, path="/api/v1/self"):
        async with self.session.get(f"{self.url}{path}", headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers.get("Retry-After")

    async def raw(self, text):
        """What the hub says to bytes that are sent as they are, until it closes."""
        reader, writer = await asyncio.open_connection(*self.url.removeprefix("http://").split(":"))
        writer.write(text)
        async with asyncio.timeout(5):
            said = await reader.read()
        writer.close()
        return said


@pytest.fixture
async def site():
    site = Site()
    async with serving(site.app) as site.url, aiohttp.ClientSession() as site.session:
        yield site


async def test_a_caller_waits_as_long_as_it_is_told_to(site):
    told = [await site.status() for _ in range(6)]

    assert [status for status, _ in told] == [200] * 5 + [429]
    site.view.clock.at += int(told[-1][1])
    assert (await site.status())[0] == 200


async def test_an_address_is_limited_whoever_it_says_it_is(site):
    told = [(await site.status({}, "/healthz"))[0] for _ in range(13)]

    assert told == [200] * 12 + [429]
    assert [each.action for each in site.trail.entries] == ["request.refused"]


async def test_wrong_tokens_are_slowed_down_and_right_ones_are_not(site):
    assert [(await site.status({"Authorization": f"Bearer {n}"}))[0] for n in range(5)] == [401] * 3 + [429] * 2
    assert (await site.status())[0] == 200


@pytest.mark.parametrize("path", ["/api/v1/confirmations", "/nowhere"])
async def test_bodies_that_are_too_large_are_not_read(site, path):
    begun = f"POST {path} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {TOKEN}\r\n"

    assert b"413 " in await site.raw(f"{begun}Content-Length: 3000\r\n\r\n".encode())
    chunks = "".join("400\r\n" + "x" * 1024 + "\r\n" for _ in range(3))
    assert b"413 " in await site.raw(f"{begun}Transfer-Encoding: chunked\r\n\r\n{chunks}".encode())


async def test_bodies_that_do_not_come_are_not_waited_for(site):
    begun = "POST /api/v1/confirmations HTTP/1.1\r\nHost: hub\r\nContent-Length: 30\r\n"

    slow = await site.raw(f"{begun}\r\n{{".encode())
    assert b"408 " in slow
    assert b"connection: close" in slow.lower()
    assert b"400 " in await site.raw(begun.replace("30", "x").encode() + b"\r\n")


@pytest.mark.parametrize("https", [True, False])
async def test_browsers_are_held_to_https_where_people_come_by_it(https):
    site = Site(https=https)
    async with serving(site.app) as site.url, aiohttp.ClientSession() as session, session.get(site.url) as answer:
        assert ("Strict-Transport-Security" in answer.headers) is https
