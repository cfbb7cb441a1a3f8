"""The file an agent is given: read back exactly, refused with a reason, never shown."""

import pytest

from shared.credentials import Credentials
from shared.errors import InvalidMessage
from shared.nkeys import NKey
from shared.signing import SigningKey

USER = NKey.generate("user")
JWT = "eyJ0eXAiOiJKV1Qi.eyJqdGk-iOiJ_--Q.c2ln-bmF0dXJl_-"
GIVEN = Credentials(jwt=JWT, seed=USER.seed, hub_keys=(SigningKey(b"k" * 32).public, SigningKey(b"o" * 32).public))


def test_what_is_written_is_read_back():
    assert Credentials.parse(str(GIVEN)) == GIVEN


@pytest.mark.parametrize("kind", ["operator", "account", "user"])
def test_keys_keep_kind_and_name_through_their_seed(kind):
    key = NKey.generate(kind)

    again = NKey.parse(key.seed)

    assert (again.kind, again.public) == (kind, key.public)
    assert key.public[0] == kind[0].upper()
    assert key.seed.startswith(f"S{kind[0].upper()}")


def test_a_missing_block_is_named():
    with pytest.raises(InvalidMessage, match="no block 'USER NKEY SEED'"):
        Credentials.parse(str(GIVEN).split("-----BEGIN USER")[0])


def test_a_mistyped_seed_is_refused():
    with pytest.raises(InvalidMessage, match="seed"):
        Credentials.parse(str(GIVEN).replace(USER.seed[5:9], "ABCD"))


def test_a_seed_never_shows_in_a_log():
    assert USER.seed not in repr(GIVEN)
    assert USER.seed not in f"{[GIVEN]}"
