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
from shared.nkeys import NKey
from shared.signing import SigningKey, Trust
from shared.tasks import Clock

FUTURE = 4e9


class FixedClock(Clock):
    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now


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
    stored["keys"]["hub"][0]["seed"] = stored["keys"]["operator"][0]["seed"]
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
    with pytest.raises(InvalidMessage):
        identity.join_credentials(name, expires=FUTURE)


def test_a_cluster_that_could_read_the_answers_to_join_codes_is_refused(tmp_path):
    with pytest.raises(InvalidMessage, match="cannot be named 'join'"):
        Identity.load_or_create(tmp_path).agent_credentials("join")


def test_a_user_is_made_for_a_key_whose_private_half_stays_away(tmp_path):
    identity = Identity.load_or_create(tmp_path, FixedClock(1000.0))
    key = NKey.generate("user")

    made = claims(identity.agent_jwt("prod-1", key.public, expires=1600.0))

    assert (made["sub"], made["name"], made["iat"], made["exp"]) == (key.public, "prod-1", 1000, 1600)


@pytest.mark.parametrize(
    "public",
    ["", "U", NKey.generate("account").public, NKey.generate("user").seed, "UÄ", "U" * 56],
    ids=["nothing", "a prefix alone", "an account's", "a private one", "no base32", "a wrong checksum"],
)
def test_only_a_users_public_name_gets_a_user(tmp_path, public):
    with pytest.raises(InvalidMessage, match="not the public name of a NATS user key"):
        Identity.load_or_create(tmp_path).agent_jwt("prod-1", public, expires=FUTURE)


def test_users_end_when_they_are_to_and_none_is_made_that_has_ended(tmp_path):
    identity = Identity.load_or_create(tmp_path, FixedClock(1000.0))

    assert "exp" not in claims(identity.agent_credentials("prod-1").jwt)  # nobody would renew it
    assert claims(identity.agent_credentials("prod-1", expires=2000.0).jwt)["exp"] == 2000
    assert claims(identity.join_credentials("code-1", 1060.0).jwt)["exp"] == 1060
    with pytest.raises(InvalidMessage, match="expired already"):
        identity.agent_credentials("prod-1", expires=1000.0)


def test_a_file_of_the_first_generation_is_taken_over_and_its_agents_stay(tmp_path):
    """They were made by the agents' signing key and trust the assignments' key; accounts keep their names."""
    names = ("operator", "system", "hub", "agents", "agents_signing")
    old = {name: NKey.generate("operator" if name == "operator" else "account") for name in names}
    seed = base64.b64encode(b"k" * 32).decode()
    keys_file(tmp_path).parent.mkdir()
    keys_file(tmp_path).write_text(json.dumps({name: key.seed for name, key in old.items()} | {"assignments": seed}))
    keys_file(tmp_path).chmod(0o600)

    identity = Identity.load_or_create(tmp_path)
    made = claims(identity.agent_credentials("prod-1").jwt)

    assert identity.signing_key.public == SigningKey(b"k" * 32).public
    assert (made["iss"], made["nats"]["issuer_account"]) == (old["agents_signing"].public, old["agents"].public)
    assert set(identity.account_jwts()) == {old[name].public for name in ("system", "hub", "agents")}
    assert repr(Identity.load_or_create(tmp_path)) == repr(identity)
    assert old["hub"].seed not in keys_file(tmp_path).read_text()


def test_nothing_private_is_shown(tmp_path):
    identity = Identity.load_or_create(tmp_path)
    shown = repr(identity) + identity.server_config("127.0.0.1:1", tmp_path)

    stored = json.loads(keys_file(tmp_path).read_text())["keys"]
    seeds = [key["seed"] for keys in stored.values() for key in keys]
    assert len(seeds) >= 7
    assert [seed for seed in seeds if seed in shown] == []
