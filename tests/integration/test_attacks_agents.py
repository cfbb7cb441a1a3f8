"""A cluster that has fallen into wrong hands attacks a running hub and the other clusters with all that its agent has.

What each credential can and cannot do on the wire alone is in test_identity_isolation; here a whole hub runs, goes on
serving everybody else, and says what was tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import aiohttp
import msgspec
import orjson
import pytest
import pytest_asyncio

from hub.domain.auditing import Result, Wanted
from hub.view.history import EventFilter
from shared import subjects
from shared.bus import Bus, Refused
from shared.errors import Unavailable
from shared.messages import Awaiting, Event, Heartbeat, Phase, Report, ServedApis, Severity, encode
from shared.model import Health, UnitKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, LiveHub, application, configmap, live_hub, settings, until
from tests.fakes.natshub import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWN, OTHER = UnitKey("dev-1", "web", "web"), UnitKey("prod-1", "web", "web")
BLOB = "ab" * 32


class Scene:
    """A hub with two clusters: `thief` has the credentials of dev-1, `victim` those of prod-1."""

    def __init__(self, live: LiveHub, thief: Bus, victim: Bus):
        self.live, self.thief, self.victim = live, thief, victim

    def report(self, unit: UnitKey, **other) -> Report:
        given = {
            "v": 1, "cluster": unit.cluster, "namespace": unit.namespace, "application": unit.application,
            "generation": 1, "digest": "d" * 64, "commit": "c" * 40, "revision": "r", "phase": Phase.APPLIED,
            "health": Health.HEALTHY, "at": time.time(),
        }  # fmt: skip
        return Report(**(given | other))

    async def still_works(self) -> None:
        """What the other cluster says gets through, and the API answers."""
        want = (await self.live.desired())[OTHER]
        said = self.report(OTHER, generation=want.generation, digest=want.digest, reason=f"said {time.time()!r}")
        await self.victim.publish_stored(subjects.report(OTHER), encode(said))

        def heard() -> bool:
            record = self.live.hub.view.clusters["prod-1"].units.get(("prod-1", "web", "web"))
            return record is not None and record.have is not None and record.have.reason == said.reason

        await until(heard)
        headers = {"Authorization": f"Bearer {self.live.hub.token}"}
        url = f"{self.live.hub.url}/api/v1/units"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            assert answer.status == 200
            assert {item["cluster"] for item in (await answer.json())["items"]} >= {"prod-1"}

    async def audited(self, action: str) -> list:
        found, _ = await self.live.hub._audit.page(Wanted(action=action, result=Result.REFUSED), 1000)
        return [each.entry for each in found]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    repo = GitRepo(folder / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("fleet/web.yaml", application("web"))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    async with live_hub(settings(folder / "state", str(repo.path))) as live, contextlib.AsyncExitStack() as stack:
        await live.seen(repo.head)
        buses = []
        for cluster in ("dev-1", "prod-1"):
            credentials = live.hub.identity.agent_credentials(cluster)
            bus = Bus(live.hub.nats_url, name=cluster, credentials=credentials, inbox=f"_INBOX.{cluster}")
            buses.append(await stack.enter_async_context(running(bus)))
        yield Scene(live, *buses)


READS = [
    "$JS.API.DIRECT.GET.AUDIT",
    "$JS.API.DIRECT.GET.AUDIT.audit.hub",
    "$JS.API.DIRECT.GET.KV_HUB.$KV.HUB.lease",
    "$JS.API.DIRECT.GET.DESIRED.desired.prod-1.web.web",
    "$JS.API.STREAM.MSG.GET.AUDIT",
    "$JS.API.STREAM.INFO.DESIRED",
    "$JS.API.STREAM.SNAPSHOT.DESIRED",
    "$JS.API.STREAM.CREATE.OBJ_x",
    "$JS.API.CONSUMER.CREATE.DESIRED.thief.desired.prod-1.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.AUDIT.thief",
    "$JS.API.CONSUMER.MSG.NEXT.REPORTS.view",
    "$JS.API.CONSUMER.NAMES.DESIRED",
    "$JS.ACK.DESIRED.x.1.1.1.1.1",
    "$O.x.C.y",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.CLAIMS.UPDATE",
    "get.desired.prod-1.web.web",
    "get.desired.prod-1._root",
    f"get.blob.other.{BLOB}",
    "get.audit.hub",
]
WRITES = [
    "audit.hold",
    "$KV.HUB.lease",
    "$KV.HUB.hold.web",
    "desired.dev-1.web.web",
    "desired.prod-1.web.web",
    "desired._hub.epoch",
    "notify.desired.dev-1.web.web",
    f"blob.default.{BLOB}",
    "report.prod-1.web.web",
    "report.prod-1._beat",
    "report._hub.x",
    "events.prod-1.health",
    "events._hub.rollout",
    "ask.prod-1.diff",
    "_INBOX.prod-1.x",
    "_R_.x",
    "$JS.API.STREAM.PURGE.AUDIT",
    "$JS.API.STREAM.DELETE.AUDIT",
    "$JS.API.STREAM.MSG.DELETE.REPORTS",
]
HEARS = [
    ">", "*.>", "audit.>", "desired.>", "notify.>", "notify.desired.prod-1.>", "report.>", "events.>", "blob.>",
    "$KV.>", "$JS.>", "$SYS.>", "$O.>", "_INBOX.>", "_INBOX.prod-1.>", "_R_.>", "ask.>", "ask.prod-1.*", "get.>", "$SRV.>",
]  # fmt: skip


@pytest.mark.parametrize("attempts", [READS, WRITES], ids=["reading", "writing"])
async def test_nothing_of_others_can_be_asked_for_or_written(scene: Scene, caplog, attempts):
    before = await counts(scene)
    caplog.clear()

    async def attempt(subject: str) -> None:
        with pytest.raises((Unavailable, Refused)):
            await scene.thief.request(subject, b'{"last_by_subj":"desired.prod-1.web.web","batch":9}', timeout=1)

    async with asyncio.TaskGroup() as group:
        for subject in attempts:
            group.create_task(attempt(subject))

    denied = " ".join(str(getattr(each, "error", "")) for each in caplog.records).lower()
    assert [subject for subject in attempts if f'publish to "{subject.lower()}"' not in denied] == []
    assert await counts(scene) == before
    await scene.still_works()


async def counts(scene: Scene) -> dict[str, int]:
    """How much there is in every stream that no agent of the scene writes to by itself."""
    found = orjson.loads((await scene.live.bus.request("$JS.API.STREAM.LIST")).data)["streams"]
    return {each["config"]["name"]: each["state"]["messages"] for each in found if each["config"]["name"] in QUIET}


QUIET = ("DESIRED", "BLOBS", "AUDIT")


async def test_nothing_of_others_is_heard(scene: Scene, caplog):
    heard = []

    async def take(message) -> None:
        heard.append(message.subject)

    caplog.clear()
    for subject in HEARS:
        await scene.thief.subscribe(subject, take)
    await scene.still_works()
    await scene.live.hub._audit.own("hub.start")
    await scene.live.bus.publish(subjects.notify_report("prod-1"), b"secret")
    await scene.thief.publish_stored(subjects.event("dev-1", "sync"), b"{}")

    denied = " ".join(str(getattr(each, "error", "")) for each in caplog.records).lower()
    assert [each for each in HEARS if f'subscription to "{each.lower()}"' not in denied] == []
    assert [each for each in heard if not each.startswith(("_INBOX.dev-1.", "notify.desired.dev-1."))] == []


async def test_what_it_says_of_others_is_dropped_and_recorded(scene: Scene):
    """Its own subjects, with another cluster or another unit inside."""
    scene.live.hub._reports._complained.clear()
    lies = [
        (subjects.report(OWN), scene.report(OTHER, health=Health.DEGRADED, reason="a lie")),
        (subjects.report(OWN), scene.report(UnitKey("dev-1", "web", "other"), reason="a lie")),
        (subjects.beat("dev-1"), Heartbeat(1, "prod-1", time.time(), 10, "0", "b", 0, "")),
        (subjects.apis("dev-1"), ServedApis(1, "prod-1", "x", ("v1",))),
        (subjects.event("dev-1", "health"), Event("lie", time.time(), "health", Severity.ERROR, "a lie", "prod-1")),
    ]
    for subject, lie in lies:
        await scene.thief.publish_stored(subject, encode(lie))
    await scene.still_works()

    async with asyncio.timeout(20):
        while not (found := [x for x in await scene.audited("report.refuse") if "it claims to be about" in x.detail]):
            await asyncio.sleep(0.05)
    assert {(each.actor, each.target) for each in found} == {("dev-1", "dev-1")}
    text = orjson.dumps([msgspec.to_builtins(each) for each in scene.live.hub.view.events.newest(EventFilter())])
    assert b"a lie" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-TTL": "1s"},
        {"Nats-Expected-Stream": "AUDIT"},
        {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
        {
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Nats-Expected-Last-Subject-Sequence-Subject": "report.prod-1.web.web",
        },
    ],
    ids=["rollup of all", "rollup of one", "lifetime", "another stream", "batch", "expectation"],
)
async def test_headers_of_a_message_give_it_no_power_over_the_stream(scene: Scene, headers):
    await scene.still_works()
    held = f"$JS.API.DIRECT.GET.REPORTS.{subjects.report(OTHER)}"
    before = await scene.live.bus.get_last(held)

    with contextlib.suppress(Refused, Unavailable):
        await scene.thief.publish_stored(subjects.report(OWN), encode(scene.report(OWN)), headers=headers, timeout=1)
    await asyncio.sleep(1.1 if "Nats-TTL" in headers else 0)

    after = await scene.live.bus.get_last(held)
    assert before is not None
    assert after is not None
    assert after.headers["Nats-Sequence"] == before.headers["Nats-Sequence"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"v":1,"cluster":"dev-1","at":1e999}',
        orjson.dumps({"v": 1, "cluster": "dev-1", "at": 1, "interval": 1, "agent": "x", "boot": "b", "units": -1,
                      "states": "s", "facts": {"a": "x" * 200_000}}),
        b'{"v":1,"cluster":"dev-1","at":1,"interval":1,"agent":"x","boot":"b","units":1,"states":"s","facts":'
        + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    ],
    ids=["empty", "cut off", "no text", "deep", "no number", "large", "deep facts"],
)  # fmt: skip
async def test_what_cannot_be_read_disturbs_nobody(scene: Scene, body):
    for subject in (subjects.beat("dev-1"), subjects.report(OWN), subjects.event("dev-1", "x"), subjects.apis("dev-1")):
        await scene.thief.publish_stored(subject, body)
    await scene.still_works()


async def test_more_than_an_agent_may_send_at_once_is_refused(scene: Scene):
    with pytest.raises(Unavailable):
        await scene.thief.publish_stored(subjects.report(OWN), b"x" * 300_000, timeout=2)
    await scene.still_works()


async def test_a_flood_of_reports_does_not_hold_up_the_others(scene: Scene):
    """Ten thousand messages as fast as they go, from one cluster, half of them unreadable."""
    for number in range(10_000):
        body = encode(scene.report(OWN, reason=f"flood {number}")) if number % 2 else b"noise"
        await scene.thief.publish(subjects.report(OWN), body)
    await scene.thief.publish_stored(subjects.event("dev-1", "sync"), b"{}")  # the server has taken all of them
    await scene.still_works()

    assert len(await scene.audited("report.refuse")) <= 20


async def test_units_that_nobody_gave_it_are_not_part_of_the_fleet(scene: Scene):
    """Two thousand invented ones, which also tell of deletions that a person should confirm."""
    awaiting = Awaiting("0" * 32, 1, (), "please", time.time())
    for number in range(2000):
        invented = UnitKey("dev-1", f"n{number}", "web")
        await scene.thief.publish(subjects.report(invented), encode(scene.report(invented, awaiting=awaiting)))
    await scene.thief.publish_stored(subjects.event("dev-1", "sync"), b"{}")
    await scene.still_works()

    hub = scene.live.hub
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {hub.token}"}) as session:
        async with session.get(f"{hub.url}/api/v1/summary") as answer:
            assert (await answer.json())["units"]["total"] == 2
        async with session.get(f"{hub.url}/api/v1/confirmations") as answer:
            assert (await answer.json())["items"] == []


async def test_the_history_and_the_trail_are_where_it_cannot_reach_them(scene: Scene):
    """After all of this, both tell of it, and the trail has not lost anything."""
    first, last = await bounds(scene)
    found, _ = await scene.live.hub._audit.page(Wanted(), 1000)

    assert [each.number for each in found] == list(range(last, first - 1, -1))
    assert {"hub.start", "hub.lead", "keys.create"} <= {each.entry.action for each in found}


async def bounds(scene: Scene) -> tuple[int, int]:
    state = orjson.loads((await scene.live.bus.request("$JS.API.STREAM.INFO.AUDIT")).data)["state"]
    return state["first_seq"], state["last_seq"]
