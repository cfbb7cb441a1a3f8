"""Every built-in kind comes out as a real server makes it: defaults, allocated values, owned fields."""

from __future__ import annotations

import pathlib

import pytest

from tests.contract import recorded
from tests.contract.client import Client


@pytest.mark.parametrize("path", recorded.FILES, ids=lambda path: path.stem)
async def test_manifest(api: Client, path: pathlib.Path) -> None:
    if not (await api.get("/version")).ok()["gitVersion"].startswith(recorded.RECORDED):
        pytest.skip(f"answers are recorded from Kubernetes {recorded.RECORDED}x")
    manifest = recorded.load(path)
    found = await recorded.answers(api, manifest)
    assert found["created"] == manifest["created"]
    assert found["applied"] == manifest["applied"]
