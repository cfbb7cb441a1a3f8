"""The API over real HTTP, asked as scripts ask it."""

from __future__ import annotations

import asyncio
import io

import aiohttp
import orjson
import pytest

from hub.api.app import create_app
from hub.api.context import Context
from hub.api.models.applications import Application, ApplicationDetail, Trace
from hub.api.models.common import Page
from hub.api.models.common import Problem as ToldProblem
from hub.api.models.fleet import Cluster, Environment, Summary
from hub.api.models.history import Event
from hub.api.models.units import Drift, Unit, UnitDetail
from hub.cli import explaining
from hub.metrics import Metrics
from shared.errors import InvalidMessage, InvalidSignature
from shared.messages import Blocker, Phase
from shared.model import Health, ObjectRef, Place, Problem
from tests.fakes.fleetview import START, application, assignment, drift, event, fleet, report, sample
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

TOKEN = "a-test-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Explainer:
    def explain(self, application, cluster):
        if cluster == "prod-2":
            raise LookupError("prod-2 has not been placed yet")
        return {"application": application, "cluster": cluster, "selected": True}

    def placement(self, application):
        return {"application": application, "clusters": []}


class Webhooks:
    def __init__(self):
        self.bodies = []

    async def received(self, provider, headers, body):
        if headers.get("x-hub-signature-256") == "wrong":
            raise InvalidSignature("the signature is not the one of the configured secret")
        if body == b"nonsense":
            raise InvalidMessage("not JSON")
        self.bodies.append((provider, body))
        return "looking at 1 repository"


class Readiness:
    def __init__(self):
        self.parts = {}

    def role(self):
        return "leader"

    def missing(self):
        return self.parts


class Hub:
    def __init__(self):
        self.view = sample()
        self.metrics = Metrics(self.view, "0.1.0")
        self.webhooks = Webhooks()
        self.readiness = Readiness()
        self.trail = Trail()
        context = Context(
            self.view, self.metrics, Explainer(), self.webhooks, self.readiness, self, self, self, TOKEN, "0.1.0",
            audit=self.trail,
        )  # fmt: skip
        self.app = create_app(context)
        self.url = ""
        self.session: aiohttp.ClientSession

    async def ask(self, path, status=200, **query):
        async with self.session.get(f"{self.url}/api/v1/{path}", params=query) as answer:
            body = await answer.read()
            assert answer.status == status, body
            return orjson.loads(body)


@pytest.fixture
async def hub():
    hub = Hub()
    async with serving(hub.app) as hub.url, aiohttp.ClientSession(headers=BEARER) as hub.session:
        yield hub


async def messages(answer):
    """The (name, id, data) of a stream."""
    name = identity = data = None
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if not line and data is not None:
            yield name, identity, orjson.loads(data)
            name = identity = data = None
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("id: "):
            identity = line[4:]
        elif line.startswith("data: "):
            data = line[6:]


SHAPES = {
    "summary": Summary,
    "clusters": Page[Cluster],
    "clusters/dev-1": Cluster,
    "environments": Page[Environment],
    "applications": Page[Application],
    "applications/web": ApplicationDetail,
    "applications/web/trace": Trace,
    "applications/web/problems": Page[ToldProblem],
    "units": Page[Unit],
    "units/dev-2/web/web": UnitDetail,
    "units/prod-2/web/web": UnitDetail,
    "drift": Page[Drift],
    "events": Page[Event],
    "problems": Page[ToldProblem],
}


async def test_every_answer_has_the_documented_shape(hub):
    problem = Problem("error", "unknown field", Place("apps/web.yaml", 3, "spec.foo"), "did you mean spec.bar?", "web")
    hub.view.application_changed(application("web", ("dev-1",), problems=(problem,)))

    for path, shape in SHAPES.items():
        shape.model_validate(await hub.ask(path))


async def test_the_summary_counts_what_is_there(hub):
    found = await hub.ask("summary")

    assert found["clusters"] == {"total": 6, "stale": 0, "waiting": 1}
    assert found["applications"] == 3
    assert found["units"]["total"] == 18
    assert (found["units"]["Failed"], found["units"]["Drifted"], found["units"]["Waiting"]) == (1, 1, 3)
    assert found["drifted"] == 1
    assert found["reasons"][0]["reason"].startswith("no agent has connected")


async def test_lists_are_paged_without_loss_or_repeat(hub):
    seen = []
    cursor = ""
    while cursor is not None:
        found = await hub.ask("units", limit=4, cursor=cursor)
        seen += [(unit["cluster"], unit["application"]) for unit in found["items"]]
        cursor = found["next"]

    assert seen == sorted(seen)
    assert len(seen) == len(set(seen)) == 18


@pytest.mark.parametrize("path", ["clusters", "applications", "units", "drift", "events", "problems"])
async def test_every_list_pages_alike(hub, path):
    hub.view.fleet_changed(
        fleet({"dev-1": "dev"}, problems=tuple(Problem("warning", f"finding {n}") for n in range(3)))
    )
    hub.view.reported(report("dev-1", "web", at=START + 20, drift=(drift(), drift(START + 6, START + 7))))
    whole = (await hub.ask(path))["items"]
    seen = []
    cursor = ""
    while cursor is not None:
        found = await hub.ask(path, limit=1, cursor=cursor)
        seen += found["items"]
        cursor = found["next"]

    assert seen == whole
    assert len(whole) > 1


async def test_units_are_filtered(hub):
    assert len((await hub.ask("units", cluster="dev-1"))["items"]) == 3
    assert len((await hub.ask("units", application="web", environment="dev"))["items"]) == 2
    assert [unit["cluster"] for unit in (await hub.ask("units", state="failed,Drifted"))["items"]] == [
        "dev-2",
        "stage-1",
    ]
    assert (await hub.ask("units", cluster="nowhere"))["items"] == []


async def test_a_unit_tells_objects_drift_and_how_far_it_came(hub):
    unit = await hub.ask("units/dev-2/web/web")

    assert unit["state"] == "Drifted"
    assert unit["objects"][0]["object"]["kind"] == "Deployment"
    assert unit["drift"][0]["fields"][0] == {
        "path": "/spec/replicas", "want": 2, "have": 5, "manager": "kubectl-edit", "at": START + 5,
    }  # fmt: skip
    assert [one["status"] for one in unit["conditions"]] == ["True", "True", "True", "True", "False"]


async def test_the_trace_has_trouble_first(hub):
    found = await hub.ask("applications/api/trace")

    assert [row["cluster"] for row in found["clusters"]][:2] == ["stage-1", "prod-2"]
    assert found["trace"] == "a" * 32
    assert found["times"]["detected"] == START - 1
    assert found["total"] == 6
    assert found["clusters"][-1]["seconds"] == 3.0


async def test_errors_teach(hub):
    assert "did you mean web?" in (await hub.ask("applications/webb", 404))["detail"]
    assert "there are Failed, Blocked" in (await hub.ask("units", 422, state="Sad"))["detail"]
    assert "limit" in (await hub.ask("units", 422, limit=0))["detail"]
    assert "next" in (await hub.ask("units", 400, cursor="xxx"))["detail"]
    assert "has no revision" in (await hub.ask("applications/web/trace", 404, revision="beef"))["detail"]
    assert "prod-2" in (await hub.ask("applications/web/explain", 404, cluster="prod-2"))["detail"]
    async with hub.session.get(f"{hub.url}/api/v1/nothing") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"


async def test_a_unit_says_what_is_in_its_way(hub):
    job = ObjectRef("batch/v1", "Job", "web", "migrate")
    stuck = (
        Blocker("the hook failed", START + 3, "delete it to have it run again", object=job, waiting=4),
        Blocker("api is Applying", START + 4, "api has to be healthy", unit="api"),
    )
    hub.view.reported(report("dev-1", at=START + 20, phase=Phase.FAILED, blockers=stuck))

    found = await hub.ask("units/dev-1/web/web")

    UnitDetail.model_validate(found)
    assert [(each["since"], each["waiting"], each["application"]) for each in found["blockers"]] == [
        (START + 3, 4, ""),
        (START + 4, 0, "api"),
    ]
    assert found["blockers"][0]["object"] == {
        "apiVersion": "batch/v1", "kind": "Job", "namespace": "web", "name": "migrate",
    }  # fmt: skip
    explained = {"verdict": "", "reasons": [], "application": "web", "selected": True, "values": []}
    table = list(explaining.lines(explained, [found], START + 63))[-1]
    assert table.rows[0] == ("Job web/migrate", "1m", "the hook failed", "delete it to have it run again", "4")
    assert table.rows[1][0] == "application api"


async def test_explain_is_asked_of_the_planner(hub):
    found = await hub.ask("applications/web/explain", cluster="dev-1")
    every = await hub.ask("applications/web/explain")

    assert found == {"application": "web", "cluster": "dev-1", "selected": True}
    assert every == {"application": "web", "clusters": []}


async def test_only_the_token_opens_the_api(hub):
    async with aiohttp.ClientSession() as stranger:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": "Bearer é"},
        ):
            for path, methods in hub.app.openapi()["paths"].items():
                hub.view.clock.at += 120.0  # wrong tokens are taken slowly
                for method, operation in methods.items():
                    if operation["x-yardarm-action"] == "open":
                        continue
                    async with stranger.request(method, hub.url + path, headers=headers) as answer:
                        assert answer.status == 401, (method, path)
                        assert "Bearer" in answer.headers["WWW-Authenticate"]
        for path in ("/", "/docs", "/healthz", "/readyz", "/metrics", "/openapi.json", "/web/app.js"):
            async with stranger.get(hub.url + path) as answer:
                assert answer.status == 200, path
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert TOKEN not in await answer.text()


async def test_asking_again_costs_nothing_until_something_changes(hub):
    async with hub.session.get(f"{hub.url}/api/v1/units") as answer:
        tag = answer.headers["ETag"]
    async with hub.session.get(f"{hub.url}/api/v1/units", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert await answer.read() == b""

    hub.view.reported(report("dev-1", "web", at=START + 30, health=Health.PROGRESSING))

    async with hub.session.get(f"{hub.url}/api/v1/units", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 200


async def test_the_stream_tells_changes_and_resumes_where_it_broke_off(hub):
    stream = f"{hub.url}/api/v1/stream"
    async with asyncio.timeout(20), hub.session.get(stream) as answer:
        assert answer.content_type == "text/event-stream"
        told = messages(answer)
        assert (await anext(told))[0] == "ready"
        hub.view.reported(report("dev-1", "web", at=START + 30, phase=Phase.FAILED, reason="no"))
        name, identity, unit = await anext(told)
        assert (name, unit["state"], unit["reason"]) == ("unit", "Failed", "no")
        assert (await anext(told))[0] == "event"
        name, identity, summary = await anext(told)
        assert (name, summary["units"]["Failed"]) == ("summary", 2)

    hub.view.event(event("while-away", START + 31))

    async with asyncio.timeout(20), hub.session.get(stream, headers={"Last-Event-ID": identity}) as answer:
        name, _, missed = await anext(messages(answer))
        assert (name, missed["id"]) == ("event", "while-away")


@pytest.mark.parametrize("last", ["other-3", "nonsense", "-1", "{boot}-999999", "{boot}-x"])
async def test_a_stream_that_cannot_resume_says_reload(hub, last):
    headers = {"Last-Event-ID": last.replace("{boot}", hub.app.state.boot)}

    async with asyncio.timeout(20), hub.session.get(f"{hub.url}/api/v1/stream", headers=headers) as answer:
        assert (await anext(messages(answer)))[0] == "reload"


async def test_a_listener_that_leaves_is_forgotten(hub):
    async with asyncio.timeout(20):
        async with hub.session.get(f"{hub.url}/api/v1/stream") as answer:
            await anext(messages(answer))
            assert hub.metrics.registry.get_sample_value("yardarm_sse_clients") == 1
        while hub.metrics.registry.get_sample_value("yardarm_sse_clients"):
            await asyncio.sleep(0.02)


async def test_webhooks_need_no_token_but_their_signature(hub):
    async with aiohttp.ClientSession() as host:
        async with host.post(f"{hub.url}/api/v1/hooks/github", data=b'{"ref": "main"}') as answer:
            assert answer.status == 202
            assert (await answer.json())["message"] == "looking at 1 repository"
        async with host.post(f"{hub.url}/api/v1/hooks/github", headers={"X-Hub-Signature-256": "wrong"}) as answer:
            assert answer.status == 401
            assert "configured secret" in (await answer.json(content_type=None))["detail"]
        async with host.post(f"{hub.url}/api/v1/hooks/gitea", data=b"nonsense") as answer:
            assert answer.status == 400
        async with host.post(f"{hub.url}/api/v1/hooks/nobody") as answer:
            assert answer.status == 404
        async with host.post(f"{hub.url}/api/v1/hooks/generic", data=io.BytesIO(b"x" * (6 * 1024 * 1024))) as answer:
            assert answer.status == 413
    assert hub.webhooks.bodies == [("github", b'{"ref": "main"}')]


async def test_readiness_names_what_is_missing(hub):
    async with hub.session.get(f"{hub.url}/readyz") as answer:
        assert (answer.status, (await answer.json())["role"]) == (200, "leader")
    hub.readiness.parts = {"nats": "no connection to nats://127.0.0.1:4222"}
    async with hub.session.get(f"{hub.url}/readyz") as answer:
        assert answer.status == 503
        assert "nats" in (await answer.json())["missing"]
    async with hub.session.get(f"{hub.url}/healthz") as answer:
        assert answer.status == 200


async def test_metrics_agree_with_the_view(hub):
    async with hub.session.get(f"{hub.url}/metrics") as answer:
        text = await answer.text()

    assert 'yardarm_units{state="Failed"} 1.0' in text
    assert 'yardarm_clusters{state="waiting"} 1.0' in text
    assert "yardarm_build_info" in text


async def test_names_with_markup_come_back_as_data(hub):
    hub.view.assigned([assignment("dev-1", "x", 5, revision="<script>alert(1)</script>")])

    async with hub.session.get(f"{hub.url}/api/v1/units/dev-1/x/x") as answer:
        assert answer.content_type == "application/json"
        assert (await answer.json())["want"]["revision"] == "<script>alert(1)</script>"
