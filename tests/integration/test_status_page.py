"""The status page in a real browser: it signs in, shows the fleet, follows it, and asks nobody else for anything."""

from __future__ import annotations

import contextlib
import shutil
import time

import pytest
from playwright.async_api import async_playwright

from hub.api.app import create_app
from hub.api.context import Context
from hub.domain.logins import Membership, Reading
from hub.domain.principals import Grant
from hub.domain.requests import Verb
from hub.logins import Client, Logins
from hub.metrics import Metrics
from hub.oidc.provider import Provider as Known
from hub.sessions import Sessions
from shared.messages import Phase
from tests.fakes.fleetview import START, FakeClock, report, sample
from tests.fakes.memorystore import MemoryStore
from tests.fakes.natsserver import free_port
from tests.fakes.provider import CLIENT, SECRET, provider
from tests.fakes.rollingout import Rolling
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "a-test-token"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")


class Outside:
    def explain(self, application, cluster):
        return {}

    def placement(self, application):
        return {"application": application, "clusters": []}

    async def received(self, provider, headers, body):
        return ""

    def role(self):
        return "leader"

    def missing(self):
        return {}


def context(view, **more):
    return Context(view, Metrics(view, "0.1.0"), *[Outside()] * 6, TOKEN, "0.1.0", audit=Trail(), **more)


@pytest.fixture
async def page():
    """A page with `view` and `origin` beside it; fails on console errors and on requests to other hosts."""
    view = sample()
    app = create_app(context(view))
    async with serving(app) as origin, browsing(origin) as page:
        page.app, page.view = app, view
        yield page


@contextlib.asynccontextmanager
async def browsing(origin):
    trouble = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        page.on("console", lambda told: trouble.append(told.text) if told.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(origin) else trouble.append(asked.url))
        page.origin, page.trouble = origin, trouble
        yield page
        await browser.close()


async def test_it_shows_the_fleet_and_follows_it(page):
    await page.goto(f"{page.origin}/#token={TOKEN}")
    failed = page.locator('.cell[data-state="Failed"]')
    await failed.wait_for()

    assert await page.locator(".cell").count() == 18
    assert "token" not in page.url
    assert "/spec/replicas" in await page.locator("#drift").inner_text()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.view.reported(report("dev-1", "cache", at=START + 50, phase=Phase.FAILED, reason="<b>forbidden</b>"))
    cell = page.get_by_label("cache on dev-1: Failed, <b>forbidden</b>", exact=False)
    await cell.wait_for()
    await cell.click()
    await page.locator("dialog[open]").wait_for()
    assert "<b>forbidden</b>" in await page.locator("#unit-body").inner_text()
    rolling = Rolling()
    page.view.rollouts.put(rolling.commit("3f2a91c" * 5 + "00000"))
    line = page.locator("#rollouts li")
    await line.wait_for()
    assert await line.inner_text() == "Progressing web 3f2a91c3 at dev · 0 of 5"
    page.view.rollouts.put(rolling.ask(Verb.PAUSE, reason="<i>lunch</i>"))
    await line.get_by_text("<i>lunch</i>").wait_for()
    page.view.rollouts.put(rolling.ask(Verb.ABORT))
    await page.locator("#rollouts-box").wait_for(state="hidden")
    assert page.trouble == []


async def test_it_asks_for_the_token_and_says_when_it_is_wrong(page):
    await page.goto(page.origin)
    await page.get_by_label("Token").fill("wrong")
    await page.get_by_role("button", name="Show the fleet").click()
    await page.get_by_text("this is not a token of this hub").wait_for()
    await page.get_by_label("Token").fill(TOKEN)
    await page.get_by_role("button", name="Show the fleet").click()

    await page.locator(".cell").first.wait_for()
    assert [told for told in page.trouble if "401" not in told] == []


async def test_the_api_page_lists_every_operation(page):
    await page.goto(f"{page.origin}/docs")
    await page.locator("details").first.wait_for()

    assert await page.locator("details").count() == sum(len(each) for each in page.app.openapi()["paths"].values())
    assert page.trouble == []


async def test_it_logs_in_at_a_provider_and_out_again():
    clock, store = FakeClock(time.time()), MemoryStore()
    view = sample(clock)
    async with provider() as issuer:
        listener = free_port()
        url = f"http://127.0.0.1:{listener}"
        sessions = Sessions(lambda: store, clock)
        reading = Reading(groups={"web-operators": Membership((Grant("viewer", environments=("dev",)),))})
        logins = Logins(
            Known(issuer.issuer, clock), Client(CLIENT, SECRET, url, ("openid",)), reading, sessions, 3600, clock
        )
        async with serving(create_app(context(view, login=logins)), listener), browsing(url) as page:
            await page.goto(url)
            await page.get_by_role("link", name="Log in").click()
            await page.locator(".cell").first.wait_for()

            assert await page.locator(".cell").count() == 6
            assert await page.locator("#me").inner_text() == "ann@example.com"
            assert await page.evaluate("document.cookie") == ""
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            view.reported(report("dev-1", "cache", at=clock.at + 50, phase=Phase.FAILED, reason="it is live"))
            await page.get_by_label("cache on dev-1: Failed, it is live", exact=False).wait_for()
            await page.get_by_role("button", name="Log out").click()
            await page.get_by_role("link", name="Log in").wait_for()
            assert await page.locator("#fleet").is_hidden()
        assert [told for told in page.trouble if "401" not in told and not told.startswith(issuer.issuer)] == []
