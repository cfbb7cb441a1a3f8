"""The hub's API over a view of 100,000 units that changes all the time, and a bare route beside it.

python -m tests.bench.child_api PORT CLUSTERS APPLICATIONS RATE; `/bare/<n>` answers with n bytes. RATE reports come in
every second.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator

import msgspec
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.api.app import create_app
from hub.api.context import Context
from hub.domain.limiting import Limits, Rate
from hub.metrics import Metrics
from hub.view import View
from shared.messages import Assignment, Phase, Report
from shared.model import Health
from shared.tasks import Clock
from tests.bench.filling import healthy
from tests.fakes.fleetview import application, assignment, drift, event, fleet, heartbeat
from tests.fakes.trail import Trail

EVENTS = 5000
TOKEN = "bench"
UNLIMITED = Limits(caller=Rate(1e9, 1e9), address=Rate(1e9, 1e9))


class _Hub:
    """What the API asks of a hub beyond its view."""

    def explain(self, application: str, cluster: str) -> dict[str, object]:
        return {}

    async def received(self, provider: str, headers: object, body: bytes) -> str:
        return ""

    def role(self) -> str:
        return "leader"

    def missing(self) -> dict[str, str]:
        return {}


class _Bare:
    """Answers `/bare/<n>` by itself; everything else goes on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/bare/"):
            await self._app(scope, receive, send)
            return
        body = b" " * int(scope["path"].removeprefix("/bare/"))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def filled(clock: Clock, clusters: int, applications: int) -> tuple[View, list[Assignment]]:
    """A fleet of which one unit in a hundred has failed, one is drifted, and most are fine."""
    now, view = clock.now(), View(clock)
    names = {f"c{number:04}": ("dev", "stage", "prod")[number % 3] for number in range(clusters)}
    view.fleet_changed(fleet(names))
    units = []
    for number in range(applications):
        name = f"app-{number:03}"
        view.application_changed(application(name, tuple(names)))
        units += [assignment(cluster, name, at=now) for cluster in names]
    view.assigned(units)
    for cluster in names:
        view.beat(heartbeat(cluster, now, interval=300.0))
    for number, unit in enumerate(units):
        view.reported(_report(unit, number))
    for number in range(EVENTS):
        unit = units[number * 7 % len(units)]
        view.event(event(f"e{number}", now - number, cluster=unit.cluster, application=unit.application))
    return view, units


def _report(unit: Assignment, number: int) -> Report:
    report = healthy(unit)
    if number % 100 == 1:
        reason = "ImagePullBackOff: registry/api:broken not found on 2 of 2 pods"
        return msgspec.structs.replace(report, phase=Phase.FAILED, health=Health.DEGRADED, reason=reason)
    if number % 100 == 2:
        return msgspec.structs.replace(report, drift=(drift(unit.at, application=unit.application),))
    return report


async def _keep_changing(view: View, units: list[Assignment], rate: int, clock: Clock) -> None:
    chosen = _shuffled(len(units))
    while True:
        for number in (next(chosen) for _ in range(rate // 20)):
            view.reported(msgspec.structs.replace(_report(units[number], number), at=clock.now()))
        view.tick()
        await asyncio.sleep(0.05)


def _shuffled(count: int) -> Iterator[int]:
    numbers = random.Random(1)
    while True:
        yield numbers.randrange(count)


async def main(port: int, clusters: int, applications: int, rate: int) -> None:
    clock, hub = Clock(), _Hub()
    view, units = filled(clock, clusters, applications)
    context = Context(view, Metrics(view, "bench"), *[hub] * 6, TOKEN, "bench", limits=UNLIMITED, audit=Trail())
    config = uvicorn.Config(
        _Bare(create_app(context)), host="127.0.0.1", port=port, lifespan="off", log_config=None, access_log=False
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_changing(view, units, rate, clock))
        await uvicorn.Server(config).serve()
        raise SystemExit


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
