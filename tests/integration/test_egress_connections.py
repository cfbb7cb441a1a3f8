"""The policy holds at the moment of connecting: for names, for addresses, and after redirects."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from aiohttp import web

from hub.domain.egress import Denied, Egress
from hub.sources.egress import permitted, session
from tests.fakes.httpserver import listening

SEEN = web.AppKey("seen", list)


def service() -> web.Application:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(text="reached")

    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    app = web.Application()
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/{path:.*}", answer)
    app[SEEN] = seen
    return app


async def fetch(egress: Egress, url: str) -> str:
    async with session(egress) as client, client.get(url) as response:
        return await response.text()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_loopback_is_not_connected_to_whatever_it_is_called(host):
    app = service()
    async with listening(app) as origin:
        with pytest.raises(Denied, match=r"where the hub may not connect to: a loopback address .*egress\.allow"):
            await fetch(Egress(), f"http://{host}:{urlsplit(origin).port}/secret")
    assert app[SEEN] == []


async def test_an_allowed_host_is_reached_and_its_redirect_elsewhere_is_not():
    app, other = service(), service()
    async with listening(app) as origin, listening(other) as target:
        egress = Egress(allow=[urlsplit(origin).netloc])
        assert await fetch(egress, f"{origin}/fine") == "reached"
        assert await fetch(egress, f"{origin}/redirect?to={origin}/fine") == "reached"
        for url in (target, target.replace("127.0.0.1", "localhost")):
            with pytest.raises(Denied, match="loopback"):
                await fetch(egress, f"{origin}/redirect?to={url}/secret")
    assert other[SEEN] == []


async def test_addresses_to_hand_to_others_are_those_permitted():
    assert "127.0.0.1" in await permitted(Egress(allow=["localhost"]), "localhost", 80)
    with pytest.raises(Denied, match="localhost leads to"):
        await permitted(Egress(), "localhost", 80)
