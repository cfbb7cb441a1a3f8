"""Documents that the program `sops` has encrypted, opened; our own, round trips; and every tampering refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.yamldoc import load_documents
from shared.sealed import SOPS, dotted, encrypted, is_encrypted, leaves, recipients
from shared.sops.ages import Identities, valid_recipient
from shared.sops.closing import SECRET_FIELDS, closed, closed_anew
from shared.sops.errors import NoKey, NotOpened
from shared.sops.opening import opened

DATA = Path(__file__).parents[2] / "data" / "sops"
FIRST, SECOND = (Identities.read((DATA / f"{name}.agekey").read_text()) for name in ("first", "second"))
NOW = 1_790_000_000.0


def document(name: str) -> dict:
    return load_documents((DATA / name).read_bytes(), file=name)[0].value


def test_a_secret_encrypted_by_sops_is_opened_with_its_order():
    plain = opened(document("secret.enc.yaml"), FIRST)

    assert list(plain) == ["apiVersion", "kind", "metadata", "type", "stringData", "data"]
    assert plain["stringData"] == {"username": "shop", "password": "correct-horse-battery-staple", "empty": ""}
    assert plain["data"] == {"token": "aHVudGVyMi1odW50ZXIy"}
    assert plain["metadata"]["creationTimestamp"] is None


def test_every_type_of_value_comes_back_as_it_was():
    assert opened(document("values.enc.yaml"), FIRST) == {
        "database": {
            "password": "hunter2-hunter2",
            "port": 5432,
            "ratio": 0.25,
            "whole": 2.0,
            "large": 1e22,
            "enabled": True,
            "nothing": None,
            "users": [{"name": "ann", "password": "änn-ünicode"}, {"name": "bob", "password": "b0b"}],
        },
        "replicas": -3,
    }


def test_a_file_that_is_no_text_comes_back_as_bytes():
    assert opened(document("key.enc.bin"), FIRST) == {"data": b"\x00\x01\xfe\xffbinary-hunter2"}


@pytest.mark.parametrize("identities", [FIRST, SECOND], ids=["first", "second"])
def test_each_of_several_recipients_opens_it(identities):
    assert opened(document("secret-mac-only.enc.yaml"), identities)["stringData"]["username"] == "shop"


def test_nobody_else_opens_it_and_the_error_says_whom_it_is_for():
    with pytest.raises(NoKey) as refused:
        opened(document("secret.enc.yaml"), SECOND)

    assert FIRST.recipients[0] in str(refused.value)
    assert SECOND.recipients[0] in str(refused.value)


def test_one_of_two_documents_that_were_encrypted_together_is_refused():
    with pytest.raises(NotOpened, match="MAC"):
        opened(document("two.enc.yaml"), FIRST)


def _swapped(doc):
    data = doc["stringData"]
    data["username"], data["password"] = data["password"], data["username"]


def _without_sops_of(doc):
    doc["sops"]["mac"] = doc["stringData"]["password"]


TAMPERINGS = {
    "a plain field is edited": lambda doc: doc["metadata"].update(name="other"),
    "a plain field is added": lambda doc: doc["metadata"].update(annotations={"a": "b"}),
    "a value is taken out": lambda doc: doc["stringData"].pop("username"),
    "a ciphertext is replaced by a plain text": lambda doc: doc["stringData"].update(password="mine"),
    "a plain value is added among the secrets": lambda doc: doc["stringData"].update(more="mine"),
    "two ciphertexts change places": _swapped,
    "a ciphertext is moved to another key": lambda doc: doc["stringData"].update(moved=doc["stringData"].pop("username")),
    "a ciphertext is cut": lambda doc: doc["stringData"].update(password=doc["stringData"]["password"].replace("data:", "data:AA")),
    "a type is changed": lambda doc: doc["stringData"].update(password=doc["stringData"]["password"].replace("type:str", "type:int")),
    "fields are reordered": lambda doc: doc.update(type=doc.pop("type")),
    "there is no MAC": lambda doc: doc["sops"].pop("mac"),
    "the MAC is empty": lambda doc: doc["sops"].update(mac=""),
    "the MAC is another ciphertext": _without_sops_of,
    "the time is changed": lambda doc: doc["sops"].update(lastmodified="2020-01-01T00:00:00Z"),
    "the MAC is said to cover less": lambda doc: doc["sops"].update(mac_only_encrypted=True),
    "the data key is damaged": lambda doc: doc["sops"]["age"][0].update(enc=doc["sops"]["age"][0]["enc"][:-60]),
    "there is no recipient": lambda doc: doc["sops"].update(age=[]),
    "recipients are no list": lambda doc: doc["sops"].update(age={"enc": "x"}),
    "a recipient is no map": lambda doc: doc["sops"].update(age=["x"]),
    "key groups are asked for": lambda doc: doc["sops"].update(shamir_threshold=2),
    "sops is no map": lambda doc: doc.update(sops="ENC"),
    "there is no sops": lambda doc: doc.pop("sops"),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERINGS.values(), ids=TAMPERINGS)
def test_every_tampering_is_refused_without_a_word_of_the_secret(how):
    doc = copy.deepcopy(document("secret.enc.yaml"))
    how(doc)

    with pytest.raises(NotOpened) as refused:
        opened(doc, FIRST)

    assert "correct-horse" not in str(refused.value)


def test_a_document_that_only_a_cloud_key_opens_says_what_is_missing():
    doc = document("secret.enc.yaml")
    about = {**doc["sops"], "age": None, "kms": [{"arn": "arn:aws:kms:x"}]}

    with pytest.raises(NotOpened, match="kms only"):
        opened({**doc, "sops": about}, FIRST)


def test_a_key_file_with_something_else_in_it_is_refused_without_showing_it():
    with pytest.raises(NotOpened) as refused:
        Identities.read("# mine\nAGE-SECRET-KEY-PQ-1SECRET\n")

    assert "line 2" in str(refused.value)
    assert "SECRET-KEY-PQ-1SECRET" not in str(refused.value)
    with pytest.raises(NotOpened, match="no secret key"):
        Identities.read("# nothing here\n")


def test_recipients_are_told_without_a_key():
    assert recipients(document("secret-mac-only.enc.yaml")) == (*FIRST.recipients, *SECOND.recipients)
    assert not valid_recipient("age1nonsense")
    assert valid_recipient(FIRST.recipients[0])


def test_a_secret_is_encrypted_so_that_only_its_values_are_hidden():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hunter2", "b": ""}}

    sealed = closed(secret, FIRST.recipients, NOW, encrypted_regex=SECRET_FIELDS)

    assert [dotted(path) for path in encrypted(sealed)] == ["stringData.a"]
    assert sealed["metadata"] == {"name": "s"}
    assert "hunter2" not in json.dumps(sealed)
    assert opened(sealed, FIRST) == secret
    with pytest.raises(NotOpened, match="already"):
        closed(sealed, FIRST.recipients, NOW)


def test_a_rotation_hides_the_same_fields_from_those_who_are_left_out():
    before = document("secret-mac-only.enc.yaml")

    after = closed_anew(before, FIRST, SECOND.recipients, NOW)

    assert encrypted(after) == encrypted(before)
    assert opened(after, SECOND) == opened(before, FIRST)
    assert after["sops"]["mac_only_encrypted"] is True
    with pytest.raises(NoKey):
        opened(after, FIRST)


def test_whom_a_document_is_for_is_told_in_few_words():
    doc = document("secret-second.enc.yaml")
    many = {**doc, "sops": {**doc["sops"], "age": doc["sops"]["age"] * 1000}}

    with pytest.raises(NoKey, match="and 997 more") as refused:
        opened(many, FIRST)

    assert len(str(refused.value)) < 400


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(
    field=st.sampled_from(["age", "mac", "lastmodified", "mac_only_encrypted", "key_groups", "enc", "recipient"]),
    value=JSON,
    at=st.integers(0, 400),
)
def test_whatever_is_in_its_own_part_it_is_opened_right_or_refused(field, value, at):
    doc = copy.deepcopy(document("secret.enc.yaml"))
    if field in ("enc", "recipient"):
        text = doc["sops"]["age"][0][field]
        doc["sops"]["age"][0][field] = text[:at] + str(value) + text[at + 1 :] if at % 2 else value
    else:
        doc["sops"][field] = value

    try:
        plain = opened(doc, FIRST)
    except NotOpened:
        return
    assert plain["stringData"]["password"] == "correct-horse-battery-staple"


SCALARS = st.one_of(
    st.text(max_size=20),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
KEYS = st.text(min_size=1, max_size=8).filter(lambda key: key != SOPS)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(tree=TREES, only=st.booleans(), rule=st.sampled_from(["", "^a"]))
def test_what_is_encrypted_comes_back_over_json(tree, only, rule):
    sealed = closed(tree, FIRST.recipients, NOW, encrypted_regex=rule, mac_only_encrypted=only)

    back = opened(json.loads(json.dumps(sealed)), FIRST)

    assert json.dumps(back) == json.dumps(tree)


@settings(max_examples=40, deadline=None)
@given(
    tree=TREES.filter(lambda tree: any(value not in ("", None) for _, value in leaves(tree))),
    pick=st.integers(0),
    other=SCALARS,
)
def test_no_value_can_be_exchanged(tree, pick, other):
    sealed = closed(tree, FIRST.recipients, NOW)
    paths = [path for path, value in leaves(sealed) if is_encrypted(value)]
    *steps, last = paths[pick % len(paths)]
    parent = sealed
    for step in steps:
        parent = parent[step]
    parent[last] = f"{other}x"

    with pytest.raises(NotOpened):
        opened(sealed, FIRST)
