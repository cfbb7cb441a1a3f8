"""The list of a cluster's units: a long one is packed, and reads the same."""

import hashlib

import pytest

from shared import bundle
from shared.errors import InvalidMessage
from shared.messages import Root, RootEntry, decode, encode


def listing(count: int) -> Root:
    entries = (
        RootEntry(f"team-{n % 40}", f"app-{n}", 1795651301747 + n, hashlib.sha256(b"%d" % n).hexdigest())
        for n in range(count)
    )
    return Root(v=1, cluster="c1", generation=1, units=tuple(entries))


@pytest.mark.parametrize("count", [0, 1, bundle.LONG_LIST - 1, bundle.LONG_LIST, 10_000])
def test_a_list_reads_the_same_packed_or_not(count):
    root = listing(count)

    travelled = decode(encode(bundle.packed_list(root)), Root)

    assert bundle.listed(travelled) == root.units
    assert bool(travelled.packed) == (count >= bundle.LONG_LIST)


def test_ten_thousand_units_fit_into_one_message():
    assert len(encode(listing(10_000))) > 2**20
    assert len(encode(bundle.packed_list(listing(10_000)))) < 700_000


@pytest.mark.parametrize("packed", [b"no zstd", bundle.zstandard.ZstdCompressor().compress(b'{"a": 1}')])
def test_what_is_packed_and_cannot_be_read_is_said(packed):
    with pytest.raises(InvalidMessage):
        bundle.listed(Root(v=1, cluster="c1", generation=1, units=(), packed=packed))
