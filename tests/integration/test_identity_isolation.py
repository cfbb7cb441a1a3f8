"""What one cluster's agent can and cannot do on a real server, tried as an attacker would."""

import asyncio
import contextlib

import orjson
import pytest

from hub import streams
from hub.streams import Writer
from shared import subjects
from shared.bus import Bus, Message
from shared.errors import Unavailable
from shared.model import UnitKey
from shared.tasks import Clock
from tests.fakes.natshub import hub_nats, running

OWN = UnitKey("c1", "web", "shop")
OTHER = UnitKey("c2", "web", "shop")
BLOB = "ab" * 32


@pytest.fixture
async def nats(tmp_path):
    async with hub_nats(tmp_path) as nats:
        yield nats


@pytest.fixture
async def hub(nats):
    async with nats.hub() as bus:
        await streams.ensure(bus)
        await bus.publish_stored(subjects.EPOCH, b"hub")
        writer = Writer(bus)
        for unit in (OWN, OTHER):  # without the headers of a batch, which would make a copy of the message harmless
            await bus.publish_stored(subjects.desired(unit), str(unit).encode())
            await bus.publish_stored(subjects.desired_root(unit.cluster), b"root")
        await writer.put_blobs([(BLOB, b"body")])
        await writer.put_blobs([(BLOB, b"secret")], tenant="acme")
        await bus.publish_stored(subjects.report(OTHER), b"honest")
        yield bus


@pytest.fixture
async def agent(nats, hub):
    async with nats.agent("c1") as bus:
        yield bus


async def collect(bus: Bus, subject: str) -> asyncio.Queue[Message]:
    got: asyncio.Queue[Message] = asyncio.Queue()

    async def put(message: Message) -> None:
        got.put_nowait(message)

    await bus.subscribe(subject, put)
    return got


async def settled(agent: Bus, hub: Bus) -> None:
    """All that the agent sent has been handled: an acknowledged write of its own came after it."""
    await agent.publish_stored(subjects.event("c1", "sync"), b"")
    await hub.request("$JS.API.INFO")


async def stored(hub: Bus, stream: str, subject: str) -> bytes | None:
    found = await hub.get_last(f"$JS.API.DIRECT.GET.{stream}.{subject}")
    return found.data if found is not None else None


async def test_its_own_state_reports_and_news_reach_it(nats, hub, agent):
    news = await collect(agent, subjects.notify_all("c1"))
    await settled(agent, hub)

    desired = await agent.get_last(subjects.get_desired(OWN))
    root = await agent.get_last(subjects.get_root("c1"))
    blob = await agent.get_last(subjects.get_blob(subjects.TENANT, BLOB))
    nothing = await agent.get_last(subjects.get_desired(UnitKey("c1", "web", "none")))
    assert desired is not None
    assert root is not None
    assert blob is not None
    assert (desired.data, desired.subject) == (b"c1/web/shop", subjects.desired(OWN))
    assert (root.data, blob.data, nothing) == (b"root", b"body", None)

    first = await agent.publish_stored(subjects.report(OWN), b"fine", msg_id="1")
    assert await agent.publish_stored(subjects.report(OWN), b"fine", msg_id="1") == first
    await agent.publish_stored(subjects.beat("c1"), b"beat")
    await agent.publish_stored(subjects.event("c1", "drift"), b"event")
    assert await stored(hub, "REPORTS", subjects.report(OWN)) == b"fine"

    await hub.publish_stored(subjects.desired(OWN), b"newer")
    await hub.publish_stored(subjects.desired(OTHER), b"not for c1")
    await hub.publish(subjects.notify_report("c1"), b"again")
    got = [await asyncio.wait_for(news.get(), 10) for _ in range(2)]
    assert [message.data for message in got] == [b"newer", b"again"]
    assert got[0].headers["Nats-Subject"] == subjects.desired(OWN)
    assert news.empty()


@pytest.mark.parametrize(
    "subject",
    [
        subjects.get_desired(OTHER),
        subjects.get_root("c2"),
        "get.desired.*.web.shop",
        "get.desired.c2.>",
        f"get.blob.acme.{BLOB}",
        "get.blob.*.*",
        "$JS.API.DIRECT.GET.DESIRED.desired.c2.web.shop",
        "$JS.API.DIRECT.GET.DESIRED",
        "$JS.API.STREAM.MSG.GET.DESIRED",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.NAMES",
        "$JS.API.INFO",
        "$JS.API.STREAM.PURGE.DESIRED",
        "$JS.API.CONSUMER.CREATE.DESIRED",
        subjects.report(OTHER),
        subjects.beat("c2"),
        subjects.event("c2", "drift"),
        subjects.desired(OWN),
        subjects.desired(OTHER),
        subjects.EPOCH,
        "$KV.HUB.lease",
        subjects.blob(subjects.TENANT, BLOB),
        "notify.desired.c1.web.shop",
        subjects.ask_diff("c1"),
        subjects.ask_diff("c2"),
        subjects.renew("c2"),
        subjects.join("code-1"),
        f"get.{subjects.EPOCH}",
        subjects.ANCHORS,
    ],
)
async def test_what_is_not_its_own_is_denied(hub, agent, subject):
    before = orjson.loads((await hub.request("$JS.API.INFO")).data)

    with pytest.raises(Unavailable):
        await agent.request(subject, b'{"last_by_subj":"desired.c2.web.shop"}', timeout=0.3)

    assert "permissions violation for publish" in agent.last_error
    assert orjson.loads((await hub.request("$JS.API.INFO")).data)["storage"] == before["storage"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"last_by_subj":"desired.c2.web.shop"}',
        b'{"multi_last":["desired.>"]}',
        b'{"next_by_subj":"desired.c2.>","seq":1}',
        b'{"seq":1}',
    ],
)
async def test_a_request_for_its_own_state_cannot_be_bent(hub, agent, body):
    answer = await agent.request(subjects.get_desired(OWN), body, timeout=2)

    assert answer.headers.get("Nats-Subject") in (None, subjects.desired(OWN))
    assert b"c2" not in answer.data


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "notify.>",
        "notify.desired.*.>",
        "notify.desired.c2.>",
        "_INBOX.>",
        "desired.>",
        "report.>",
        "$JS.>",
        "ask.*.diff",
        "ask.c2.diff",
        "ask.>",
    ],
)
async def test_it_hears_only_what_is_for_it(hub, agent, subject):
    heard = await collect(agent, subject)
    await settled(agent, hub)
    await hub.publish_stored(subjects.desired(OTHER), b"secret")
    await hub.publish("_INBOX.c2.x", b"secret")
    await hub.publish(subjects.ask_diff("c2"), b"secret")
    await settled(agent, hub)

    assert "permissions violation for subscription" in agent.last_error
    assert heard.empty()


@pytest.mark.parametrize(
    "request_subject",
    [subjects.get_desired(OWN), subjects.get_root("c1"), subjects.report(OWN), subjects.event("c1", "x")],
)
@pytest.mark.parametrize(
    "victim",
    [
        subjects.desired(OTHER),
        subjects.report(OTHER),
        subjects.event("c2", "x"),
        subjects.EPOCH,
        "$KV.HUB.lease",
        f"blob.default.{'cd' * 32}",
    ],
)
async def test_answers_cannot_be_aimed_at_a_stream(hub, agent, request_subject, victim):
    """The server does not check where a reply goes; in one account the answer would be stored there."""
    stream = {"desired": "DESIRED", "report": "REPORTS", "events": "EVENTS", "$KV": "KV_HUB", "blob": "BLOBS"}
    name = stream[victim.split(".")[0]]
    before = await stored(hub, name, victim)

    with contextlib.suppress(Unavailable):
        await agent.publish(request_subject, b"", reply=victim)
        await agent.publish(request_subject, b"evil", {"Nats-Msg-Id": "x"}, reply=victim)
    await settled(agent, hub)

    assert await stored(hub, name, victim) == before


async def test_within_one_account_the_same_attack_would_succeed(hub, agent):
    """The control: what the two accounts are for."""
    victim = subjects.desired(OTHER)

    await hub.publish(f"$JS.API.DIRECT.GET.DESIRED.{subjects.desired(OWN)}", b"", reply=victim)

    async with asyncio.timeout(10):
        while await stored(hub, "DESIRED", victim) != str(OWN).encode():
            await asyncio.sleep(0.02)


async def test_a_question_is_answered_once_and_only_where_it_was_asked(hub, agent):
    replies = []

    async def answer(message: Message) -> None:
        replies.append(message.reply)
        await agent.publish(message.reply, b"first")
        await agent.publish(message.reply, b"second")

    await agent.subscribe(subjects.ask_diff("c1"), answer)
    await settled(agent, hub)
    asked = await hub.request(subjects.ask_diff("c1"), b"?")

    assert asked.data == b"first"
    with pytest.raises(Unavailable):
        await hub.request(subjects.ask_diff("c2"), b"?", timeout=0.3)
    await settled(agent, hub)
    assert replies[0].lower() in agent.last_error.lower()


async def test_a_join_code_asks_one_question_and_reads_its_answer(nats, hub):
    """Whoever holds the bootstrap credentials gets no further than that, and an agent cannot ask in its place."""
    asked = await collect(hub, subjects.JOIN_ALL)
    credentials = nats.identity.join_credentials("code-1", expires=Clock().now() + 60)
    async with running(Bus(nats.server.url, name="join", credentials=credentials, inbox="_INBOX.join.code-1")) as bus:
        others = await collect(bus, "_INBOX.join.code-2.>")
        for subject in (
            subjects.join("code-2"),
            subjects.renew("c1"),
            subjects.get_root("c1"),
            subjects.report(OWN),
            "$JS.API.INFO",
        ):
            with pytest.raises(Unavailable):
                await bus.request(subject, b"", timeout=0.3)
            assert f'publish to "{subject.lower()}"' in bus.last_error
        answer = asyncio.create_task(bus.request(subjects.join("code-1"), b"please"))
        request = await asyncio.wait_for(asked.get(), 10)
        await hub.publish(request.reply, b"welcome")
        assert (request.data, (await answer).data) == (b"please", b"welcome")
        assert asked.empty()
        assert others.empty()


async def test_an_agent_asks_for_its_own_renewal_and_reads_what_all_may_believe(hub, agent):
    asked = await collect(hub, subjects.RENEW_ALL)
    await hub.request("$JS.API.INFO")
    await hub.publish_stored(subjects.ANCHORS, b"keys")

    answer = asyncio.create_task(agent.request(subjects.renew("c1"), b"please"))
    request = await asyncio.wait_for(asked.get(), 10)
    await hub.publish(request.reply, b"renewed")
    believed = await agent.get_last(f"get.{subjects.ANCHORS}")

    assert (request.subject, (await answer).data) == (subjects.renew("c1"), b"renewed")
    assert believed is not None
    assert believed.data == b"keys"


async def test_another_cluster_cannot_be_spoken_to(nats, hub, agent):
    """Without an own inbox prefix nothing comes back, and an inbox of another cluster cannot be taken."""
    async with running(
        Bus(nats.server.url, name="c1", credentials=nats.identity.agent_credentials("c1"), inbox="_INBOX.c2")
    ) as bus:
        with pytest.raises(Unavailable):
            await bus.request(subjects.get_desired(OWN), timeout=0.5)


async def test_a_stranger_and_another_hubs_agent_stay_outside(nats, hub, tmp_path):
    from hub.identity import Identity

    stranger = Identity.load_or_create(tmp_path / "stranger")
    for credentials in (None, stranger.agent_credentials("c1"), stranger.hub_credentials()):
        bus = Bus(nats.server.url, name="stranger", credentials=credentials)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(bus.run())
            async with asyncio.timeout(20):
                while "authorization" not in bus.last_error.lower():
                    await asyncio.sleep(0.02)
            assert not bus.connected
            task.cancel()
