"""Checks against real servers: one that answers as Prometheus does, and others that answer as they like."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from hub.checks.measuring import Measuring
from hub.domain.checking import Check
from hub.domain.egress import Egress
from hub.domain.placeholders import Subject
from hub.registered import check_access
from hub.settings import CheckSettings
from hub.sources.web import Web, WebLimits
from shared.tasks import Clock
from tests.fakes.httpserver import listening

SUBJECT = Subject("web", "shop", "canary", ("prod-us-1", "prod-eu-1"), "abc-123", "abc")
QUERY = 'max(error_ratio{cluster=~"${clusters}"})'
TOKEN = "s3cret-token"


class Server:
    """Prometheus under /prometheus, and what else a check may meet."""

    def __init__(self) -> None:
        self.value = "0.004"
        self.queries: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.elsewhere = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/prometheus/api/v1/query", self.query)
        app.router.add_post("/moved/api/v1/query", self.moved)
        app.router.add_get("/hang", self.hang)
        app.router.add_get("/moved", self.moved)
        app.router.add_get("/endless", self.endless)
        app.router.add_get("/{path:.*}", self.page)
        return app

    async def query(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        query = (await request.post()).get("query", "")
        self.queries.append(str(query))
        if not str(query).strip():
            wrong = {"status": "error", "errorType": "bad_data", "error": "unknown position: no expression found"}
            return web.json_response(wrong, status=400)
        sample = {"metric": {}, "value": [1435781451.781, self.value]}
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": [sample]}})

    async def moved(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        raise web.HTTPMovedPermanently(self.elsewhere)

    async def hang(self, request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(64 * 1024))

    async def page(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.Response(
            text="all fine" if request.path != "/teapot" else "", status=int(request.query.get("s", 200))
        )


class Case:
    def __init__(self, server: Server, origin: str) -> None:
        self.server = server
        self.origin = origin

    async def prometheus(self, path="/prometheus", query=QUERY, *, below=0.01, **settings):
        return await self.measure({"prometheus": self.origin + path, "query": query, "below": below}, **settings)

    async def http(self, path="/", *, total=10.0, **fields):
        return await self.measure({"http": self.origin + path, **fields}, total=total)

    async def measure(self, check, *, total=10.0, allow=("127.0.0.1",), access=None):
        chosen = check_access(CheckSettings(access=access or {}))
        web_ = Web(Egress(allow), chosen, WebLimits(total=total, document_bytes=1024**2))
        try:
            return await Measuring(web_, Clock()).measure(Check.model_validate(check), SUBJECT)
        finally:
            await web_.close()


@pytest.fixture
async def case():
    server = Server()
    async with listening(server.app()) as origin:
        yield Case(server, origin)


async def test_prometheus_is_asked_with_the_placeholders_filled_in(case):
    found = await case.prometheus()

    assert (found.ok, found.value, found.detail) == (True, "0.004", "")
    assert case.server.queries == ['max(error_ratio{cluster=~"prod-eu-1|prod-us-1"})']


async def test_a_bad_value_is_bad_and_no_value_is_none(case):
    case.server.value = "0.2"
    assert (await case.prometheus()).ok is False
    case.server.value = "NaN"
    assert (await case.prometheus()).ok is None


async def test_what_prometheus_says_of_a_query_is_quoted(case):
    found = await case.prometheus(query=" ")
    assert (found.ok, "no expression found" in found.detail) == (None, True), found

    found = await case.prometheus(path="/wrong")
    assert (found.ok, "without /api/v1" in found.detail) == (None, True), found


async def test_a_query_goes_along_with_a_redirect_and_credentials_do_not(case):
    host = urlsplit(case.origin).netloc
    access = {host: {"token": TOKEN, "headers": {"X-Scope-OrgID": "team"}, "plain_http": True}}
    other = Server()
    async with listening(other.app()) as elsewhere:
        case.server.elsewhere = f"{elsewhere}/prometheus/api/v1/query"
        found = await case.prometheus(path="/moved", access=access)

    assert found.ok is True
    assert other.queries == ['max(error_ratio{cluster=~"prod-eu-1|prod-us-1"})']
    (first,), (second,) = case.server.headers, other.headers
    assert (first["Authorization"], first["X-Scope-OrgID"]) == (f"Bearer {TOKEN}", "team")
    assert "Authorization" not in second
    assert "X-Scope-OrgID" not in second


async def test_credentials_are_not_sent_in_the_clear_unless_told_so(case):
    await case.prometheus(access={urlsplit(case.origin).netloc: {"token": TOKEN, "headers": {"X-Key": TOKEN}}})

    assert TOKEN not in str(case.server.headers)


async def test_a_host_alone_is_shown_what_is_set_for_it(case):
    access = {urlsplit(case.origin).netloc: {"username": "me", "token": TOKEN, "plain_http": True}}
    await case.measure({"http": case.origin}, access=access)

    assert case.server.headers[0]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("path", "fields", "ok", "detail"),
    [
        ("/ready", {}, True, ""),
        ("/ready?s=503", {}, False, "answers 503, not 200"),
        ("/ready?s=204", {"status": 204}, True, ""),
        ("/", {"contains": "fine"}, True, ""),
        ("/", {"contains": "good"}, False, "does not contain 'good'"),
        ("/moved", {"status": 301}, True, ""),
        ("/endless", {}, True, ""),
        ("/endless", {"contains": "x"}, None, "larger than 1 MiB"),
    ],
)
async def test_http_checks(case, path, fields, ok, detail):
    case.server.elsewhere = f"{case.origin}/ready"

    found = await case.http(path, **fields)

    assert found.ok is ok, found
    assert detail in found.detail


async def test_redirects_are_followed_to_the_end(case):
    case.server.elsewhere = f"{case.origin}/ready"
    assert (await case.http("/moved")).ok is True

    case.server.elsewhere = f"{case.origin}/moved"
    found = await case.http("/moved")
    assert (found.ok, "more than 5 times" in found.detail) == (None, True), found


async def test_a_server_that_does_not_answer_in_time_measures_nothing_and_its_address_is_shown_without_secrets(case):
    found = await case.http(f"/hang?token={TOKEN}", total=0.2)

    assert found.ok is None
    assert "did not answer within 0.2 s" in found.detail
    assert TOKEN not in found.detail


async def test_nobody_there_is_no_measurement(case):
    found = await case.measure({"http": "http://127.0.0.1:1/"})

    assert (found.ok, found.value) == (None, "")
    assert "127.0.0.1:1" in found.detail


async def test_the_policy_is_kept_and_says_how_to_allow_it(case):
    found = await case.prometheus(allow=())

    assert found.ok is None
    assert "egress.allow" in found.detail
    assert case.server.queries == []
