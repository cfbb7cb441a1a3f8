"""Many checks at once: each at its interval, limits kept, and nobody waits for somebody else's server."""

import asyncio
import contextlib
from collections import Counter

from hub.checks.prober import AT_ONCE_EACH, Probe, Prober
from hub.domain.checking import Check
from hub.domain.checks import Measurement
from hub.domain.placeholders import Subject
from shared.tasks import Clock


class Hand(Clock):
    """A clock that only moves when told to."""

    def __init__(self):
        self.time = 1000.0
        self.sleepers = []

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        over = asyncio.Event()
        self.sleepers.append((self.time + seconds, over))
        await over.wait()

    async def move(self, seconds):
        self.time += seconds
        for until, over in self.sleepers:
            if until <= self.time:
                over.set()
        await settled()


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


class Servers:
    """Measures at once, but for hosts that hang until told otherwise."""

    def __init__(self, *hanging):
        self.asked = Counter()
        self.busy = Counter()
        self.most = Counter()
        self.hanging = {host: asyncio.Event() for host in hanging}

    async def measure(self, check, subject):
        host = check.http.removeprefix("http://")
        self.asked[host] += 1
        self.busy[host] += 1
        self.most[host] = max(self.most[host], self.busy[host])
        try:
            if host in self.hanging:
                await self.hanging[host].wait()
            if host == "broken":
                raise KeyError(host)
        finally:
            self.busy[host] -= 1
        return Measurement(True, "200", "", 1.0)


def probe(host, revision="one", interval="15s"):
    return Probe(
        Check.model_validate({"http": f"http://{host}", "interval": interval}),
        Subject("web", "shop", "canary", ("c",), revision, revision),
    )


@contextlib.asynccontextmanager
async def probing(servers, clock=None, at_once=32):
    told = []
    prober = Prober(servers.measure, lambda key, measurement: told.append((key, measurement)), clock or Hand(), at_once)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(prober.run())
        await settled()
        yield prober, told
        running.cancel()


def keys(told):
    return Counter(key for key, _ in told)


async def test_each_check_is_measured_at_once_and_then_at_its_interval():
    clock = Hand()
    async with probing(Servers(), clock) as (prober, told):
        prober.keep({"fast": probe("a", interval="5s"), "slow": probe("b")})
        await settled()
        assert keys(told) == {"fast": 1, "slow": 1}
        for _ in range(3):
            await clock.move(5)
        assert keys(told) == {"fast": 4, "slow": 2}


async def test_what_is_kept_before_it_runs_is_measured_too():
    servers, told = Servers(), []
    prober = Prober(servers.measure, lambda key, _: told.append(key), Hand())
    prober.keep({"early": probe("a")})
    async with asyncio.TaskGroup() as group:
        running = group.create_task(prober.run())
        await settled()
        running.cancel()
    assert told == ["early"]


async def test_what_is_not_kept_any_more_is_heard_of_no_more():
    clock, servers = Hand(), Servers("slow")
    async with probing(servers, clock) as (prober, told):
        prober.keep({"a": probe("a"), "slow": probe("slow")})
        await settled()
        prober.keep({"b": probe("b")})
        servers.hanging["slow"].set()
        await settled()
        await clock.move(60)
        assert keys(told) == {"a": 1, "b": 2}


async def test_a_check_of_another_revision_begins_anew_and_the_same_one_goes_on():
    servers = Servers()
    async with probing(servers) as (prober, told):
        prober.keep({"a": probe("a"), "b": probe("b")})
        await settled()
        prober.keep({"a": probe("a"), "b": probe("b", revision="two")})
        await settled()
        assert keys(told) == {"a": 1, "b": 2}


async def test_a_server_that_hangs_holds_up_no_other_and_is_not_flooded():
    servers = Servers("slow")
    async with probing(servers) as (prober, told):
        hung = {f"slow-{number}": probe("slow") for number in range(40)}
        prober.keep(hung | {f"fine-{number}": probe("fine") for number in range(10)})
        await settled()
        assert keys(told) == {f"fine-{number}": 1 for number in range(10)}
        assert servers.busy["slow"] == AT_ONCE_EACH
        servers.hanging["slow"].set()
        while len(told) < 50:
            await settled()
        assert servers.most["slow"] == AT_ONCE_EACH


async def test_there_is_a_limit_to_what_is_asked_at_once():
    hosts = [f"h{number}" for number in range(10)]
    servers = Servers(*hosts)
    async with probing(servers, at_once=3) as (prober, told):
        prober.keep({host: probe(host) for host in hosts})
        await settled()
        assert servers.busy.total() == 3
        for event in servers.hanging.values():
            event.set()
        while len(told) < 10:
            await settled()


async def test_a_measurement_that_crashes_is_none_and_the_others_go_on(caplog):
    async with probing(Servers()) as (prober, told):
        prober.keep({"bad": probe("broken"), "good": probe("a")})
        await settled()
        found = dict(told)
        assert found["good"].ok is True
        assert found["bad"].ok is None
        assert "KeyError" in found["bad"].detail
    assert "a measurement crashed" in caplog.text
