"""Who may do what through the API: named tokens, their roles, and what a refusal says."""

from __future__ import annotations

import re

import aiohttp
import pytest

from hub.api.app import create_app
from hub.api.context import Context
from hub.api.security.callers import fingerprint
from hub.domain.access import ACTIONS
from hub.domain.principals import KnownToken, Principal
from hub.domain.records import Pending
from hub.domain.requests import Verb
from hub.metrics import Metrics
from hub.tokens import Tokens
from shared.errors import DocumentError
from tests.fakes.fleetview import START, application, sample
from tests.fakes.memorystore import MemoryStore
from tests.fakes.rollingout import Rolling
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

OWN = "the-hubs-own-token"
HOLDERS = {
    "ann": Principal("ann", ("operator", "sre"), ("ann@example.com",)),
    "vera": Principal("vera", ("viewer",)),
    "sam": Principal("sam", ("viewer", "sre")),
    "ada": Principal("ada", ("admin",)),
}
OPEN = ("/api/v1/hooks/", "/api/v1/login", "/healthz", "/readyz", "/metrics")
"""Reached without a token."""


class Outside:
    """Stands in for the parts that routes hand on to. `written` is what they were asked to do."""

    def __init__(self):
        self.written = []

    def explain(self, application, cluster):
        return {}

    def placement(self, application):
        return {}

    def busy(self):
        return False

    async def preview(self, before, after, applications, *, live):
        raise DocumentError(f"there is no ref {after!r}")

    def tell(self, event):
        """Refusals are told too."""

    async def confirm(self, consents):
        self.written += consents

    async def ask(self, application, asked):
        self.written.append(asked)

    async def hold(self, application, hold):
        self.written.append(hold)

    async def release(self, application, by, reason, cluster, environment):
        self.written.append(by)

    async def sync(self, application):
        self.written.append(application)


class Hub:
    def __init__(self):
        self.outside = Outside()
        self.view = sample()
        self.view.rollouts.put(Rolling().commit("d" * 40))
        tokens = [KnownToken(fingerprint(f"of-{name}"), holder) for name, holder in HOLDERS.items()]
        tokens.append(KnownToken(fingerprint("of-gone"), Principal("gone", ("admin",)), START + 100))
        metrics = Metrics(self.view, "0.1.0")
        store = MemoryStore()
        self.issued = Tokens(lambda: store, lambda: True, self.view.clock)
        context = Context(
            self.view, metrics, *[self.outside] * 6, OWN, "0.1.0", tuple(tokens), self.issued, audit=Trail()
        )
        self.app = create_app(context)
        self.url = ""
        self.session: aiohttp.ClientSession

    async def ask(self, token, method, path, body=None):
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, f"{self.url}{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def hub():
    hub = Hub()
    async with serving(hub.app) as hub.url, aiohttp.ClientSession() as hub.session:
        yield hub


def guarded(app):
    """(method, path), and the role it needs, of every operation that is not open; parameters are filled in."""
    found = {}
    for path, methods in app.openapi()["paths"].items():
        if path.startswith(OPEN) or path.endswith("/stream"):
            continue
        for method, operation in methods.items():
            paths = [path.replace("{verb}", verb) for verb in Verb] if "{verb}" in path else [path]
            role = operation["x-yardarm-role"]
            found |= {(method.upper(), re.sub(r"\{\w+\}", "web", each)): role for each in paths}
    return found


async def test_who_only_looks_gets_no_writing_operation_through(hub):
    previews = ("POST", "/api/v1/previews")
    operations = guarded(hub.app)
    steering = {("POST", f"/api/v1/rollouts/web/{verb}") for verb in Verb}
    assert {previews, ("POST", "/api/v1/confirmations"), ("GET", "/api/v1/summary"), *steering} <= set(operations)

    for (method, path), role in operations.items():
        status, told = await hub.ask("of-vera", method, path, {"reason": "why not"} if method != "GET" else None)
        if role == "viewer" and (method == "GET" or (method, path) == previews):
            assert status not in {401, 403}, path
        else:
            assert (status, told["title"]) == (403, "Forbidden"), path
    assert hub.outside.written == []


async def test_a_role_of_a_team_gives_approvals_and_nothing_else(hub):
    for method, path in guarded(hub.app):
        if method != "GET":
            await hub.ask("of-sam", method, path, {"reason": "it is tested"})

    (asked,) = hub.outside.written
    assert (asked.verb, asked.by, asked.stage, asked.reason) == (Verb.APPROVE, "sam", "prod", "it is tested")


async def test_without_a_token_nothing_but_the_open_routes_answers(hub):
    for method, path in guarded(hub.app):
        async with hub.session.request(method, hub.url + path) as answer:
            assert answer.status == 401, path


async def test_a_refusal_says_which_role_is_needed_and_which_there_is(hub):
    status, told = await hub.ask("of-sam", "POST", "/api/v1/confirmations", {"tokens": ["0" * 32]})

    assert (status, told["title"]) == (403, "Forbidden")
    assert told["detail"] == "this needs the role operator; sam has viewer, sre"
    assert (told["needs"], told["has"]) == ("operator", ["viewer", "sre"])


@pytest.mark.parametrize(("token", "actor"), [("of-ann", "ann"), ("of-ada", "ada"), (OWN, "admin")])
async def test_what_somebody_lets_go_ahead_is_recorded_in_their_name(hub, token, actor):
    pending = Pending("clusters", "0" * 32, ("dev-1", "dev-2"), "most of its clusters", START)
    hub.view.application_changed(application("web", ("dev-1",), pending=(pending,)))
    (waiting,) = [each["token"] for each in (await hub.ask(token, "GET", "/api/v1/confirmations"))[1]["items"]]

    status, told = await hub.ask(token, "POST", "/api/v1/confirmations", {"tokens": [waiting]})

    assert status == 202, told
    assert [consent.actor for consent in hub.outside.written] == [actor]


async def test_an_expired_token_opens_nothing_and_says_so(hub):
    assert (await hub.ask("of-gone", "GET", "/api/v1/summary"))[0] == 200
    hub.view.clock.at = START + 100

    status, told = await hub.ask("of-gone", "GET", "/api/v1/summary")

    assert status == 401
    assert "token of gone has expired" in told["detail"]


@pytest.mark.parametrize("shown", ["", "of-", "of-annn", fingerprint("of-ann"), "é"])
async def test_only_the_token_itself_is_believed(hub, shown):
    assert (await hub.ask(shown, "GET", "/api/v1/summary"))[0] == 401


async def test_a_route_that_does_not_say_what_it_needs_is_for_nobody(hub):
    @hub.app.get("/forgotten")
    async def forgotten():
        return {}

    @hub.app.get("/misspelt", openapi_extra={"x-yardarm-action": "flet.read"})
    async def misspelt():
        return {}

    for path in ("/forgotten", "/misspelt"):
        assert (await hub.ask(OWN, "GET", path))[0] == 403
        assert (await hub.ask("of-nobody", "GET", path))[0] == 401


def test_every_operation_declares_its_action(hub):
    document = hub.app.openapi()
    declared = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            declared[method, path] = operation.get("x-yardarm-action")
            secured = operation.get("security") == [{"token": []}]
            assert secured != (operation.get("x-yardarm-action") == "open"), path

    assert set(declared.values()) <= {*ACTIONS, "open"}
    assert {path for (_, path), action in declared.items() if action == "open"} == {
        "/healthz", "/readyz", "/metrics", "/api/v1/login", "/api/v1/hooks/{provider}",
    }  # fmt: skip
