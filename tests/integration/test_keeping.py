"""Template results that stand for good, on a real nats-server."""

import asyncio
import hashlib

import pytest

from hub import streams
from hub.keeping import PIECE, KeptTemplates
from hub.render.job import File, Templated
from hub.store import Store
from hub.streams import KV_HUB
from shared.model import Problem
from tests.fakes.natshub import hub_nats

DIGEST = "ab" * 32


@pytest.fixture
async def store(tmp_path):
    async with hub_nats(tmp_path) as nats, nats.hub() as bus:
        await streams.ensure(bus, [KV_HUB])
        yield Store(bus)


def made(data: bytes) -> Templated:
    return Templated((File("templates/secret.yaml", data, "chart web"),), (Problem("warning", "odd"),))


async def test_a_result_is_there_for_another_hub_whatever_its_size(store):
    # It cannot be compressed, so it takes several pieces.
    large = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(3 * PIECE // 32))
    one, other = KeptTemplates(store, "one"), KeptTemplates(store, "other")
    assert await other.get(DIGEST) is None

    assert await one.put(DIGEST, made(large)) == made(large)

    assert await other.get(DIGEST) == made(large)
    assert await other.get("cd" * 32) is None


async def test_of_two_who_put_at_once_the_first_counts_for_both(store):
    results = [made(b"%d" % number) for number in range(8)]
    kept = [KeptTemplates(store, f"hub{number}") for number in range(8)]

    got = await asyncio.gather(*(each.put(DIGEST, result) for each, result in zip(kept, results, strict=True)))

    assert len({each.files for each in got}) == 1
    assert got[0] in results
    assert await kept[0].get(DIGEST) == got[0]
