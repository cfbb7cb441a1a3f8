"""Every test of the contract runs on the sandbox and on each real API server there is.

`api` is a client bound to a namespace of its own. Tests say what an applier relies on, never how it is done.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.client import Client
from tests.fakes import apiserver

_COUNTER = itertools.count(1)


@pytest.fixture(scope="session")
def real_server() -> Iterator[apiserver.ApiServer]:
    """The real API server of the run."""
    with tempfile.TemporaryDirectory() as directory:
        yield apiserver.real(pathlib.Path(directory))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Asked here rather than where the fixture is defined: this file may be read before the real server is there."""
    if "server" in metafunc.fixturenames:
        metafunc.parametrize("server", apiserver.available(), indirect=True)


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[apiserver.ApiServer]:
    """A server of each available kind."""
    if request.param == "real":
        yield request.getfixturevalue("real_server")
    else:
        async with apiserver.sandbox(tmp_path) as running:
            yield running


@pytest.fixture
async def api(server: apiserver.ApiServer) -> AsyncIterator[Client]:
    """A client with a fresh namespace."""
    async with Client(server) as client:
        client.namespace = f"contract-{next(_COUNTER)}-{client.unique()}"
        await client.make_namespace(client.namespace)
        yield client
        with contextlib.suppress(AssertionError):
            await client.call("DELETE", f"/api/v1/namespaces/{client.namespace}")
