"""Rollouts over the API: what is shown, who may steer them, and what is said and told of each request."""

from __future__ import annotations

import aiohttp
import orjson
import pytest

from hub.api.app import create_app
from hub.api.context import Context
from hub.api.models.common import Page
from hub.api.models.dora import Delivery
from hub.api.models.history import Event
from hub.api.models.rollouts import Effect, PastRollout, Rollout, RolloutCluster, RolloutDetail
from hub.api.security.callers import fingerprint
from hub.domain.principals import KnownToken, Principal
from hub.domain.requests import Verb
from hub.domain.rollout import step
from hub.domain.runs import Target
from hub.metrics import Metrics
from shared.errors import Unavailable
from tests.fakes.fleetview import FakeClock, application, sample
from tests.fakes.rollingout import Rolling
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving
from tests.integration.test_api import messages

HOLDERS = {
    "olga": Principal("olga", ("operator",)),
    "vera": Principal("vera", ("viewer",)),
    "sam": Principal("sam", ("viewer", "sre")),
    "ada": Principal("Ada", ("admin",)),
    "emil": Principal("emil", ("viewer", "emergency")),
}
A, B, C = "3f2a91c" + "a" * 33, "3f2b000" + "b" * 33, "c" * 40


class Hub:
    """The API over a view with rollouts of one application; what it is asked to store is kept here."""

    def __init__(self):
        clock = FakeClock()
        self.view = sample(clock)
        self.rolling = Rolling()
        self.history = [self.rolling.complete(A)]
        self.history.append(self.rolling.complete(B))
        self.rolling.commit(C)
        self.show()
        self.asked, self.held, self.gone, self.away = [], [], [], False
        tokens = tuple(KnownToken(fingerprint(name), holder) for name, holder in HOLDERS.items())
        self.metrics = Metrics(self.view, "0.1.0")
        self.app = create_app(
            Context(self.view, self.metrics, *[self] * 6, "the-hubs-own", "0.1.0", tokens, audit=Trail())
        )
        self.url = ""
        self.session: aiohttp.ClientSession

    def show(self):
        self.view.clock.at = self.rolling.now
        for rollout in (*self.history, self.rolling.newest):
            self.view.rollouts.put(rollout)

    async def ask(self, application, asked):
        self._reached()
        self.asked.append(asked)

    async def hold(self, application, hold):
        self._reached()
        self.held.append((application, hold))
        self.view.rollouts.held(application, [*self.view.rollouts.holds(application), hold])

    async def release(self, application, by, reason, cluster, environment):
        self._reached()
        self.gone.append((application, by, cluster, environment))
        return 1

    async def sync(self, application):
        self._reached()
        return f"{application} is looked at"

    def tell(self, event):
        self.view.event(event)

    def _reached(self):
        if self.away:
            raise Unavailable("NATS is away")

    async def get(self, path, status=200, **query):
        async with self.session.get(f"{self.url}/api/v1/{path}", params=query, headers=bearer("vera")) as answer:
            body = await answer.read()
            assert answer.status == status, body
            return orjson.loads(body)

    async def post(self, path, status=202, by="olga", **body):
        async with self.session.post(f"{self.url}/api/v1/{path}", json=body, headers=bearer(by)) as answer:
            found = await answer.read()
            assert answer.status == status, found
            return orjson.loads(found)

    async def told(self, kind):
        return [(one["actor"], one["message"]) for one in (await self.get("events", type=kind))["items"]]


def bearer(name):
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
async def hub():
    hub = Hub()
    async with serving(hub.app) as hub.url, aiohttp.ClientSession() as hub.session:
        yield hub


async def test_every_answer_has_the_documented_shape(hub):
    hub.rolling.healthy("dev-1")
    hub.show()
    await hub.post("rollouts/web/pause", reason="lunch")
    newest = hub.rolling.newest.id

    listed = await hub.get("rollouts")
    Page[Rollout].model_validate(listed)
    assert [each["revision"][:7] for each in listed["items"]] == [C[:7], B[:7], A[:7]]
    Page[PastRollout].model_validate(await hub.get("rollouts/web/history"))
    detail = await hub.get("rollouts/web")
    RolloutDetail.model_validate(detail)
    assert await hub.get(f"rollouts/web/{newest}") == detail
    assert detail["events"][0]["type"] == "rollout.asked"
    Event.model_validate(detail["events"][0])
    Page[RolloutCluster].model_validate(await hub.get(f"rollouts/web/{newest}/clusters", state="Healthy"))


async def test_lists_are_filtered_paged_and_tagged(hub):
    active = await hub.get("rollouts", active="true")
    ended = await hub.get("rollouts", phase="Completed", limit=1)
    rest = await hub.get("rollouts", phase="Completed", limit=1, cursor=ended["next"])

    assert [each["commit"]["sha"] for each in active["items"]] == [C]
    assert [each["commit"]["sha"] for each in (*ended["items"], *rest["items"])] == [B, A]
    assert rest["next"] is None
    assert (await hub.get("rollouts", environment="nowhere"))["items"] == []
    assert (await hub.get("rollouts", phase="Finished", status=422))["errors"][0]["field"] == "phase"

    url = f"{hub.url}/api/v1/rollouts"
    async with hub.session.get(url, headers=bearer("vera")) as answer:
        tag = {"If-None-Match": answer.headers["ETag"]}
    async with hub.session.get(url, headers=bearer("vera") | tag) as answer:
        assert answer.status == 304
    hub.rolling.healthy("dev-1")
    hub.show()
    async with hub.session.get(url, headers=bearer("vera") | tag) as answer:
        assert answer.status == 200


async def test_what_is_not_there_is_said_to_be_so(hub):
    assert "did you mean web" in (await hub.get("rollouts/wep", 404))["detail"]
    assert "has had no rollout" in (await hub.get("rollouts/api", 404))["detail"]
    assert "see its history" in (await hub.get("rollouts/web/web-9", 404))["detail"]
    await hub.post("rollouts/web/explode", 404)
    assert hub.asked == []


async def test_the_stream_tells_of_rollouts(hub):
    async with hub.session.get(f"{hub.url}/api/v1/stream", headers=bearer("vera")) as answer:
        stream = messages(answer)
        assert (await anext(stream))[0] == "ready"
        hub.rolling.healthy("dev-1")
        hub.show()
        name, _, data = await anext(stream)
        while name != "rollout":
            name, _, data = await anext(stream)

    assert data["id"] == hub.rolling.newest.id
    assert data["stages"][0]["clusters"]["done"] == 1


async def test_a_dry_run_says_what_would_happen_and_does_nothing(hub):
    said = await hub.post("rollouts/web/pause", 200, dryRun=True)

    Effect.model_validate(said)
    assert said["effect"] == "pauses web: 3 clusters that wait for ccccccc do not get it; the 2 in flight go on"
    assert said["rollout"] == hub.rolling.newest.id
    assert hub.asked == []
    assert await hub.told("rollout") == []


async def test_a_request_is_stored_for_the_leader_and_told_with_its_actor(hub):
    said = await hub.post("rollouts/web/pause", reason="lunch")

    (asked,) = hub.asked
    assert asked.rollout == hub.rolling.newest.id
    assert (asked.verb, asked.by, asked.reason, asked.at) == (Verb.PAUSE, "olga", "lunch", hub.rolling.now)
    assert await hub.told("rollout.asked") == [("olga", f"pause asked for: {said['effect']} (lunch)")]
    assert step(hub.rolling.newest, asked, hub.rolling.now)[0].phase == "Paused"


async def test_what_cannot_be_done_now_is_refused_and_told_once(hub):
    for _ in range(2):
        refused = await hub.post("rollouts/web/resume", 409)

    assert refused["detail"] == "the rollout is not paused: it is Progressing"
    assert await hub.told("rollout.refused") == [("olga", f"resume refused: {refused['detail']}")]
    assert hub.asked == []


@pytest.mark.parametrize("verb", ["abort", "rollback", "bypass", "skip"])
async def test_what_cannot_be_undone_needs_a_reason(hub, verb):
    refused = await hub.post(f"rollouts/web/{verb}", 422, by="ada", clusters=["dev-1"])

    assert refused["detail"].startswith("reason:")
    assert hub.asked == []
    await hub.post(f"rollouts/web/{verb}", by="ada", clusters=["dev-1"], reason="it burns")
    assert [asked.reason for asked in hub.asked] == ["it burns"]


async def test_roles_decide_who_may(hub):
    viewer = await hub.post("rollouts/web/pause", 403, by="vera")
    await hub.post("rollouts/web/abort", 403, by="sam", reason="no")
    operator = await hub.post("rollouts/web/bypass", 403, by="olga", reason="now")
    await hub.post("applications/web/hold", 403, by="vera", reason="mine")
    assert hub.asked == []
    assert hub.held == []

    await hub.post("rollouts/web/bypass", by="emil", reason="now")
    await hub.post("rollouts/web/bypass", by="ada", reason="now")

    assert "needs the role operator" in viewer["detail"]
    assert "admin or emergency" in operator["detail"]
    assert [asked.by for asked in hub.asked] == ["emil", "Ada"]
    assert {actor for actor, _ in await hub.told("rollout.refused")} == {"vera", "sam", "olga"}
    assert [actor for actor, _ in await hub.told("application.refused")] == ["vera"]


async def test_whoever_counts_may_approve_and_nobody_else(hub):
    refused = await hub.post("rollouts/web/approve", 403, by="olga")
    said = await hub.post("rollouts/web/approve", by="sam", reason="tested")

    assert "sre to approve; olga has operator" in refused["detail"]
    assert said["effect"] == "approves stage prod: all approvals are given"
    (asked,) = hub.asked
    assert (asked.stage, asked.roles) == ("prod", ("viewer", "sre"))

    hub.rolling.rollout, _ = step(hub.rolling.newest, asked, hub.rolling.now)
    hub.show()
    assert "has approved it already" in (await hub.post("rollouts/web/approve", 409, by="sam"))["detail"]
    assert "dev asks for no approval" in (await hub.post("rollouts/web/approve", 409, by="sam", stage="dev"))["detail"]


async def test_retry_and_skip_are_for_what_failed_unless_clusters_are_named(hub):
    nothing = await hub.post("rollouts/web/retry", 409)
    hub.rolling.failing("dev-2")
    hub.show()
    retry = await hub.post("rollouts/web/retry")
    skip = await hub.post("rollouts/web/skip", reason="being rebuilt", clusters=["dev-1", "prod-3"])
    wrong = await hub.post("rollouts/web/skip", 409, reason="x", clusters=["mars-1"])
    well = await hub.post("rollouts/web/retry", 409, clusters=["dev-1"])

    assert "no cluster of this rollout has failed" in nothing["detail"]
    assert retry["effect"] == "has 1 cluster (dev-2) try again"
    assert "leaves out 2 clusters (dev-1, prod-3)" in skip["effect"]
    assert [asked.clusters for asked in hub.asked] == [("dev-2",), ("dev-1", "prod-3")]
    assert "mars-1: not among the clusters" in wrong["detail"]
    assert "dev-1: not failed" in well["detail"]


async def test_a_rollback_goes_to_what_was_completed_last(hub):
    said = await hub.post("rollouts/web/rollback", reason="errors")

    assert said["effect"] == "rolls back 2 clusters to 3f2b000; ccccccc is held until Git moves on"
    assert hub.asked[0].to == {}
    back, _ = step(hub.rolling.newest, hub.asked[0], hub.rolling.now)
    assert back.positions()["dev-1"] == Target("web", B * 2)


@pytest.mark.parametrize("name", ["3f2a91c", A, A[:12] + "-3f2a"])
async def test_a_rollback_goes_to_any_completed_revision_by_how_it_begins(hub, name):
    said = await hub.post("rollouts/web/rollback", reason="errors", to=name)

    assert said["effect"].startswith("rolls back 5 clusters to 3f2a91c")
    (asked,) = hub.asked
    assert asked.revision.startswith("3f2a91c")
    back, _ = step(hub.rolling.newest, asked, hub.rolling.now)
    assert back.positions() == dict.fromkeys(hub.rolling.clusters, Target("web", A * 2))


async def test_an_unknown_or_ambiguous_revision_is_answered_with_the_choices(hub):
    unknown = await hub.post("rollouts/web/rollback", 404, reason="errors", to="1234")
    ambiguous = await hub.post("rollouts/web/rollback", 422, reason="errors", to="3f2")

    assert [each["commit"] for each in unknown["choices"]] == [B, A]
    assert "raise replicas" in unknown["detail"]
    assert len(ambiguous["choices"]) == 2
    assert hub.asked == []


async def test_a_word_about_another_rollout_than_the_newest_is_refused(hub):
    refused = await hub.post("rollouts/web/pause", 409, rollout=hub.history[0].id)

    assert "another rollout of web has begun" in refused["detail"]
    assert refused["rollout"] == hub.rolling.newest.id


async def test_a_rejected_revision_is_released(hub):
    early = await hub.post("rollouts/web/release", 409)
    hub.rolling.ask(Verb.ABORT, reason="no")
    hub.show()

    assert "no revision is held" in early["detail"]
    assert (await hub.get("rollouts/web"))["rejected"] is True
    assert (await hub.post("rollouts/web/release"))["effect"] == "lets ccccccc start again"


async def test_holds_are_set_shown_and_released_by_their_scope(hub):
    await hub.post("applications/web/hold", 422)
    said = await hub.post("applications/web/hold", reason="exam week", environment="prod")
    shown = (await hub.get("applications/web"))["holds"]
    whole = await hub.post("applications/web/release", 409)
    gone = await hub.post("applications/web/release", environment="prod")

    assert said["effect"] == "nothing new goes to web in prod until it is released"
    assert [(each["by"], each["environment"], each["reason"]) for each in shown] == [("olga", "prod", "exam week")]
    assert whole["detail"] == "nobody holds web anywhere; held are: web in prod"
    assert "lets go of web in prod (held by olga: exam week)" in gone["effect"]
    assert hub.gone == [("web", "olga", "", "prod")]
    assert [actor for actor, _ in await hub.told("application.held")] == ["olga"]
    await hub.post("applications/web/hold", 404, reason="x", cluster="mars-1")
    await hub.post("applications/nothing/hold", 404, reason="x")


async def test_sync_says_what_is_looked_at(hub):
    assert (await hub.post("applications/web/sync"))["effect"] == "web is looked at"
    assert await hub.told("application.synced") == [("olga", "synced: web is looked at")]


async def test_without_nats_nothing_is_promised(hub):
    hub.away = True

    for path in ("rollouts/web/pause", "applications/web/hold", "applications/web/sync"):
        assert "nothing was done: NATS is away" in (await hub.post(path, 503, reason="x"))["detail"]
    assert await hub.told("rollout.asked") == []


async def test_a_request_needs_no_body(hub):
    async with hub.session.post(f"{hub.url}/api/v1/rollouts/web/pause", headers=bearer("olga")) as answer:
        assert answer.status == 202


async def test_an_application_that_was_never_rolled_out_has_no_holds(hub):
    hub.view.application_changed(application("new"))

    assert (await hub.get("applications/new"))["holds"] == []


async def test_delivery_figures_are_of_the_rollouts_known(hub):
    hub.view.clock.at += 1
    found = Delivery.model_validate(await hub.get("dora", application="web", days=7))
    prod = await hub.get("dora", environment="prod", days=7)

    assert (found.rollouts, found.figures.deployments, found.figures.lead_time.samples) == (3, 3, 2)
    assert [(row.application, row.environment) for row in found.rows] == [("web", ""), ("web", "dev"), ("web", "prod")]
    assert [row["environment"] for row in prod["rows"]] == ["prod"]
    assert prod["figures"]["deployments"] == 2  # the third is still in dev

    hub.rolling.failing("dev-1")
    hub.show()
    hub.view.clock.at += 1
    again = await hub.get("dora", application="web", days=7)
    assert (again["figures"]["failures"], again["figures"]["failureRate"]) == (1, pytest.approx(1 / 3))


async def test_delivery_figures_of_nothing_are_null_and_a_long_time_is_refused(hub):
    found = await hub.get("dora", application="nobody")

    assert (found["rollouts"], found["rows"], found["figures"]["perDay"]) == (0, [], None)
    await hub.get("dora", 422, days=1000)
