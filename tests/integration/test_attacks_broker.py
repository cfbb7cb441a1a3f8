"""Whoever runs NATS, or has the hub's place on it, tries to give a cluster what the hub did not sign.

A real agent on a sandbox cluster. After every attempt what ran goes on running, the hub hears why, and the hub's next
word counts.
"""

from __future__ import annotations

import itertools
import secrets

import msgspec
import orjson
import pytest
import pytest_asyncio
import zstandard

from agent import inbox
from shared import bundle, subjects
from shared.asking import Answer, Question
from shared.errors import InvalidSignature
from shared.messages import Assignment, Policy, Root, RootEntry, decode, encode
from shared.model import ObjectRef
from shared.signing import SigningKey, Trust
from tests.fakes.agenthub import resigned
from tests.fakes.agentplace import AgentPlace, agent_place

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count()
STRANGER = SigningKey(secrets.token_bytes(32))


def configmap(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"is": "good"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox, "LISTED", 0.05)
        async with agent_place("sandbox", tmp_path_factory.mktemp("place")) as place:
            yield place


class Target:
    """A unit of its own, applied and healthy, for one attack."""

    def __init__(self, place: AgentPlace):
        self.place, self.hub = place, place.hub
        self.name = f"app-{next(NUMBERS)}"
        self.good: Assignment

    async def running(self) -> Target:
        self.good = await self.hub.assign("c1", self.name, [configmap(self.name)], namespace=self.place.app)
        await self.hub.healthy(self.good)
        return self

    def evil(self, **more) -> Assignment:
        """A newer assignment that is not signed."""
        more = {"namespace": self.place.app} | more
        return self.hub.assignment(more.pop("cluster", "c1"), self.name, [configmap("evil")], **more)

    async def put(self, message: bytes) -> None:
        """Stores it where the assignment of the unit is, as the server's operator could."""
        await self.hub.bus.publish_stored(subjects.desired(self.good.unit), message)

    async def refused(self, why: str) -> None:
        subject = subjects.desired(self.good.unit)

        def told() -> bool:
            events = (event for event in self.hub.events if event.type == "rejected" and event.cluster == "c1")
            return any(subject in event.message and why in event.message for event in events)

        await self.hub.until(told, about=f"a refusal of {subject}: {why}")

    async def list_refused(self, why: str) -> None:
        def told() -> bool:
            return any("_root" in event.message and why in event.message for event in self.hub.events)

        await self.hub.until(told, about=f"a refusal of the list of units: {why}")

    async def unharmed(self) -> None:
        """What ran is there, nothing of the attacker's is, and the hub's next word counts."""
        live = await self.place.live("v1", "ConfigMap", self.name)
        assert live["data"] == {"is": "good"}
        assert await self.place.kube.get(ObjectRef("v1", "ConfigMap", self.place.app, "evil")) is None
        content = configmap(self.name, **{"is": "newer"})
        await self.hub.healthy(await self.hub.assign("c1", self.name, [content], namespace=self.place.app))
        assert (await self.place.live("v1", "ConfigMap", self.name))["data"] == {"is": "newer"}


@pytest_asyncio.fixture(loop_scope="module")
async def target(place):
    return await Target(place).running()


async def test_what_is_not_signed_or_signed_by_somebody_else_is_refused(target: Target):
    await target.put(encode(target.evil()))
    await target.refused("signed with key (none)")
    await target.put(encode(STRANGER.sign(target.evil())))
    await target.refused(f"signed with key {STRANGER.public.id}")
    named = msgspec.structs.replace(STRANGER.sign(target.evil()), key=target.hub.key.public.id)
    await target.put(encode(named))
    await target.refused("does not fit the content")
    await target.unharmed()


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2**53},
        {"removed": True},
        {"confirmed": ("0" * 32,)},
        {"succeeds": ("kube-system/coredns",)},
        {"policy": Policy(adopt="always")},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_signed_message_cannot_be_changed(target: Target, change):
    await target.put(encode(msgspec.structs.replace(target.good, **change)))
    await target.refused("does not fit the content")
    await target.unharmed()


async def test_a_field_that_this_build_does_not_know_is_under_the_signature_too(target: Target):
    message = orjson.loads(encode(target.good)) | {"privileged": True, "generation": target.good.generation}
    await target.put(orjson.dumps(message))
    await target.refused("does not fit the content")
    await target.unharmed()


async def test_what_the_hub_signed_for_another_cluster_or_unit_is_refused(target: Target):
    for elsewhere in ({"cluster": "c2"}, {"namespace": "other"}):
        await target.put(encode(target.hub.key.sign(target.evil(**elsewhere))))
    await target.refused("but is for c2/")
    await target.refused("but is for c1/other/")
    await target.unharmed()


async def test_what_the_hub_once_signed_does_not_come_again(target: Target):
    """An old revision, and an old removal: both genuine, neither newer than what is there."""
    old = target.good
    removal = resigned(target.hub, old, removed=True, generation=old.generation - 1)
    content = configmap(target.name, **{"is": "good", "more": "yes"})
    newer = await target.hub.assign("c1", target.name, [content], namespace=target.place.app)
    await target.hub.healthy(newer)

    for replayed in (old, removal):
        await target.put(encode(replayed))
    # Another unit, given afterwards, is there: so the agent has seen what came before.
    await Target(target.place).running()

    assert (await target.place.live("v1", "ConfigMap", target.name))["data"] == {"is": "good", "more": "yes"}
    last = target.hub.reports[target.good.unit][-1]
    assert (last.generation, last.phase) == (newer.generation, "Applied")


async def test_a_body_that_is_not_what_was_signed_is_refused(target: Target):
    """The body lies beside the assignment, in a stream that whoever runs the server can write to."""
    lines = [bundle.canonical_line(configmap("evil"))]
    given = target.hub.assignment("c1", target.name, [configmap(target.name)], namespace=target.place.app)
    await target.put(encode(target.hub.key.sign(msgspec.structs.replace(given, inline=bundle.inline(lines) or b""))))
    await target.refused("is not")

    (pack,) = bundle.packs([bundle.canonical_line(configmap(target.name, **{"is": target.name}))])
    other = zstandard.ZstdCompressor().compress(lines[0])
    await target.hub.bus.publish_stored(subjects.blob(subjects.TENANT, pack.ref.digest), other)
    await target.hub.assign("c1", target.name, [configmap(target.name)], namespace=target.place.app, packs=(pack.ref,))
    await target.refused("holds other bytes than its name says")
    await target.unharmed()


async def test_a_small_message_does_not_become_a_large_one(target: Target):
    """A hundred megabytes of nothing in a few kilobytes, as a body and as a list of units."""
    chunk = b"\n" * 2**20
    compressor = zstandard.ZstdCompressor(level=9).compressobj()
    bomb = b"".join(compressor.compress(chunk) for _ in range(128)) + compressor.flush()
    assert len(bomb) < 256 * 1024

    await target.put(encode(target.hub.key.sign(target.evil(inline=bomb))))
    await target.refused("unpacks to more than")
    root = target.hub.key.sign(Root(1, "c1", 1, (), packed=bomb))
    await target.hub.bus.publish_stored(subjects.desired_root("c1"), encode(root))
    await target.list_refused("unpacks to more than")
    await target.unharmed()


async def test_a_list_that_names_nothing_or_something_else_takes_nothing_away(target: Target):
    """A genuine list only says what to ask for, and a forged one not even that."""
    unit = target.good.unit
    entries = (RootEntry(unit.namespace, unit.application, 2**53, "0" * 64),)
    forged, others = Root(1, "c1", 2**53, entries), target.hub.key.sign(Root(1, "c2", 2**53, entries))
    for message, why in (
        (forged, "signed with key (none)"),
        (STRANGER.sign(forged), f"signed with key {STRANGER.public.id}"),
        (others, "is for cluster c2"),
    ):
        await target.hub.bus.publish_stored(subjects.desired_root("c1"), encode(message))
        await target.list_refused(why)
    empty = target.hub.key.sign(Root(1, "c1", 2**53, ()))
    await target.hub.bus.publish_stored(subjects.desired_root("c1"), encode(empty))
    await target.unharmed()


async def test_a_question_that_the_hub_did_not_ask_is_not_answered(target: Target):
    """It would tell what is on a cluster, by dry runs."""
    body = zstandard.ZstdCompressor().compress(bundle.canonical_line(configmap(target.name, **{"is": "guess"})))
    question = Question(1, "c1", target.place.app, target.name, Policy(), body, 5.0)
    for asked in (
        question,
        STRANGER.sign(question),
        target.hub.key.sign(msgspec.structs.replace(question, cluster="c2")),
    ):
        answer = decode((await target.hub.bus.request(subjects.ask_diff("c1"), encode(asked))).data, Answer)
        assert (answer.answered, answer.objects) == (False, ())
        assert "the agent does not accept the question" in answer.reason
    await target.unharmed()


async def test_one_kind_of_signed_message_is_not_another(target: Target):
    """What the hub signs as a question or a list is no assignment, though the key is the same."""
    trust = Trust((target.hub.key.public,))
    question = target.hub.key.sign(Question(1, "c1", "n", "a", Policy(), b"", 5.0))
    root = target.hub.key.sign(Root(1, "c1", 1, ()))
    for message in (question, root):
        with pytest.raises(Exception, match="not a Assignment") as refusal:
            trust.open(encode(message), Assignment)
        assert not isinstance(refusal.value, InvalidSignature)
        await target.put(encode(message))
    await target.refused("not a Assignment")
    await target.unharmed()


async def test_a_name_does_not_lead_to_another_object(target: Target):
    """The `..` of a namespace's Jobs would be the namespace: what is done to one would be done to the other."""
    annotations = {"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation"}
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.com/c:1"}]}}}
    for name in ("..", "../configmaps/x", "%2e%2e"):
        hook = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "annotations": annotations},
            "spec": spec,
        }
        content = [configmap(target.name), hook, configmap(name)]
        given = await target.hub.assign("c1", target.name, content, namespace=target.place.app)
        report = await target.hub.report(given, lambda each: "cannot be a name" in repr(each))
        assert report.phase != "Applied"
    asked = [each.path for each in target.place.requests]

    assert not [
        path for path in asked if ".." in path or "%" in path or path.endswith(f"/namespaces/{target.place.app}/")
    ]
    assert await target.place.kube.get(ObjectRef("v1", "Namespace", "", target.place.app)) is not None
    await target.unharmed()
