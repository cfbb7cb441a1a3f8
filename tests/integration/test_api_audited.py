"""What gets into the audit trail by itself when somebody uses the API, and what does not."""

from __future__ import annotations

import aiohttp
import pytest

from hub.api.app import create_app
from hub.api.context import Context
from hub.api.security import fingerprint
from hub.domain.auditing import Result, Via
from hub.domain.principals import KnownToken, Principal
from hub.metrics import Metrics
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

    async def sync(self, application):
        return "looks at it"

    def tell(self, event):
        """The history is not what is looked at here."""

    async def ask(self, token, method, path, body=None):
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, f"{self.url}{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def hub():
    hub = Hub()
    async with serving(hub.app) as hub.url, aiohttp.ClientSession() as hub.session:
        yield hub


async def test_who_only_reads_leaves_nothing(hub):
    assert (await hub.ask("of-vera", "GET", "/api/v1/summary"))[0] == 200
    assert (await hub.ask("of-vera", "GET", "/api/v1/applications/none"))[0] == 404

    assert hub.trail.entries == []


async def test_a_change_is_recorded_with_who_and_from_where_before_it_is_answered(hub):
    status, _ = await hub.ask("of-ann", "POST", "/api/v1/applications/web/sync", {"reason": "now"})
    (entry,) = hub.trail.entries

    assert status == 202
    assert (entry.actor, entry.roles, entry.source) == ("ann", ("operator", "sre"), "127.0.0.1")
    assert (entry.result, entry.via) == (Result.OK, Via.API)


async def test_a_stranger_is_recorded_with_the_reason_of_the_refusal_and_without_what_he_showed(hub):
    guess = "guess-at-a-token"
    status, told = await hub.ask(guess, "GET", "/api/v1/summary?token=also-secret")
    (entry,) = hub.trail.entries

    assert status == 401
    assert (entry.action, entry.target, entry.actor) == ("request.refused", "GET /api/v1/summary", "")
    assert (entry.result, entry.detail) == (Result.REFUSED, told["detail"])
    assert guess not in repr(entry)
    assert "also-secret" not in repr(entry)


async def test_who_may_not_is_recorded_by_name(hub):
    status, _ = await hub.ask("of-vera", "POST", "/api/v1/rollouts/web/approve", {"reason": "let me"})
    (entry,) = hub.trail.entries

    assert status == 403
    assert (entry.actor, entry.result) == ("vera", Result.REFUSED)
    assert "vera has viewer" in entry.detail


async def test_a_token_that_has_expired_is_recorded_with_its_holder(hub):
    hub.view.clock.at += 1000

    await hub.ask("of-gone", "GET", "/api/v1/summary")

    (entry,) = hub.trail.entries
    assert (entry.actor, entry.result) == ("gone", Result.REFUSED)


async def test_what_fails_is_recorded_as_failed(hub):
    async def fails(application):
        raise RuntimeError("boom")

    hub.sync = fails
    status, _ = await hub.ask(OWN, "POST", "/api/v1/applications/web/sync")
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
