"""Files as `yardarm secret` encrypts them: read back by their format, and nothing lost but comments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.secretfiles import encrypted, rotated
from hub.domain.sopsfiles import read, read_sops
from shared.errors import DocumentError
from shared.sealed import dotted, recipients
from shared.sealed import encrypted as hidden
from shared.sops.ages import Identities
from shared.sops.opening import opened

DATA = Path(__file__).parents[2] / "data" / "sops"
FIRST, SECOND = (Identities.read((DATA / f"{name}.agekey").read_text()) for name in ("first", "second"))
NOW = 1_790_000_000.0
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {when: '2024-01-01', no: 'yes', num: '012'}\n"
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {when: '2024-01-01'}\n"


def back(text: str, name: str) -> dict:
    return opened(read_sops(text.encode(), name).value, FIRST)


def test_of_a_secret_the_values_are_encrypted_and_other_documents_stay():
    text = encrypted(f"{SECRET}---\n{OTHER}".encode(), "s.yaml", FIRST.recipients, NOW, "")

    secret, other = (each.value for each in read(text.encode(), "s.yaml"))
    # A key `no` is a truth to Kubernetes, as it is in the file that was encrypted.
    assert [dotted(path) for path in hidden(secret)] == ["stringData.when", "stringData.false", "stringData.num"]
    assert secret["metadata"] == {"name": "s"}
    assert opened(secret, FIRST)["stringData"] == {"when": "2024-01-01", "false": "yes", "num": "012"}
    assert other["data"] == {"when": "2024-01-01"}


FILES = {
    "values.yaml": (b"a: {b: 1, c: [true, x]}\nd: 2024-01-01\n", {"a": {"b": 1, "c": [True, "x"]}, "d": "2024-01-01"}),
    "v.json": (b'{"a": {"b": "x"}, "n": null}', {"a": {"b": "x"}, "n": None}),
    "db.env": (b"A=x=y\n# note\nB=one\\ntwo\n", {"A": "x=y", "B": "one\ntwo"}),
    "id_rsa": (b"-----BEGIN\nkey", {"data": "-----BEGIN\nkey"}),
    "key.bin": (b"\x00\xff", {"data": b"\x00\xff"}),
}


@pytest.mark.parametrize("name", FILES)
def test_any_other_file_is_encrypted_whole_in_its_format(name):
    data, plain = FILES[name]

    text = encrypted(data, name, [*FIRST.recipients, *SECOND.recipients], NOW, "")

    assert back(text, name) == plain
    assert recipients(read_sops(text.encode(), name).value) == (*FIRST.recipients, *SECOND.recipients)


def test_a_rule_says_what_is_encrypted_of_other_objects():
    text = encrypted(OTHER.encode(), "c.yaml", FIRST.recipients, NOW, "^data$")

    assert back(text, "c.yaml")["data"] == {"when": "2024-01-01"}
    assert "2024" not in text.partition("sops:")[0]


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (OTHER, "c.yaml", "there is no Secret in it"),
        ((DATA / "secret.enc.yaml").read_text(), "s.yaml", "encrypted already"),
        ("- a\n", "l.yaml", "is a map"),
        ("A\n", "x.env", "without `=`"),
    ],
)
def test_what_cannot_be_encrypted_is_said_with_its_file(data, name, message):
    with pytest.raises(DocumentError, match=message) as refused:
        encrypted(data.encode(), name, FIRST.recipients, NOW, "")

    assert str(refused.value).startswith(name)


@pytest.mark.parametrize("name", ["secret.enc.yaml", "db.enc.env", "docker.enc.json", "values.enc.yaml"])
def test_a_file_is_rotated_to_others_or_keeps_its_own(name):
    data = (DATA / name).read_bytes()

    again, others = rotated(data, name, (), FIRST, NOW), rotated(data, name, SECOND.recipients, FIRST, NOW)

    plain = opened(read_sops(data, name).value, FIRST)
    assert back(again, name) == plain
    assert again != data.decode()
    assert json.dumps(opened(read_sops(others.encode(), name).value, SECOND)) == json.dumps(plain)


def test_what_is_not_encrypted_or_not_ours_is_not_rotated():
    with pytest.raises(DocumentError, match="nothing in it is encrypted"):
        rotated(SECRET.encode(), "s.yaml", (), FIRST, NOW)
    with pytest.raises(DocumentError, match="encrypt it for"):
        rotated((DATA / "secret-second.enc.yaml").read_bytes(), "s.yaml", (), FIRST, NOW)
