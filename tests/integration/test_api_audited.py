"""What gets into the audit trail by itself when somebody uses the API, and what does not."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import aiohttp
import pytest
from typer.testing import CliRunner

from hub.api.app import create_app
from hub.api.context import Context
from hub.api.security.callers import fingerprint
from hub.cli.trouble import Trouble
from hub.commands import app
from hub.domain.auditing import Entry, Result, Via
from hub.domain.principals import KnownToken, Principal
from hub.metrics import Metrics
from shared.errors import InvalidSignature
from tests.fakes.fleetview import START, sample
from tests.fakes.rollingout import Rolling
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

OWN = "the-hubs-own-token"
HOLDERS = {"ann": ("operator", "sre"), "vera": ("viewer",)}


class Hub:
    """The API, and what it hands on to."""

    def __init__(self):
        self.view, self.trail = sample(), Trail()
        self.view.rollouts.put(Rolling().commit("d" * 40))
        tokens = [KnownToken(fingerprint(f"of-{name}"), Principal(name, roles)) for name, roles in HOLDERS.items()]
        tokens.append(KnownToken(fingerprint("of-gone"), Principal("gone", ("admin",)), START + 100))
        metrics = Metrics(self.view, "0.1.0")
        self.app = create_app(Context(self.view, metrics, *[self] * 6, OWN, "0.1.0", tuple(tokens), audit=self.trail))
        self.url = ""
        self.session: aiohttp.ClientSession

    async def ask(self, application, asked):
        """Taken."""

    async def hold(self, application, hold):
        """Taken."""

    async def sync(self, application):
        return "looks at it"

    def tell(self, event):
        """The history is not what is looked at here."""

    async def request(self, token, method, path, body=None):
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, f"{self.url}{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def hub():
    hub = Hub()
    async with serving(hub.app) as hub.url, aiohttp.ClientSession() as hub.session:
        yield hub


async def test_who_only_reads_leaves_nothing(hub):
    assert (await hub.request("of-vera", "GET", "/api/v1/summary"))[0] == 200
    assert (await hub.request("of-vera", "GET", "/api/v1/applications/none"))[0] == 404

    assert hub.trail.entries == []


async def test_a_change_is_recorded_with_who_and_from_where_before_it_is_answered(hub):
    status, _ = await hub.request("of-ann", "POST", "/api/v1/applications/web/sync", {"reason": "now"})
    (entry,) = hub.trail.entries

    assert status == 202
    assert (entry.actor, entry.roles, entry.source) == ("ann", ("operator", "sre"), "127.0.0.1")
    assert (entry.result, entry.via) == (Result.OK, Via.API)


async def test_a_stranger_is_recorded_with_the_reason_of_the_refusal_and_without_what_he_showed(hub):
    guess = "guess-at-a-token"
    status, told = await hub.request(guess, "GET", "/api/v1/summary?token=also-secret")
    (entry,) = hub.trail.entries

    assert status == 401
    assert (entry.action, entry.target, entry.actor) == ("request.refused", "GET /api/v1/summary", "")
    assert (entry.result, entry.detail) == (Result.REFUSED, told["detail"])
    assert guess not in repr(entry)
    assert "also-secret" not in repr(entry)


async def test_who_may_not_is_recorded_by_name(hub):
    status, _ = await hub.request("of-vera", "POST", "/api/v1/rollouts/web/approve", {"reason": "let me"})
    (entry,) = hub.trail.entries

    assert status == 403
    assert (entry.actor, entry.result) == ("vera", Result.REFUSED)
    assert "vera has viewer" in entry.detail


async def test_a_token_that_has_expired_is_recorded_with_its_holder(hub):
    hub.view.clock.at += 1000

    await hub.request("of-gone", "GET", "/api/v1/summary")

    (entry,) = hub.trail.entries
    assert (entry.actor, entry.result) == ("gone", Result.REFUSED)


async def test_what_fails_is_recorded_as_failed(hub):
    async def fails(application):
        raise RuntimeError("boom")

    hub.sync = fails
    status, _ = await hub.request(OWN, "POST", "/api/v1/applications/web/sync")
    (entry,) = hub.trail.entries

    assert status == 500
    assert (entry.actor, entry.result) == ("admin", Result.FAILED)


@pytest.mark.parametrize(
    ("headers", "via"), [({"User-Agent": "yardarm"}, Via.CLI), ({"Sec-Fetch-Site": "same-origin"}, Via.PAGE)]
)
async def test_where_a_request_was_made_is_told(hub, headers, via):
    async with hub.session.post(f"{hub.url}/api/v1/applications/web/sync", headers=headers) as answer:
        assert answer.status == 401

    assert hub.trail.entries[0].via is via


async def test_the_trace_of_a_request_is_kept_if_it_is_one(hub):
    for given in (f"00-{'a' * 32}-{'b' * 16}-01", "00-<script>-b-01"):
        async with hub.session.get(f"{hub.url}/api/v1/summary", headers={"traceparent": given}):
            pass

    assert [entry.trace for entry in hub.trail.entries] == ["a" * 32, ""]


async def test_what_is_asked_of_rollouts_and_applications_is_told_in_their_words(hub):
    asked = [
        ("ann", "rollouts/web/pause", {"reason": "lunch"}, "rollout.pause"),
        ("ann", "applications/web/hold", {"reason": "sales weekend"}, "hold.set"),
        ("vera", "applications/web/release", {}, "hold.release"),
        ("ann", "rollouts/web/rollback", {"reason": "no", "to": "nothing"}, "rollout.rollback"),
    ]
    for who, path, body, _ in asked:
        await hub.request(f"of-{who}", "POST", f"/api/v1/{path}", body)
    pause, hold, release, rollback = hub.trail.entries

    assert [entry.action for entry in hub.trail.entries] == [action for *_, action in asked]
    assert {entry.target for entry in hub.trail.entries} == {"web"}
    assert (pause.actor, pause.reason, pause.result) == ("ann", "lunch", Result.OK)
    assert "pause" in pause.detail
    assert "sales weekend" in hold.reason
    assert (release.actor, release.result) == ("vera", Result.REFUSED)
    assert "needs the role operator" in release.detail
    assert rollback.result is Result.REFUSED
    assert "has completed no rollout 'nothing'" in rollback.detail


async def test_a_dry_run_changes_nothing_and_is_not_recorded_unless_somebody_may_not(hub):
    for who in ("ann", "vera"):
        await hub.request(f"of-{who}", "POST", "/api/v1/rollouts/web/pause", {"dryRun": True})

    assert [entry.actor for entry in hub.trail.entries] == ["vera"]


@pytest.mark.parametrize(("genuine", "result"), [(True, Result.OK), (False, Result.REFUSED)])
async def test_a_webhook_is_recorded_whether_it_is_genuine_or_not(hub, genuine, result):
    async def received(provider, headers, body):
        if not genuine:
            raise InvalidSignature("the signature is not that of any secret")
        return "looking at 1 repositories"

    hub.received = received
    body = {"secret-of-a-body": "x"}
    async with hub.session.post(f"{hub.url}/api/v1/hooks/github", json=body) as answer:
        assert answer.status == (202 if genuine else 401)
    (entry,) = hub.trail.entries

    assert (entry.action, entry.target, entry.via, entry.result) == ("webhook.receive", "github", Via.GIT, result)
    assert entry.actor == ("github" if genuine else "")
    assert entry.detail == ("looking at 1 repositories" if genuine else "the signature is not that of any secret")
    assert "secret-of-a-body" not in repr(entry)


async def test_only_admins_read_the_trail(hub):
    status, told = await hub.request("of-ann", "GET", "/api/v1/audit")

    assert (status, told["needs"]) == (403, "admin")
    status, told = await hub.request(OWN, "GET", "/api/v1/audit?result=refused&actor=ann")
    (entry,) = told["items"]
    assert status == 200
    assert (entry["action"], entry["target"], entry["number"]) == ("request.refused", "GET /api/v1/audit", 1)
    assert entry["roles"] == ["operator", "sre"]
    assert (entry["reason"], entry["count"], entry["hub"]) == ("", 1, "")


async def test_the_trail_is_read_by_page_in_both_directions(hub):
    for number in range(1, 6):
        await hub.trail.record(Entry(f"e{number}", START + number, "hold.set", "ann"))

    async def ids(query):
        told = (await hub.request(OWN, "GET", f"/api/v1/audit?{query}"))[1]
        return [each["id"] for each in told["items"]], told["next"]

    assert await ids("limit=2") == (["e5", "e4"], "4")
    assert await ids("limit=2&cursor=4") == (["e3", "e2"], "2")
    assert await ids("limit=2&cursor=2") == (["e1"], None)
    assert await ids("after=3") == (["e4", "e5"], "5")
    assert await ids("after=5") == ([], "5")
    assert await ids(f"since={START + 2}&until={START + 4}") == (["e3", "e2"], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=100000", "since=never", "cursor=-1", "result=maybe", "after=1e99"])
async def test_what_cannot_be_asked_of_the_trail_is_said(hub, query):
    assert (await hub.request(OWN, "GET", f"/api/v1/audit?{query}"))[0] == 422


async def yardarm(hub, *words):
    env = {"YARDARM_HUB": hub.url, "YARDARM_TOKEN": OWN, "COLUMNS": "200"}
    result = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *words], env=env)
    if isinstance(result.exception, Trouble):
        return result.exception.code, str(result.exception)
    return result.exit_code, result.output


async def test_the_command_shows_a_table_and_exports_lines(hub):
    await hub.trail.record(Entry("e1", START, "login", "ann", source="::1", via=Via.PAGE))
    refused = {"result": Result.REFUSED, "source": "203.0.113.9", "via": Via.API, "count": 490}
    await hub.trail.record(Entry("e2", START + 1, "request.refused", target="GET /x", detail="no", **refused))

    code, table = await yardarm(hub)
    assert code == 0
    assert [line.split("   ")[0] for line in table.splitlines()] == [
        "TIME",
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:21Z",
    ]
    assert "(unknown)" in table
    assert "refused (490 times)" in table

    code, lines = await yardarm(hub, "--format", "jsonl", "--actor", "ann")
    assert [json.loads(line)["id"] for line in lines.splitlines()] == ["e1"]
    code, lines = await yardarm(hub, "--format", "cloudevents", "--since", "2023-11-14T22:13:20.5Z")
    (event,) = map(json.loads, lines.splitlines())
    assert (event["type"], event["source"]) == ("dev.yardarm.audit.request.refused", hub.url)
    assert json.loads((await yardarm(hub, "-o", "json", "--action", "login"))[1])[0]["id"] == "e1"


@pytest.mark.parametrize(
    "words", [("--since", "yesterday"), ("-o", "json", "--follow"), ("-o", "json", "--format", "jsonl")]
)
async def test_the_command_says_what_does_not_go_together(hub, words):
    code, said = await yardarm(hub, *words)

    assert code == 2
    assert words[0] in said


async def test_following_goes_on_with_what_comes(hub):
    await hub.trail.record(Entry("e1", START, "login", "ann"))
    env = {**os.environ, "YARDARM_HUB": hub.url, "YARDARM_TOKEN": OWN}
    command = [sys.executable, "-m", "hub", "audit", "--format", "jsonl", "--follow"]
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            first = json.loads(await process.stdout.readline())
            await hub.trail.record(Entry("e2", START + 1, "hold.set", "ann"))
            second = json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()

    assert [first["id"], second["id"]] == ["e1", "e2"]
