"""What a caller with a grant for one project in one environment sees and does: asked of every operation there is."""

from __future__ import annotations

import asyncio
import json
import re

import aiohttp
import pytest

from hub.api.app import create_app
from hub.api.context import Context
from hub.api.security.callers import fingerprint
from hub.domain.principals import Grant, KnownToken, Principal
from hub.domain.records import Pending, RepositoryInfo
from hub.domain.requests import Verb
from hub.metrics import Metrics
from hub.tokens import Tokens
from hub.view import View
from shared.messages import Phase
from shared.model import Health, Problem
from tests.fakes.fleetview import (
    START,
    FakeClock,
    application,
    assignment,
    drift,
    event,
    fleet,
    heartbeat,
    report,
    sample,
)
from tests.fakes.memorystore import MemoryStore
from tests.fakes.rollingout import Rolling
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

OWN = "the-hubs-own-token"
CLUSTERS = {"dev-1": "dev", "dev-2": "dev", "vault-1": "secretprod", "lone-vault": ""}
HIDDEN = re.compile("vault|secret|ledger")
"""In the names of everything that is out of sight."""


TOKENS = {"web": "1" * 32, "ledger": "2" * 32}


def grants(*given):
    return tuple(Grant(*each) for each in given)


HOLDERS = {
    "wendy": Principal("wendy", grants=grants(("operator", ("web",), ("dev",)))),
    "wes": Principal("wes", grants=grants(("operator", ("web",)))),
    "dev": Principal("dev", grants=grants(("viewer", ("*",), ("dev",)))),
    "wanda": Principal("wanda", ("sre",), grants=grants(("admin", ("web",), ("dev",)))),
    "none": Principal("none", ("sre",)),
}


class Outside:
    def __init__(self):
        self.done = []

    def explain(self, application, cluster):
        return {"application": application, "cluster": cluster}

    def placement(self, application):
        return {
            "application": application,
            "clusters": [{"cluster": name, "environment": CLUSTERS[name]} for name in CLUSTERS],
        }

    def busy(self):
        return False

    def role(self):
        return "leader"

    def missing(self):
        return {}

    def tell(self, event):
        """Refusals are told too."""

    async def confirm(self, consents):
        self.done += consents

    async def ask(self, application, asked):
        self.done.append(asked)

    async def hold(self, application, hold):
        self.done.append(hold)

    async def sync(self, application):
        self.done.append(application)
        return "looked at"


def filled() -> View:
    view = View(FakeClock())
    problems = (Problem("error", "in ledger", application="ledger"), Problem("error", "of the secret fleet"))
    repositories = (RepositoryInfo("https://git.example.com/fleet"), RepositoryInfo("https://git.example.com/ledger"))
    view.fleet_changed(fleet(CLUSTERS, problems=problems, repositories=repositories))
    for name in ("web", "ledger"):
        pending = (Pending("clusters", TOKENS[name], ("vault-1",), "most of its clusters", START),)
        view.application_changed(application(name, tuple(CLUSTERS), project=name, pending=pending))
        view.assigned(assignment(cluster, name) for cluster in CLUSTERS)
        for cluster in CLUSTERS:
            view.beat(heartbeat(cluster))
            failed = {"phase": Phase.FAILED, "reason": f"{name} on {cluster} failed"} if cluster != "dev-2" else {}
            view.reported(report(cluster, name, drift=(drift(application=name),), **failed))
            view.event(
                event(f"{name}-{cluster}", START + 1, cluster=cluster, application=name, message=f"{name} on {cluster}")
            )
    view.event(event("fleet", START, message="of the secret fleet"))
    return view


class Hub:
    def __init__(self, view):
        self.outside, self.view, store = Outside(), view, MemoryStore()
        tokens = tuple(KnownToken(fingerprint(f"of-{name}"), holder) for name, holder in HOLDERS.items())
        issued = Tokens(lambda: store, lambda: True, view.clock)
        metrics = Metrics(view, "0.1.0")
        self.app = create_app(Context(view, metrics, *[self.outside] * 6, OWN, "0.1.0", tokens, issued, audit=Trail()))
        self.url = ""
        self.session: aiohttp.ClientSession

    async def ask(self, by, method, path, body=None):
        headers = {"Authorization": f"Bearer {by}"}
        async with self.session.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, by, path):
        status, told = await self.ask(f"of-{by}", "GET", path)
        assert status == 200, told
        return told


@pytest.fixture
async def hub():
    hub = Hub(filled())
    async with serving(hub.app) as hub.url, aiohttp.ClientSession() as hub.session:
        yield hub


def filled_in(app, names):
    """(method, path) of every operation that is not open, the named parameters filled in."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if operation["x-yardarm-action"] != "open" and not path.endswith("/stream"):
                for verb in Verb if "{verb}" in path else [""]:
                    known = {"verb": verb, **names}
                    if path.startswith("/api/v1/clusters/"):
                        known["name"] = names.get("cluster", "x")
                    filled = re.sub(r"\{(\w+)\}", lambda found, known=known: known.get(found[1], "x"), path)
                    yield method.upper(), filled.removeprefix("/api/v1/")


@pytest.mark.parametrize("by", ["wendy", "wanda"])
async def test_no_operation_shows_anything_of_other_projects_or_environments(hub, by):
    seen = {"name": "web", "application": "web", "cluster": "dev-1", "namespace": "web"}
    shown = set()
    for method, path in filled_in(hub.app, seen):
        status, told = await hub.ask(f"of-{by}", method, path, {"reason": "why not"} if method == "POST" else None)
        assert not HIDDEN.search(json.dumps(told)), (method, path)
        if status == 200:
            shown.add(path)

    assert shown >= {
        "summary", "clusters", "clusters/dev-1", "environments", "applications", "applications/web", "units", "drift",
        "units/dev-1/web/web", "events", "problems", "repositories", "applications/web/explain", "dora",
        "applications/web/trace", "confirmations", "self", "rollouts",
    }  # fmt: skip


@pytest.mark.parametrize("names", [("ledger", "dev-1"), ("web", "vault-1"), ("ledger", "vault-1")])
async def test_what_is_out_of_sight_answers_as_what_is_not_there(hub, names):
    application, cluster = names
    there = {"name": application, "application": application, "cluster": cluster, "namespace": application}
    absent = {"name": "nihil", "application": "nihil", "cluster": "nihil-1", "namespace": "nihil"}
    for (method, path), (_, other) in zip(filled_in(hub.app, there), filled_in(hub.app, absent), strict=True):
        named = [name for name in (application, cluster) if name in path.split("/") and name not in ("web", "dev-1")]
        if not named:
            continue
        body = {"reason": "why not"} if method == "POST" else None
        hidden, missing = await hub.ask("of-wendy", method, path, body), await hub.ask("of-wendy", method, other, body)
        assert hidden[0] == missing[0] >= 400, path
        said = [
            re.sub("ledger|vault-1|dev-1|web|nihil-1|nihil", "NAME", json.dumps(each[1])) for each in (hidden, missing)
        ]
        assert said[0] == said[1], path
    assert hub.outside.done == []


async def test_counters_are_of_what_is_seen(hub):
    everything, wendy, dev = (
        await hub.ask(OWN, "GET", "summary"),
        await hub.get("wendy", "summary"),
        await hub.get("dev", "summary"),
    )

    assert everything[1]["units"]["total"] == 8
    assert (wendy["units"]["total"], wendy["units"]["Failed"], wendy["drifted"]) == (2, 1, 2)
    assert (dev["units"]["total"], dev["units"]["Failed"]) == (4, 2)
    assert (wendy["clusters"]["total"], wendy["applications"], wendy["environments"]) == (2, 1, 1)
    assert wendy["reasons"][0] == {"state": "Failed", "reason": "web on dev-1 failed", "units": 1}
    (application,) = (await hub.get("wendy", "applications"))["items"]
    assert (application["units"]["total"], application["clusters"]) == (2, 2)
    assert [each["units"]["total"] for each in (await hub.get("wendy", "clusters"))["items"]] == [1, 1]
    (environment,) = (await hub.get("dev", "environments"))["items"]
    assert environment["units"]["total"] == 4
    assert (await hub.get("wes", "summary"))["units"]["total"] == 4


async def test_pages_of_what_is_seen_are_complete(hub):
    found, cursor = [], ""
    while True:
        page = await hub.get("wendy", f"units?limit=1&cursor={cursor}")
        found += [(each["cluster"], each["application"]) for each in page["items"]]
        cursor = page["next"]
        if not cursor:
            break

    assert found == [("dev-1", "web"), ("dev-2", "web")]


async def test_an_entity_tag_of_one_caller_says_nothing_to_another(hub):
    async def tag_of(by, known=""):
        headers = {"Authorization": f"Bearer {by}", "If-None-Match": known}
        async with hub.session.get(f"{hub.url}/api/v1/units", headers=headers) as answer:
            return answer.status, answer.headers["ETag"]

    _, tag = await tag_of("of-wendy")

    assert (await tag_of("of-wendy", tag))[0] == 304
    assert (await tag_of("of-wes", tag))[0] == (await tag_of(OWN, tag))[0] == 200


async def test_the_stream_tells_only_what_is_seen(hub):
    headers = {"Authorization": "Bearer of-wendy"}
    async with hub.session.get(f"{hub.url}/api/v1/stream", headers=headers) as answer:
        async with asyncio.timeout(10):
            await answer.content.readuntil(b"\n\n")
            for cluster in ("vault-1", "dev-1"):
                for name in ("ledger", "web"):
                    hub.view.reported(report(cluster, name, at=START + 20, phase=Phase.APPLIED, health=Health.HEALTHY))
                    hub.view.event(
                        event(
                            f"later-{name}-{cluster}",
                            START + 20,
                            cluster=cluster,
                            application=name,
                            message=f"{name} on {cluster}",
                        )
                    )
            hub.view.application_removed("ledger")
            hub.view.fleet_changed(fleet({**CLUSTERS, "vault-2": "secretprod"}))
            told = b""
            while b"event: summary" not in told:
                told += await answer.content.readuntil(b"\n\n")

    assert b'"cluster":"dev-1"' in told
    assert b"event: reload" in told  # something is gone, and what it was is not said
    assert not HIDDEN.search(told.decode())


async def test_the_stream_ends_with_the_token(hub):
    made = (await hub.ask(OWN, "POST", "tokens", {"name": "screen", "grants": [{"role": "viewer"}]}))[1]
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with hub.session.get(f"{hub.url}/api/v1/stream", headers=headers) as answer, asyncio.timeout(10):
        await answer.content.readuntil(b"\n\n")
        await hub.ask(OWN, "DELETE", f"tokens/{made['id']}")
        hub.view.reported(report("dev-1", "web", at=START + 20))
        assert b"event: unit" not in await answer.content.read()


async def test_steering_needs_the_role_wherever_it_is_felt(hub):
    async def hold(by, **scope):
        return (await hub.ask(f"of-{by}", "POST", "applications/web/hold", {"reason": "it is tested", **scope}))[0]

    assert await hold("wendy", environment="dev") == await hold("wendy", cluster="dev-1") == 202
    assert await hold("wendy") == await hold("dev", environment="dev") == 403
    assert await hold("wendy", environment="secretprod") == 404
    assert await hold("wes") == 202
    assert (await hub.ask("of-wendy", "POST", "applications/web/sync"))[0] == 202
    assert (await hub.ask("of-wendy", "POST", "previews", {"to": "main"}))[0] == 403
    _, refused = await hub.ask("of-wendy", "POST", "applications/web/hold", {"reason": "all of it"})
    assert refused["detail"] == (
        "this needs the role operator in the project web in all environments; "
        "wendy has operator in project web and environment dev"
    )
    (waiting,) = (await hub.get("wes", "confirmations"))["items"]
    assert (await hub.ask("of-wendy", "POST", "confirmations", {"tokens": [waiting["token"]]}))[0] == 409
    assert (await hub.ask("of-wes", "POST", "confirmations", {"tokens": [waiting["token"]]}))[0] == 202


async def test_without_any_grant_nothing_opens(hub):
    for method, path in filled_in(hub.app, {}):
        assert (await hub.ask("of-none", method, path, {} if method == "POST" else None))[0] == 403, path


async def test_a_rollout_is_steered_by_whom_all_its_environments_are_given():
    view = sample()
    view.application_changed(application("web", ("dev-1",), project="web"))
    rolling = Rolling()
    view.rollouts.put(rolling.commit("d" * 40))
    hub = Hub(view)
    async with serving(hub.app) as hub.url, aiohttp.ClientSession() as hub.session:
        whole, partly = await hub.get("wes", "rollouts/web"), await hub.get("wendy", "rollouts/web")

        assert {each["name"] for each in whole["stages"]} == {each["name"] for each in partly["stages"]}
        assert "prod-1" not in json.dumps(partly)
        clusters = (await hub.get("wendy", f"rollouts/web/{whole['id']}/clusters"))["items"]
        assert {each["environments"][0] for each in clusters} == {"dev"}
        assert (await hub.ask("of-wendy", "POST", "rollouts/web/pause", {"reason": "lunch"}))[0] == 403
        assert (await hub.ask("of-wes", "POST", "rollouts/web/pause", {"reason": "lunch"}))[0] == 202


async def test_nobody_gives_away_more_than_they_have(hub):
    async def make(by, name, **more):
        body = {"name": name, "grants": [{"role": "admin", "projects": ["web"], "environments": ["dev"]}], **more}
        return await hub.ask(by, "POST", "tokens", body)

    assert (await make("of-wes", "wes.ci"))[0] == 403
    status, made = await make("of-wanda", "wanda.ci", teams=["sre"])
    assert status == 201, made
    for name, more in {
        "wanda.x": {"grants": [{"role": "viewer"}]},
        "wanda.y": {"grants": [{"role": "viewer", "projects": ["web"], "environments": ["dev", "secretprod"]}]},
        "wanda.z": {"teams": ["board"]},
        "ann": {},
    }.items():
        assert (await make("of-wanda", name, **more))[0] == 403, name
    assert (await make(OWN, "ann", teams=["board"]))[0] == 201
    assert [each["name"] for each in (await hub.get("wanda", "tokens"))["items"]] == ["ann", "wanda.ci"]

    told = await hub.ask(made["token"], "GET", "self")
    assert (told[1]["name"], told[1]["teams"]) == ("wanda.ci", ["sre"])
    assert made["token"] not in json.dumps(await hub.get("wanda", "tokens"))
    assert (await hub.ask("of-wes", "DELETE", f"tokens/{made['id']}"))[0] == 403
    assert (await hub.ask(made["token"], "DELETE", f"tokens/{made['id']}"))[0] == 200
    assert (await hub.ask(made["token"], "GET", "self"))[0] == 401
    assert (await hub.ask(OWN, "DELETE", f"tokens/{made['id']}"))[0] == 404
