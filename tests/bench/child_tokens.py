"""The hub's API with 10,000 tokens in its store, and, on another port, the same without anybody looking who asks.

python -m tests.bench.child_tokens PORT OPEN_PORT; the tokens are `of-<n>`, each with a grant for everything.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from fastapi import FastAPI, Request

from hub.api import app as api
from hub.api.context import Context
from hub.api.security.callers import Known, fingerprint
from hub.domain.issued import IssuedToken
from hub.domain.principals import Grant, Principal
from hub.metrics import Metrics
from hub.tokens import Tokens
from hub.view import View
from shared.tasks import Clock
from tests.bench.child_api import UNLIMITED, filled
from tests.fakes.memorystore import MemoryStore
from tests.fakes.trail import Trail

TOKENS = 10_000
ANYBODY = Known(Principal("anybody", ("viewer",)), "token")


async def issued(clock: Clock) -> Tokens:
    store = MemoryStore()
    tokens = Tokens(lambda: store, lambda: True, clock)
    for number in range(TOKENS):
        sha256 = fingerprint(f"of-{number}")
        await tokens.create(IssuedToken(f"t{number}", f"p{number}", sha256, (Grant("viewer"),), clock.now(), "bench"))
    return tokens


def application(view: View, tokens: Tokens) -> FastAPI:
    metrics = Metrics(view, "bench")
    return api.create_app(
        Context(view, metrics, *[object()] * 6, "bench", "bench", issued=tokens, limits=UNLIMITED, audit=Trail())
    )


async def nobody_asks(request: Request) -> None:
    request.state.known = ANYBODY


async def main(port: int, open_port: int) -> None:
    clock = Clock()
    view, _ = filled(clock, 100, 10)
    tokens = await issued(clock)
    checked = application(view, tokens)
    api.guard = nobody_asks  # what routes depend on from now on: an override would cost more than the guard
    unchecked = application(view, tokens)
    async with asyncio.TaskGroup() as group:
        for app, where in ((checked, port), (unchecked, open_port)):
            config = uvicorn.Config(
                app, host="127.0.0.1", port=where, lifespan="off", log_config=None, access_log=False
            )
            group.create_task(uvicorn.Server(config).serve())


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
