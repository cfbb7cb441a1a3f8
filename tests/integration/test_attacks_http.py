"""Who can reach the API, with no token or with one that may little, tries to get further; and to keep others out.

A whole hub, spoken to byte by byte. After each attempt it answers others, nothing has changed, and what was refused is
in the audit trail.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import pytest
import pytest_asyncio

from hub.api import wire
from hub.domain import folding
from hub.domain.auditing import Result, Wanted
from hub.settings import ApiToken
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, LiveHub, application, configmap, live_hub, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = {"vera": ("viewer",), "olga": ("operator",)}
MARK = "root:"
"""Is in the file that every traversal asks for."""


def shown(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer of-{name}"}


class Scene:
    def __init__(self, live: LiveHub, session: aiohttp.ClientSession):
        self.live, self.session = live, session
        self.url = live.hub.url

    async def raw(self, *parts: bytes, seconds: float = 20) -> bytes:
        """What is answered to these bytes, sent one after the other, until the server closes or all has come."""
        host, port = urlsplit(self.url).hostname, urlsplit(self.url).port
        reader, writer = await asyncio.open_connection(host, port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(seconds):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def unharmed(self) -> None:
        async with self.session.get(f"{self.url}/api/v1/summary", headers=shown("vera")) as answer:
            assert (answer.status, (await answer.json())["units"]["total"]) == (200, 2)

    async def refusals(self, **wanted: str) -> list:
        found, _ = await self.live.hub._audit.page(Wanted(result=Result.REFUSED, **wanted), 1000)
        return [each.entry for each in found]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    repo = GitRepo(folder / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("fleet/web.yaml", application("web"))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    tokens = tuple(
        ApiToken(name=name, sha256=hashlib.sha256(f"of-{name}".encode()).hexdigest(), roles=roles)
        for name, roles in TOKENS.items()
    )
    given = settings(folder / "state", str(repo.path), tokens=tokens)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ALONE", "ALL_ALONE"):  # every refusal of these tests is to be seen
            patch.setattr(folding, name, 100_000)
        async with live_hub(given) as live, aiohttp.ClientSession() as session:
            await live.seen(repo.head)
            yield Scene(live, session)


TRAVERSALS = [
    "/../../../../../../etc/passwd",
    "/web/../../../../../../etc/passwd",
    "/web/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/web/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/web/....//....//....//etc/passwd",
    "/web/..\\..\\..\\etc\\passwd",
    "/web//etc/passwd",
    "/web/app.js%00.html",
    "//etc/passwd",
    "/docs/..%c0%af..%c0%afetc/passwd",
    "http://169.254.169.254/latest/meta-data",
]


@pytest.mark.parametrize("target", TRAVERSALS)
async def test_no_address_of_a_page_leads_to_a_file(scene: Scene, target):
    answer = await scene.raw(f"GET {target} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n".encode())

    assert re.match(rb"HTTP/1\.1 (400|404|307)", answer), answer[:200]
    assert MARK.encode() not in answer
    await scene.unharmed()


HOSTILE = [
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "a\r\nX-Injected: yes",
    "a\nSet-Cookie: session=x",
    "a\x00b",
    "\u202e\ud7ff\U0001f4a9",
    "x" * 5000,
    "$(touch /tmp/x)",
    "';--",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "*", ">", "web.>", "$KV.HUB.lease",
]  # fmt: skip


async def test_no_parameter_of_any_operation_is_more_than_a_name(scene: Scene):
    """Every operation of the OpenAPI document, with every hostile text in each of its parameters."""
    async with scene.session.get(f"{scene.url}/openapi.json") as answer:
        document = await answer.json()
    before = await scene.live.sequences()

    async def attempt(method: str, path: str, query: str) -> None:
        address = f"{scene.url}{path}{query}"
        async with scene.session.request(
            method, aiohttp.client.URL(address, encoded=True), headers=shown("vera"), allow_redirects=False
        ) as answer:
            told = await answer.text()
            assert answer.status < 500 or answer.status == 503, (method, address, answer.status, told)
            assert MARK not in told, (method, address)
            assert "X-Injected" not in answer.headers
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["Content-Type"].startswith(("application/", "text/plain", "text/event-stream"))
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    gate = asyncio.Semaphore(20)

    async def one(*given: str) -> None:
        async with gate:
            await attempt(*given)

    async with asyncio.TaskGroup() as group:
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if path.endswith("/stream"):
                    continue
                queries = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
                for text in HOSTILE if "{" in path else []:
                    group.create_task(one(method.upper(), re.sub(r"\{\w+\}", quote(text, safe=""), path), ""))
                for name in queries:
                    for text in HOSTILE:
                        filled = re.sub(r"\{\w+\}", "web", path)
                        group.create_task(one(method.upper(), filled, f"?{name}={quote(text, safe='')}"))
    assert await scene.live.sequences() == before
    await scene.unharmed()


SMUGGLED = b"GET /api/v1/summary HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer of-olga\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"POST /healthz HTTP/1.1\r\nHost: hub\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nContent-Length: -1\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: x\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nX: a\rb\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nX : a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nX: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET  /healthz  HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"GET /" + b"a" * 2**21 + b" HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: hub\r\n" + b"X: " + b"a" * 2**21 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: hub\r\n" + b"X: a\r\n" * 400_000 + b"\r\n",
    ],
    ids=[
        "two lengths, one chunked", "two lengths", "negative length", "unknown coding", "lone return", "space in a name",
        "null", "no host", "two hosts", "spaces", "another protocol", "encrypted", "long line", "long header", "many headers",
    ],
)  # fmt: skip
async def test_a_request_that_could_be_read_in_two_ways_is_not_read_at_all(scene: Scene, head):
    answer = await scene.raw(head)

    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")), answer[:300]
    assert b"units" not in answer
    await scene.unharmed()


async def test_who_does_not_say_what_it_wants_is_let_go(scene: Scene, monkeypatch):
    """Two hundred connections that say nothing, or one more byte now and then."""
    monkeypatch.setattr(wire, "HEAD_WITHIN", 0.5)
    host, port = urlsplit(scene.url).hostname, urlsplit(scene.url).port
    begun = time.monotonic()
    held = [await asyncio.open_connection(host, port) for _ in range(200)]

    async def drips(writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in b"GET /healthz HTTP/1.1\r\nHost: hub\r\nX: ":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for _, writer in held[::2]:
            group.create_task(drips(writer))
        await scene.unharmed()
        async with asyncio.timeout(30):
            answers = [await ended(reader) for reader, _ in held]
    for _, writer in held:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers[1::2])
    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 408") for answer in answers)
    assert time.monotonic() - begun >= 0.4


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What came until the server closed; nothing where it did while something was on its way to it."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_connection_is_good_for_several_requests_that_come_in_time(scene: Scene, monkeypatch):
    monkeypatch.setattr(wire, "HEAD_WITHIN", 1.0)
    host, port = urlsplit(scene.url).hostname, urlsplit(scene.url).port
    reader, writer = await asyncio.open_connection(host, port)
    for _ in range(4):
        await asyncio.sleep(0.4)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
        await reader.readexactly(length)
    writer.close()


async def test_a_webhook_that_is_too_large_is_refused_before_it_has_been_read(scene: Scene):
    head = b"POST /api/v1/hooks/github HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
    announced = await scene.raw(head + b"Content-Length: 99999999999\r\n\r\n", b"x" * 1000, seconds=20)
    chunks = [b"100000\r\n" + b"x" * 2**20 + b"\r\n"] * 8
    chunked = await scene.raw(head + b"Transfer-Encoding: chunked\r\n\r\n", *chunks)

    for answer in (announced, chunked):
        assert answer == b"" or answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 408")), answer[:200]
    refused = await scene.refusals(source="127.0.0.1")
    assert any("bytes at the most" in each.detail for each in refused)
    await scene.unharmed()


@pytest.mark.parametrize(
    "given",
    [
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-Original-URL": "/api/v1/audit"},
        {"X-Forwarded-User": "admin"},
        {"X-Forwarded-Host": "evil.example.com", "Host": "evil.example.com"},
        {"Cookie": "session=admin; __Host-session=admin"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer null"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."},
        {"Authorization": "Bearer " + hashlib.sha256(b"of-olga").hexdigest()},
    ],
    ids=["method", "address", "user", "host", "cookie", "password", "empty", "null", "unsigned", "hash"],
)
async def test_nothing_but_a_token_of_this_hub_opens_it(scene: Scene, given):
    async with scene.session.get(f"{scene.url}/api/v1/summary", headers=given) as answer:
        told = await answer.text()

    assert answer.status in {401, 429}
    assert "evil.example.com" not in told + repr(answer.headers)


async def test_a_path_is_not_led_elsewhere_by_the_host_that_a_request_names(scene: Scene):
    """A redirect would carry the attacker's host to whoever follows it."""
    for path in ("/api/v1/units/", "/docs/", "//evil.example.com/"):
        answer = await scene.raw(f"GET {path} HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.1 (401|404)", answer), answer[:300]
        assert b"location" not in answer.lower().partition(b"\r\n\r\n")[0]


async def test_an_address_cannot_be_made_up(scene: Scene):
    """Where a request comes from is where the connection does, whatever its headers say."""
    headers = {"X-Forwarded-For": "203.0.113.99", "Forwarded": "for=203.0.113.99", "X-Real-IP": "203.0.113.99"}
    async with scene.session.post(f"{scene.url}/api/v1/confirmations", headers=headers, json={}) as answer:
        assert answer.status in {401, 429}

    assert await scene.refusals(source="203.0.113.99") == []


async def test_guessing_tokens_is_one_line_of_the_trail_and_disturbs_nobody(scene: Scene, monkeypatch):
    monkeypatch.setattr(folding, "ALONE", 10)

    async def guess(number: int) -> int:
        async with scene.session.get(
            f"{scene.url}/api/v1/summary", headers={"Authorization": f"Bearer g{number}"}
        ) as answer:
            return answer.status

    before = len(await scene.refusals(action="request.refused"))
    assert {await guess(number) for number in range(300)} <= {401, 429}
    await scene.unharmed()
    assert len(await scene.refusals(action="request.refused")) - before <= 12


async def test_no_answer_and_no_log_holds_a_token(scene: Scene, caplog):
    own = scene.live.hub.token
    async with scene.session.get(f"{scene.url}/openapi.json") as answer:
        paths = [path for path, each in (await answer.json())["paths"].items() if "get" in each]
    told = ""
    for path in paths:
        if path.endswith("/stream"):
            continue
        address = f"{scene.url}{re.sub(r'{.+?}', 'web', path)}"
        async with scene.session.get(address, headers={"Authorization": f"Bearer {own}"}) as answer:
            told += await answer.text()
    told += " ".join(str(vars(each)) for each in caplog.records)

    seeds = re.findall(r"S[AUO][A-Z2-7]{56}", told)
    assert own not in told
    assert "of-vera" not in told
    assert hashlib.sha256(b"of-vera").hexdigest() not in told
    assert seeds == []


async def test_the_trail_tells_of_all_of_it(scene: Scene):
    entries = await scene.refusals()
    text = orjson.dumps([repr(each) for each in entries]).decode()

    assert {"vera", ""} <= {each.actor for each in entries}
    assert all(each.source == "127.0.0.1" for each in entries if each.via != "hub")
    assert "of-vera" not in text
    assert MARK not in text
