"""The embedded server: keeps its port and data, comes back by itself, and never outlives the hub."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from hub import embedded
from hub.embedded import EmbeddedServer
from hub.identity import Identity
from hub.store import Store
from hub.streams import KV_HUB, ensure
from shared.bus import Bus
from shared.errors import Unavailable
from tests.fakes.natshub import HubNats, hub_nats

CHILD = """
import asyncio, sys
from pathlib import Path
from hub.embedded import EmbeddedServer
from hub.identity import Identity
async def main(folder):
    async with EmbeddedServer(Identity.load_or_create(folder), folder / "nats") as server:
        print(server.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main(Path(sys.argv[1])))
"""


def alive(pid: int) -> bool:
    """Zombies do not count: whoever inherits them may be slow to collect them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_port_and_data_are_the_same_after_a_restart(tmp_path):
    async with hub_nats(tmp_path) as nats, nats.hub() as bus:
        url = nats.server.url
        await ensure(bus, [KV_HUB])
        await Store(bus).put("a", b"1")

    async with hub_nats(tmp_path) as nats, nats.hub() as bus:
        assert nats.server.url == url
        found = await Store(bus).get("a")
        assert found is not None
        assert found[0] == b"1"


async def test_it_comes_back_when_it_was_killed_and_clients_find_it(tmp_path):
    async with hub_nats(tmp_path) as nats, nats.hub() as bus:
        await ensure(bus, [KV_HUB])
        revision = await Store(bus).put("a", b"1")
        first = nats.server.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)
        await until(lambda: nats.server.pid != first)

        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unavailable):
                    assert await Store(bus).get("a") == (b"1", revision)
                    break


async def test_nothing_is_left_when_it_was_stopped(tmp_path):
    async with hub_nats(tmp_path) as nats:
        pid = nats.server.pid
        assert pid is not None
        assert os.getsid(pid) != os.getsid(0), "a Ctrl-C at the terminal would reach it"
        guards = [entry.name for entry in Path("/proc").iterdir() if _is_guard_of(entry, pid)]
        assert len(guards) == 1

    assert not alive(pid)
    assert not alive(int(guards[0]))


def _is_guard_of(process: Path, pid: int) -> bool:
    try:
        return (process / "cmdline").read_bytes().endswith(b"nats-guard\0%d\0" % pid)
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_it_never_outlives_the_hub(tmp_path, how):
    hub = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert hub.stdout is not None
    pid = int(await asyncio.wait_for(hub.stdout.readline(), 30))
    assert alive(pid)

    hub.send_signal(how)
    await hub.wait()

    await until(lambda: not alive(pid))


async def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path):
    async with hub_nats(tmp_path) as nats:
        port = int(nats.server.url.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()

        async with hub_nats(tmp_path) as nats, nats.hub() as bus:
            assert not nats.server.url.endswith(f":{port}")
            assert bus.connected


async def test_a_server_that_cannot_start_says_why(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = EmbeddedServer(Identity.load_or_create(tmp_path), tmp_path / "nats", port=other.getsockname()[1])

        with pytest.raises(Unavailable, match="address already in use"):
            await server.__aenter__()


async def test_only_the_owner_can_look_into_its_folder(tmp_path):
    async with hub_nats(tmp_path) as nats:
        assert isinstance(nats, HubNats)
        assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700


async def test_an_error_in_the_body_comes_through_and_stops_it(tmp_path):
    pids: list[int | None] = []

    async def use() -> None:
        async with hub_nats(tmp_path) as nats:
            pids.append(nats.server.pid)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await use()

    assert pids[0] is not None
    assert not alive(pids[0])


async def test_the_server_found_runs(tmp_path):
    process = await asyncio.create_subprocess_exec(embedded.find_binary(), "--version", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.startswith(b"nats-server: v2.")
    assert Bus("nats://127.0.0.1:1", name="x").connected is False
