"""Encrypted secrets on a living cluster: decrypted into it, kept in line, and to be found nowhere else.

On the sandbox; on a real API server too when YARDARM_TEST_KUBECONFIG names a kubeconfig.
"""

import base64
import logging
from pathlib import Path

import pytest
import zstandard

from shared import bundle, subjects
from shared.asking import Answer, Question
from shared.errors import InvalidMessage
from shared.messages import VERSION, Phase, Policy, decode, encode
from shared.sealed import Fill, Seal, token, with_seal
from shared.sops.ages import Identities
from shared.sops.closing import SECRET_FIELDS, closed
from tests.fakes.agentplace import BACKENDS, agent_place

DATA = Path(__file__).parents[1] / "data" / "sops"
KEY = DATA / "first.agekey"
OURS, OTHERS = (Identities.read((DATA / f"{name}.agekey").read_text()).recipients for name in ("first", "second"))
PLAIN = "hunter2-correct-horse"
NOW = 1_790_000_000.0
CHANGED = "edited-by-hand"


@pytest.fixture(params=BACKENDS)
async def place(request, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with agent_place(request.param, tmp_path, age_key=KEY) as place:
        place.said = []

        async def listen(message):
            place.said.append(message.data)

        await place.hub.bus.subscribe(subjects.REPORTS_ALL, listen)
        await place.hub.bus.subscribe(subjects.EVENTS_ALL, listen)
        yield place


def secret(place, name="database", recipients=OURS, **data):
    manifest = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": place.app}, "stringData": data,
    }  # fmt: skip
    return closed(manifest, recipients, NOW, encrypted_regex=SECRET_FIELDS)


def config(place, name="settings", **data):
    manifest = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": place.app}, "data": data,
    }  # fmt: skip
    return closed(manifest, OURS, NOW, encrypted_regex="^data$")


def rendered(place):
    """A Secret as the hub makes it of a chart's secret values."""
    document = bundle.canonical_line(closed({"db": {"password": PLAIN}, "n": 7}, OURS, NOW)).decode()
    password, number = token(document, ("db", "password")), token(document, ("n",))
    text = f"password: {password}\n"
    manifest = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rendered", "namespace": place.app},
        "data": {"config.yaml": base64.b64encode(text.encode()).decode()}, "stringData": {"n": number + "!"},
    }  # fmt: skip
    fills = (
        Fill(("data", "config.yaml"), password, 0, ("db", "password"), "base64"),
        Fill(("stringData", "n"), number, 0, ("n",)),
    )
    return with_seal(manifest, Seal((document,), fills))


def text_of(live, key):
    return base64.b64decode(live["data"][key]).decode()


def spellings():
    for text in (PLAIN, f"password: {PLAIN}\n"):
        yield text.encode()
        for shift in range(3):
            # As base64 has it, wherever in a text it begins.
            yield base64.b64encode(b"\0" * shift + text.encode())[4 if shift else 0 : -4]


def written(place):
    """Everything the agent keeps on disk, unpacked where it is packed."""
    for path in place.settings.state.rglob("*"):
        if path.is_file():
            stored = path.read_bytes()
            yield stored
            try:
                yield bundle.decompress(stored, bundle.BODY_LIMIT)
            except InvalidMessage:
                continue


async def nowhere(place, caplog):
    """Nothing that the agent wrote down, sent or logged holds the plain value."""

    async def kept():
        return any(b"ENC[AES256_GCM" in content for content in written(place))

    await place.until(kept)
    for content in (*written(place), *place.said, caplog.text.encode()):
        for spelling in spellings():
            assert spelling not in content
    assert place.said


async def test_secrets_are_decrypted_into_the_cluster_and_nowhere_else(place, caplog):
    assignment = await place.assign(
        secret(place, password=PLAIN), config(place, password=PLAIN, size="12"), rendered(place)
    )
    await place.hub.healthy(assignment)

    live = await place.live("v1", "Secret", "database")
    assert text_of(live, "password") == PLAIN
    assert "sops" not in live
    assert (await place.live("v1", "ConfigMap", "settings"))["data"] == {"password": PLAIN, "size": "12"}
    made = await place.live("v1", "Secret", "rendered")
    assert text_of(made, "config.yaml") == f"password: {PLAIN}\n"
    assert text_of(made, "n") == "7!"
    await nowhere(place, caplog)

    # A change by hand is seen, put right, and told without what was or is there.
    for kind, changed in (("Secret", base64.b64encode(CHANGED.encode()).decode()), ("ConfigMap", CHANGED)):
        name = "database" if kind == "Secret" else "settings"
        edit = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": place.app}}
        await place.write({**edit, "data": {"password": changed}}, "intruder", method="PATCH")
        report = await place.hub.report(
            assignment, lambda r, kind=kind: any(each.ref.kind == kind and each.corrected for each in r.drift)
        )
        found = next(each for each in report.drift if each.ref.kind == kind)
        assert [field.path for field in found.fields] == ["/data/password"]
        assert found.fields[0].manager == "intruder"
        assert CHANGED not in str(report)
    assert text_of(await place.live("v1", "Secret", "database"), "password") == PLAIN
    assert (await place.live("v1", "ConfigMap", "settings"))["data"]["password"] == PLAIN

    # What the hub asks about is answered in the same manner.
    body = zstandard.ZstdCompressor().compress(bundle.canonical_line(config(place, password=CHANGED, size="12")))
    question = place.hub.key.sign(Question(VERSION, "c1", place.app, place.app, Policy(), body, 10.0))
    reply = await place.hub.bus.request(subjects.ask_diff("c1"), encode(question), timeout=20)
    place.said.append(reply.data)
    answer = decode(reply.data, Answer)
    assert [field.path for field in answer.objects[0].fields] == ["/data/password"]
    assert CHANGED not in str(answer)
    await nowhere(place, caplog)


async def test_what_cannot_be_opened_is_refused_alone_and_says_why(place, caplog):
    tampered = secret(place, "tampered", password=PLAIN)
    tampered["metadata"]["labels"] = {"added": "later"}
    assignment = await place.assign(
        tampered, secret(place, "foreign", OTHERS, password=PLAIN), secret(place, "fine", password=PLAIN)
    )

    report = await place.hub.report(assignment, lambda r: r.phase is Phase.FAILED)

    reasons = {each.ref.name: each.reason for each in report.objects}
    assert "MAC" in reasons["tampered"]
    assert OURS[0] in reasons["foreign"]
    assert text_of(await place.live("v1", "Secret", "fine"), "password") == PLAIN
    assert await place.kube.get(report.objects[0].ref) is None or report.objects[0].ref.name == "fine"
    await nowhere(place, caplog)


async def test_a_key_that_comes_later_opens_what_waited_for_it(place, caplog, monkeypatch, tmp_path):
    monkeypatch.setattr("agent.unit.SLOWLY", (0.1, 0.5))
    key = tmp_path / "later.agekey"
    await place.again(age_key=key)
    assignment = await place.assign(secret(place, password=PLAIN))
    report = await place.hub.report(assignment, lambda r: r.phase is Phase.FAILED)
    assert "the age key cannot be read" in report.reason

    key.write_text(KEY.read_text())

    await place.hub.healthy(assignment)
    assert text_of(await place.live("v1", "Secret", "database"), "password") == PLAIN
    # Started anew, the agent knows from its disk what it has applied, and applies nothing.
    place.requests.clear()
    boot = place.hub.beats[-1].boot
    told = len(place.hub.reports[assignment.unit])
    await place.again()
    await place.hub.until(lambda: place.hub.beats[-1].boot != boot and len(place.hub.reports[assignment.unit]) > told)
    await place.hub.healthy(assignment)
    assert place.writes() == []
    await nowhere(place, caplog)


async def test_a_server_that_quotes_a_secret_is_not_quoted(place, caplog):
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "quoted", "namespace": place.app},
        "spec": {"ports": [{"port": 80}], "type": PLAIN},
    }  # fmt: skip
    assignment = await place.assign(closed(service, OURS, NOW, encrypted_regex="^type$"))

    report = await place.hub.report(assignment, lambda r: r.phase is Phase.FAILED)

    assert "(secret)" in report.reason
    await nowhere(place, caplog)
