"""Every operation of the OpenAPI document, asked with values nobody meant: the hub answers, and never with 5xx."""

from __future__ import annotations

import random
import urllib.parse

import aiohttp
import pytest
from yarl import URL

from hub.api.app import create_app
from hub.api.context import Context
from hub.metrics import Metrics
from hub.tokens import Tokens
from hub.view.index import write_cursor
from shared.errors import DocumentError
from tests.fakes.fleetview import sample
from tests.fakes.memorystore import MemoryStore
from tests.fakes.rollingout import Rolling
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

TOKEN = "a-test-token"

STRANGE = [
    "", "0", "-1", "1", "1000", "1001", "99999999999999999999", "NaN", "1e400", "true", "null", "web", "dev-1", "prod-2",
    "Ready", "Failed,Ready", "ready, stale", ",", "dev", "../../etc/passwd", "..%2f", "a/b", "%", "%zz", "\x00", "\r\nX: y",
    "é", "𝄞", "\u202e", "' OR 1=1 --", "<script>", "*", ">", "a" * 300, "a" * 5000, "{}", "[]", "W10", "==", "rev-1",
    "cccc", "apply", "info", "error", write_cursor("dev-1", "web", "web"), write_cursor("dev-1", "web", "web", -5),
    write_cursor("dev-1", "web", "web", 10**18), write_cursor(1.5, "e1"), write_cursor(-1e308, ""), write_cursor(3),
    write_cursor(-3), write_cursor("web"),
]  # fmt: skip
ROUNDS = 40


class Outside:
    """Stands in for the planner, the webhooks and the hub's own state."""

    def explain(self, application, cluster):
        return {"application": application, "cluster": cluster}

    def placement(self, application):
        return {"application": application, "clusters": []}

    async def received(self, provider, headers, body):
        return f"{len(body)} bytes"

    def role(self):
        return "follower"

    def missing(self):
        return {}

    async def ask(self, application, asked):
        pass

    async def hold(self, application, hold):
        pass

    async def release(self, application, by, reason, cluster, environment):
        return 0

    async def sync(self, application):
        return "it is looked at"

    def tell(self, event):
        pass

    def busy(self):
        return False

    async def preview(self, before, after, applications, *, live):
        raise DocumentError(f"there is no ref {after!r}")


def fill(operation, path, chance, often=0.7):
    """A request target for an operation, its parameters chosen at random; those of the query as `often` as this."""
    query = []
    for parameter in operation.get("parameters", ()):
        value = chance.choice(STRANGE)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", urllib.parse.quote(value, safe="") or "x")
        elif parameter["in"] == "query" and chance.random() < often:
            query += [(parameter["name"], value)] * chance.choice([1, 1, 2])
    if chance.random() < 0.1:
        query.append(("unknown", chance.choice(STRANGE)))
    return path + ("?" + urllib.parse.urlencode(query) if query else "")


@pytest.mark.parametrize("seed", range(3))
async def test_no_request_makes_the_hub_stumble(seed):
    view = sample()
    view.rollouts.put(Rolling().commit("a" * 40))
    outside = Outside()
    store = MemoryStore()
    issued = Tokens(lambda: store, lambda: True, view.clock)
    app = create_app(
        Context(view, Metrics(view, "0.1.0"), *[outside] * 6, TOKEN, "0.1.0", issued=issued, audit=Trail())
    )
    seen = set()
    async with serving(app) as origin, aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        for path, methods in app.openapi()["paths"].items():
            for method, operation in methods.items():
                chance = random.Random(f"{seed} {method} {path}")
                for number in range(1 if path.endswith("/stream") else ROUNDS):
                    target = fill(operation, path, chance, 0.7 if number else 0.0)
                    body = chance.choice(STRANGE).encode() if method == "post" else None
                    async with session.request(method, URL(origin + target, encoded=True), data=body) as answer:
                        assert answer.status < 500, target
                        if answer.status >= 400:
                            assert answer.content_type == "application/problem+json", target
                            assert (await answer.json(content_type=None))["detail"], target
                        seen.add((path, answer.status < 400))

    assert {path for path, fine in seen if fine} >= {"/api/v1/summary", "/api/v1/units", "/api/v1/events", "/metrics"}
