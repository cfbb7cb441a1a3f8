"""Secrets put into objects, and how objects are spoken of that hold them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.agekeys import recipients
from agent.domain.desired import Desired, prepare
from agent.domain.secrecy import Unreadable, Unsealed, filled, scrubbed, shown
from agent.domain.writing import yaml_of
from agent.unsealing import KeyFile, NoKeys, Unsealer
from hub.domain.yamldoc import load_documents
from shared import bundle
from shared.diff import SECRET, diff
from shared.errors import InvalidMessage
from shared.model import UnitKey
from shared.sealed import Fill, Seal, token, with_seal
from shared.sops.ages import Identities
from shared.sops.closing import SECRET_FIELDS, closed

DATA = Path(__file__).parents[2] / "data" / "sops"
UNIT = UnitKey("c", "shop", "shop")
T = token("document")


def secret(**more):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **more}


def test_the_public_keys_are_those_that_age_itself_tells():
    text = (DATA / "first.agekey").read_text() + "\n" + (DATA / "second.agekey").read_text()

    assert recipients(text) == Identities.read(text).recipients
    new = pyrage.x25519.Identity.generate()
    assert recipients(str(new)) == (str(new.to_public()),)
    assert recipients(str(new)[:-1] + "Q") == () or str(new).endswith("Q")
    assert recipients("AGE-SECRET-KEY-1B!\nAGE-SECRET-KEY-PQ-1X\nAGE-SECRET-KEY-1\n") == ()


FILLS = {
    "a whole text": ("stringData", "p", T, Fill(("stringData", "p"), T, 0, ("a",)), "hunter2"),
    "a number in a text": ("stringData", "p", f"port={T};", Fill(("stringData", "p"), T, 0, ("n",)), "port=7;"),
    "a truth in a text": ("stringData", "p", f"{T}!", Fill(("stringData", "p"), T, 0, ("b",)), "true!"),
    "inside base64": (
        "data", "p", base64.b64encode(f"x{T}y".encode()).decode(), Fill(("data", "p"), T, 0, ("a",), "base64"),
        base64.b64encode(b"xhunter2y").decode(),
    ),
    "bytes inside base64": (
        "data", "p", base64.b64encode(T.encode()).decode(), Fill(("data", "p"), T, 0, ("x",), "base64"),
        base64.b64encode(b"\xff\x00").decode(),
    ),
    "a whole file": (
        "data", "p", base64.b64encode(T.encode()).decode(), Fill(("data", "p"), T, 0, (), "base64", "dotenv"),
        base64.b64encode(b"K=v\\nw\n").decode(),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("part", "key", "text", "fill", "expected"), FILLS.values(), ids=FILLS)
def test_a_secret_is_put_where_its_token_is(part, key, text, fill, expected):
    document = {"K": "v\nw"} if fill.whole else {"a": "hunter2", "n": 7, "b": True, "x": b"\xff\x00"}
    manifest = with_seal(secret(**{part: {key: text}}), Seal(("{}",), (fill,)))

    result = filled(manifest, Seal(("{}",), (fill,)), [document])

    assert result.manifest == secret(**{part: {key: expected}})
    assert result.hidden == ((part, key),)
    assert "hunter2" not in repr(result)


@pytest.mark.parametrize(
    "fill",
    [Fill(("data", "gone"), T, 0, ("a",)), Fill(("data", "p"), T, 0, ("gone",)), Fill(("data", "p"), T, 0, ("x",))],
)
def test_a_fill_that_fits_nothing_is_refused(fill):
    with pytest.raises(InvalidMessage):
        filled(secret(data={"p": T}), Seal(("{}",), (fill,)), [{"a": "b", "x": b"\xff"}])


def test_what_is_kept_of_an_object_follows_from_what_was_encrypted():
    sealed = secret(stringData={"p": "ENC[x]"})

    (one, other), _ = (
        prepare([Unsealed(sealed, secret(stringData={"p": "hunter2"}), (("stringData", "p"),)),
                 {**secret(), "metadata": {"name": "t"}}], UNIT, "set", lambda ref: True)
    )  # fmt: skip
    again, _ = prepare([Unsealed(sealed, secret(stringData={"p": "other"}), ())], UNIT, "set", lambda ref: True)

    assert one.digest == again[0].digest != other.digest
    assert one.manifest["data"] == {"p": base64.b64encode(b"hunter2").decode()}
    assert one.hidden == (("data", "p"),)
    assert "hunter2" not in repr(one)
    assert base64.b64encode(b"hunter2").decode() not in repr(one)


@pytest.mark.parametrize(
    "hidden",
    [
        {"kind": "ClusterRoleBinding"},
        {"apiVersion": "x/v1"},
        {"metadata": {"name": "other"}},
        {"metadata": {"name": "s", "namespace": "other"}},
    ],
)
def test_what_an_object_is_cannot_be_decrypted_into_something_else(hidden):
    made, refused = prepare([Unsealed(secret(), {**secret(), **hidden}, (("kind",),))], UNIT, "set", lambda ref: True)

    assert made == []
    assert "is encrypted" in refused[0].reason


def test_what_cannot_be_read_is_refused_under_its_name():
    made, refused = prepare([Unreadable(secret(), "no key")], UNIT, "set", lambda ref: True)

    assert made == []
    assert (refused[0].ref.namespace, refused[0].ref.name) == ("shop", "s")
    assert "no key" in refused[0].reason


@pytest.mark.parametrize(
    ("path", "hides"),
    [
        (("spec", "p"), True),
        (("spec",), True),
        (("spec", "p", 0, "q"), True),
        (("spec", "other"), False),
        (("status",), False),
    ],
)
def test_a_difference_in_around_or_at_a_secret_is_veiled(path, hides):
    want = {"kind": "X", "spec": {"p": {"in": "hunter2"}}}
    (difference,) = diff(want, {"kind": "X", "spec": {"p": {"in": "other"}}})

    told = shown(difference, {"kind": "X"}, [path])

    assert (told.want, told.have) == ((SECRET, SECRET) if hides else ("hunter2", "other"))


def test_the_items_of_a_hidden_list_are_not_named():
    want, have = ({"spec": {"users": [{"name": "ann", "password": text}]}} for text in ("hunter2", "other"))
    (difference,) = diff(want, have)
    assert difference.path == "/spec/users/name=ann/password"

    told = shown(difference, {"kind": "X"}, [("spec", "users", 0, "name"), ("spec", "users", 0, "password")])

    assert (told.path, told.want, told.have) == ("/spec/users", SECRET, SECRET)


def test_the_server_s_words_lose_the_secret_however_it_is_quoted():
    manifest = secret(data={"p": base64.b64encode(b'hun"ter2\nsecond line').decode()}, extra={"n": "12", "m": "zz-top"})
    hidden = [("data", "p"), ("extra", "n"), ("extra", "m"), ("gone",)]

    said = scrubbed(
        f'bad {manifest["data"]["p"]} or "hun\\"ter2\\nsecond line" or second line or zz-top, line 12', manifest, hidden
    )

    assert said == f'bad {SECRET} or "{SECRET}" or {SECRET} or {SECRET}, line 12'
    assert scrubbed("zz-top", manifest, ()) == "zz-top"


TREES = st.dictionaries(
    st.text(max_size=6),
    st.recursive(
        st.one_of(st.text(max_size=12), st.integers(-(2**53), 2**53), st.booleans(), st.none()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=80, deadline=None)
@given(tree=TREES)
def test_a_file_that_is_written_again_reads_the_same(tree):
    documents = load_documents(yaml_of(tree), file="x")

    assert [each.value for each in documents] == [tree]


async def test_only_sealed_objects_are_opened_and_order_is_kept():
    plain, key = secret(data={}), KeyFile(DATA / "first.agekey")
    sealed = closed(
        secret(stringData={"p": "hunter2"}),
        Identities.read(key.identities()).recipients,
        0.0,
        encrypted_regex=SECRET_FIELDS,
    )
    sealed = json.loads(bundle.canonical_line(sealed))
    made = Desired(None, {}, "")

    found = await Unsealer(key).opened([plain, sealed, made])

    assert found[0] is plain
    assert isinstance(found[1], Unsealed)
    assert found[1].manifest == secret(stringData={"p": "hunter2"})
    assert found[2] is made


async def test_without_a_key_it_says_what_to_do():
    sealed = {**secret(stringData={"p": "ENC[x]"}), "sops": {"mac": "x"}}

    (none,) = await Unsealer(NoKeys()).opened([sealed])
    (gone,) = await Unsealer(KeyFile(DATA / "nothing")).opened([sealed])

    assert (none.for_want_of_a_key, gone.for_want_of_a_key) == (True, True)
    assert "--age-key" in none.reason
    assert "cannot be read" in gone.reason


async def test_a_damaged_seal_is_refused():
    for seal in (
        {},
        {"documents": ["x"], "fills": []},
        {"documents": [], "fills": [{"at": ["a"], "token": T, "document": 0}]},
    ):
        (found,) = await Unsealer(KeyFile(DATA / "first.agekey")).opened([{**secret(), "yardarm.dev/sealed": seal}])

        assert isinstance(found, Unreadable)
