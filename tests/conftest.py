"""Fixtures that more than one folder uses. Fakes and real servers to start live in tests/fakes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes import apiserver
from tests.fakes.natsserver import NatsServer

# Two cores are shared with real servers here: a slow example is no fault, so there is no deadline.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """A real API server, where one can be had, is there before tests say for which servers they are.

    Every worker has its own, and who only hands out tests to workers has none.
    """
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        server = apiserver.started()
        server.__enter__()
        config.add_cleanup(lambda: server.__exit__(None, None, None))


@pytest.fixture
async def nats_server(tmp_path):
    """A real nats-server with JetStream, without authentication, on a free loopback port."""
    async with NatsServer(tmp_path / "nats") as server:
        yield server
