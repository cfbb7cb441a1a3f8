"""What travels between hub and agent survives the trip, and nothing else is believed."""

import hashlib

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bundle, subjects
from shared.errors import DigestMismatch, InvalidMessage, InvalidSignature
from shared.messages import Assignment, Policy, Report, Root, decode, encode
from shared.model import UnitKey
from shared.signing import PublicKey, SigningKey, Trust

KEY = SigningKey(b"k" * 32)
OTHER = SigningKey(b"o" * 32)
TRUST = Trust((KEY.public,))


def assignment(lines: list[bytes], **changes) -> Assignment:
    body = bundle.inline(lines) or b""
    packed = () if body else tuple(pack.ref for pack in bundle.packs(lines))
    fields = {
        "v": 1, "cluster": "prod-eu-1", "namespace": "shop", "application": "web", "generation": 7,
        "digest": bundle.Bundle(Policy(), tuple(lines)).digest, "commit": "c0ffee", "revision": "r1",
        "policy": Policy(), "objects": len(lines), "at": 1.5, "packs": packed, "inline": body,
    }  # fmt: skip
    return Assignment(**fields | changes)


def lines_of(count: int, size: int = 10) -> list[bytes]:
    return [
        bundle.canonical_line(
            {
                "kind": "ConfigMap",
                "metadata": {"name": f"c{n}"},
                "data": {"x": hashlib.sha512(b"%d" % n).hexdigest() * size},
            }
        )
        for n in range(count)
    ]


def test_a_signed_assignment_opens_to_the_same_message():
    sent = KEY.sign(assignment(lines_of(3)))

    assert TRUST.open(encode(sent), Assignment) == sent


@pytest.mark.parametrize("field", ["cluster", "generation", "digest", "inline", "removed", "policy", "objects"])
def test_a_changed_field_breaks_the_signature(field):
    fields = orjson.loads(encode(KEY.sign(assignment(lines_of(3)))))
    tampered = {"generation": 8, "removed": True, "objects": 2, "policy": fields["policy"] | {"prune": False}}
    fields[field] = tampered.get(field, "AAAA")

    with pytest.raises(InvalidSignature, match="does not fit"):
        TRUST.open(orjson.dumps(fields), Assignment)


def test_a_field_added_by_a_newer_hub_is_covered_and_ignored():
    message = KEY.sign(assignment([]))
    newer = orjson.loads(encode(message)) | {"color": "blue"}

    with pytest.raises(InvalidSignature):
        TRUST.open(orjson.dumps(newer), Assignment)


def test_a_foreign_key_is_named_in_the_refusal():
    with pytest.raises(InvalidSignature, match=f"signed with key {OTHER.public.id}, trusted here: {KEY.public.id}"):
        TRUST.open(encode(OTHER.sign(assignment([]))), Assignment)


def test_both_keys_hold_while_the_hub_changes_its_key():
    trust = Trust((KEY.public, OTHER.public))

    for key in (KEY, OTHER):
        assert trust.open(encode(key.sign(Root(1, "a", 1, ()))), Root).cluster == "a"


def test_public_keys_are_read_back_and_bad_ones_refused():
    assert PublicKey.parse(str(KEY.public)) == KEY.public
    for bad in ("", "###", "AAAA"):
        with pytest.raises(InvalidMessage):
            PublicKey.parse(bad)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b'{"v":1}', b'{"v":"1"}', b"[" * 100_000, b"\xff\xfe"])
def test_garbage_on_the_wire_is_an_invalid_message(payload):
    for kind in (Assignment, Root, Report):
        with pytest.raises(InvalidMessage):
            decode(payload, kind)


def test_a_version_this_build_does_not_speak_says_so():
    data = orjson.dumps(orjson.loads(encode(Root(1, "a", 1, ()))) | {"v": 2})

    with pytest.raises(InvalidMessage, match="version 2, this build speaks 1"):
        decode(data, Root)


@given(st.integers(0, 400), st.integers(1, 40))
def test_a_body_survives_packing_and_keeps_its_digest(count, size):
    lines = lines_of(count, size)
    sent = assignment(lines)
    raw = {}
    for pack in bundle.packs(lines):
        assert all(len(chunk) <= bundle.CHUNK for chunk in pack.chunks)
        raw[pack.ref.digest] = bundle.unpack(pack.ref, b"".join(chunk for _, chunk in pack.blobs()))

    opened = bundle.open_bundle(sent, lambda ref: raw[ref.digest])

    assert opened.lines == tuple(lines)
    assert opened.digest == sent.digest


def test_one_changed_object_changes_at_most_two_packs():
    before = lines_of(2_000)
    after = [*before[:1_000], bundle.canonical_line({"kind": "ConfigMap", "changed": True}), *before[1_001:]]

    old = {pack.ref.digest for pack in bundle.packs(before)}
    new = {pack.ref.digest for pack in bundle.packs(after)}

    assert len(old) > 10
    assert len(new - old) <= 2


def test_one_object_larger_than_a_nats_message_is_chunked():
    text = "".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(40_000))
    (pack,) = bundle.packs([bundle.canonical_line({"kind": "ConfigMap", "data": {"x": text}})])

    assert pack.ref.chunks > 1
    assert [name for name, _ in pack.blobs()] == [f"{pack.ref.digest}-{n}" for n in range(pack.ref.chunks)]


def test_bytes_that_are_not_what_the_digest_names_are_refused():
    lines = lines_of(2)
    with pytest.raises(DigestMismatch):
        bundle.open_bundle(assignment(lines, inline=bundle.inline(lines[:1])), lambda _: b"")
    (pack,) = bundle.packs(lines)
    (other,) = bundle.packs(lines[:1])
    with pytest.raises(DigestMismatch):
        bundle.unpack(pack.ref, other.chunks[0])
    with pytest.raises(InvalidMessage, match="not zstd"):
        bundle.unpack(pack.ref, b"plain")


def test_a_small_message_cannot_become_a_large_allocation():
    (huge,) = bundle.packs([b'"' + b"a" * 10_000_000 + b'"'])
    lying = msgspec.structs.replace(huge.ref, size=100)

    with pytest.raises(InvalidMessage, match="more than 100 bytes"):
        bundle.unpack(lying, b"".join(huge.chunks))


def test_key_order_does_not_change_a_digest_except_under_sops():
    assert bundle.canonical_line({"b": 1, "a": 2}) == bundle.canonical_line({"a": 2, "b": 1})
    assert bundle.canonical_line({"sops": {}, "a": 2}) != bundle.canonical_line({"a": 2, "sops": {}})


def test_policy_is_part_of_the_digest():
    assert bundle.Bundle(Policy(), ()).digest != bundle.Bundle(Policy(drift="report"), ()).digest


@given(st.text(max_size=80))
def test_no_name_smuggles_tokens_into_a_subject(name):
    try:
        subject = subjects.desired(UnitKey(name, "default", "web"))
    except InvalidMessage:
        return
    assert len(subject.split(".")) == 4
    assert not set("*> ") & set(subject)
    assert subjects.parse_desired(subject) == UnitKey(name, "default", "web")


def test_subjects_are_read_back():
    unit = UnitKey("prod-eu-1", "shop", "web")
    assert subjects.parse_desired("notify." + subjects.desired(unit)) == unit
    assert subjects.parse_report(subjects.report(unit)) == unit
    assert subjects.parse_desired(subjects.desired_root("a")) == "_root"
    assert subjects.parse_report(subjects.beat("a")) == "_beat"
    assert subjects.cluster_of(subjects.event("a", "drift")) == "a"
    for bad in ("desired.a", "desired.a.b.c.d", "report.a.b.C", "x.a.b.c"):
        with pytest.raises(InvalidMessage):
            subjects.parse_desired(bad)
