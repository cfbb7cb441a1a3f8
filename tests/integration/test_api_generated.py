"""The whole API against its own description: requests made up from the OpenAPI document, good ones and bad ones.

What comes back has to be what the document says: status, media type, shape; and never a mistake of the hub's own. That
every request of the right shape is accepted is not asked for: a cursor has to be one that was handed out.
"""

from __future__ import annotations

import asyncio
import threading

import hypothesis
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance

from hub.api.app import create_app
from hub.api.context import Context
from hub.domain.limiting import Limits, Rate
from hub.metrics import Metrics
from hub.tokens import Tokens
from shared.errors import DocumentError
from tests.fakes.fleetview import sample
from tests.fakes.memorystore import MemoryStore
from tests.fakes.rollingout import Rolling
from tests.fakes.trail import Trail
from tests.fakes.webserver import serving

TOKEN = "a-test-token"
EXAMPLES = 12
"""Of each operation: the whole takes some ten seconds."""
UNLIMITED = Limits(caller=Rate(1e9, 1e9), address=Rate(1e9, 1e9), failures=Rate(1e9, 1e9))


class Outside:
    def explain(self, application, cluster):
        return {"application": application, "cluster": cluster}

    def placement(self, application):
        return {"application": application, "clusters": []}

    async def received(self, provider, headers, body):
        return f"{len(body)} bytes"

    def role(self):
        return "leader"

    def missing(self):
        return {}

    async def ask(self, application, asked):
        """Accepted."""

    async def hold(self, application, hold):
        """Accepted."""

    async def release(self, application, by, reason, cluster, environment):
        return 1

    async def sync(self, application):
        return "it is looked at"

    async def confirm(self, consents):
        """Accepted."""

    def tell(self, event):
        """Told."""

    def busy(self):
        return False

    async def preview(self, before, after, applications, *, live):
        raise DocumentError(f"there is no ref {after!r}")


def application():
    view, store = sample(), MemoryStore()
    view.rollouts.put(Rolling().commit("a" * 40))
    issued = Tokens(lambda: store, lambda: True, view.clock)
    metrics = Metrics(view, "0.1.0")
    return create_app(
        Context(view, metrics, *[Outside()] * 6, TOKEN, "0.1.0", issued=issued, limits=UNLIMITED, audit=Trail())
    )


APP = application()
REFUSED = ["400", "401", "403", "404", "405", "406", "408", "409", "413", "415", "422", "429", "503"]
CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {"allow-extra-parameters": False},
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSED}},
    }
)
"""Parameters that no operation has are passed over, as usual: no case is made of them."""
SCHEMA = schemathesis.openapi.from_dict(APP.openapi(), config=CONFIG).exclude(path_regex="/stream$")


@SCHEMA.auth()
class Token:
    def get(self, case, context):
        return TOKEN

    def set(self, case, token, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def origin():
    """Where it is served, by a thread of its own: the requests are made by a library that waits."""
    started, stop, told = threading.Event(), asyncio.Event(), []

    async def serve():
        async with serving(APP) as url:
            told.extend([url, asyncio.get_running_loop()])
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait(10)
    yield told[0]
    told[1].call_soon_threadsafe(stop.set)
    thread.join()


@SCHEMA.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
def test_the_api_keeps_to_its_description(case, origin):
    # A path like rollouts/web/x is an operation of two templates, of which a case knows its own only.
    shared = [allow_header_conformance] if case.operation.path.startswith("/api/v1/rollouts/{application}/") else []
    case.call_and_validate(base_url=origin, excluded_checks=[positive_data_acceptance, *shared])
