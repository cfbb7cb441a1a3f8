"""What it costs to find out who asks: requests with a token out of 10,000, against the same that nobody checks.

Both are served by one process, in turns, and its CPU time is what is compared: that is what limits the rate of a hub,
and what else the machine does weighs little on it.
"""

from __future__ import annotations

import asyncio

import aiohttp

from tests.bench.child_tokens import TOKENS
from tests.bench.figures import Figure
from tests.bench.rig import PYTHON, Program, say, workspace
from tests.fakes.natsserver import free_port

AT_ONCE = 4
TURNS = 12
REQUESTS = 200
PAGES = {"one cluster": "clusters/c0001", "a page of 100 units": "units"}


async def measure() -> list[Figure]:
    ports = free_port(), free_port()
    with workspace("tokens") as folder:
        command = [PYTHON, "-m", "tests.bench.child_tokens", *map(str, ports)]
        async with Program(command, folder / "api.log") as program, aiohttp.ClientSession() as session:
            await program.answers(lambda: _up(session, ports), 60, f"an API with {TOKENS} tokens is served")
            return [await _figure(session, program, name, path, ports) for name, path in PAGES.items()]


async def _figure(
    session: aiohttp.ClientSession, program: Program, name: str, path: str, ports: tuple[int, int]
) -> Figure:
    spent = [0.0, 0.0]
    for _ in range(TURNS):
        for side, port in enumerate(ports):
            before = program.cpu
            await _ask(session, f"http://127.0.0.1:{port}/api/v1/{path}")
            spent[side] += program.cpu - before
    rate, floor = (REQUESTS * TURNS / seconds for seconds in spent)
    say(f"{name}: {rate:.0f} requests for a second of CPU, {floor:.0f} without looking who asks: {rate / floor:.0%}")
    note = f"{rate:.0f} requests for a second of CPU, {rate / floor:.0%} of those without"
    return Figure(f"a request with a token: {name}", 1e6 / rate, "µs CPU", 1e6 / floor, ratio_limit=1 / 0.8, note=note)


async def _ask(session: aiohttp.ClientSession, url: str) -> None:
    async def ask(number: int) -> None:
        headers = {"Authorization": f"Bearer of-{number}"}
        for _ in range(REQUESTS // AT_ONCE):
            async with session.get(url, headers=headers) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answers {answer.status}")

    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(ask(number * 2000))


async def _up(session: aiohttp.ClientSession, ports: tuple[int, int]) -> bool:
    try:
        for port in ports:
            async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                answer.raise_for_status()
    except aiohttp.ClientError:
        return False
    return True
