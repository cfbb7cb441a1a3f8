"""The hub's keys on disk: made once, private, never replaced."""

import base64
import json
import threading
from pathlib import Path

import pytest

from hub.identity import Identity
from shared.credentials import Credentials
from shared.errors import DocumentError, InvalidMessage
from shared.messages import VERSION, Root
from shared.signing import Trust


def keys_file(folder: Path) -> Path:
    return folder / "keys" / "identity.json"


def claims(jwt: str) -> dict:
    payload = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_the_keys_stay_the_same_and_are_private(tmp_path):
    first = Identity.load_or_create(tmp_path)
    again = Identity.load_or_create(tmp_path)

    assert repr(first) == repr(again)
    assert first.signing_key.public == again.signing_key.public
    assert keys_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert keys_file(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in keys_file(tmp_path).parent.iterdir()] == ["identity.json"]


def test_hubs_that_start_at_once_agree_on_one_identity(tmp_path):
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(repr(Identity.load_or_create(tmp_path)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 8
    assert len(set(made)) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"operator": "SU"}'])
def test_a_damaged_file_is_named_and_never_replaced(tmp_path, content):
    Identity.load_or_create(tmp_path)
    keys_file(tmp_path).write_bytes(content)

    with pytest.raises(DocumentError, match=r"identity\.json.*backup"):
        Identity.load_or_create(tmp_path)
    assert keys_file(tmp_path).read_bytes() == content


def test_keys_of_the_wrong_kind_are_refused(tmp_path):
    Identity.load_or_create(tmp_path)
    stored = json.loads(keys_file(tmp_path).read_text())
    stored["hub"] = stored["operator"]
    keys_file(tmp_path).write_text(json.dumps(stored))

    with pytest.raises(DocumentError, match="operator key where one of kind account belongs"):
        Identity.load_or_create(tmp_path)


def test_an_agent_gets_the_hub_key_and_no_permissions_of_its_own(tmp_path):
    identity = Identity.load_or_create(tmp_path)

    credentials = Credentials.parse(str(identity.agent_credentials("prod-1", "acme")))
    root = identity.signing_key.sign(Root(v=VERSION, cluster="prod-1", generation=1, units=()))

    assert claims(credentials.jwt)["name"] == "prod-1"
    assert set(claims(credentials.jwt)["nats"]) == {"type", "issuer_account", "tags", "version"}
    assert claims(credentials.jwt)["nats"]["tags"] == ["tenant:acme"]
    from shared.messages import encode

    assert Trust(credentials.hub_keys).open(encode(root), Root) == root


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "A", "a b", "-a", "a" * 64])
def test_a_name_that_could_widen_permissions_is_refused(tmp_path, name):
    identity = Identity.load_or_create(tmp_path)

    with pytest.raises(InvalidMessage):
        identity.agent_credentials(name)
    with pytest.raises(InvalidMessage):
        identity.agent_credentials("ok", name)


def test_nothing_private_is_shown(tmp_path):
    identity = Identity.load_or_create(tmp_path)
    shown = repr(identity) + identity.server_config("127.0.0.1:1", tmp_path)

    assert [seed for seed in json.loads(keys_file(tmp_path).read_text()).values() if seed in shown] == []
