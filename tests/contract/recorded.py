"""One manifest of each built-in kind, and what a real server made of it: `manifests/*.json`.

Each file holds `resource`, `object` and the recorded answers `created` and `applied` (dry runs). Record them again
from a real server of the version that the sandbox imitates, and look at the difference before it is committed:

    YARDARM_TEST_KUBECONFIG=… .venv/bin/python -m tests.contract.recorded
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import re
import tempfile
from typing import Any

from tests.contract.client import APPLY, Client
from tests.fakes import apiserver

FILES = sorted((pathlib.Path(__file__).parent / "manifests").glob("*.json"))
RECORDED = "v1.36."
"""The version whose answers are recorded."""


def load(path: pathlib.Path) -> dict[str, Any]:
    """One file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def place(api: Client, resource: str) -> str:
    """The collection's path."""
    return resource if resource.startswith("/") else api.path(resource)


async def answers(api: Client, manifest: dict[str, Any]) -> dict[str, Any]:
    """What this server makes of a manifest, without what differs from run to run."""
    path = place(api, manifest["resource"])
    wanted = json.loads(json.dumps(manifest["object"]).replace("NAMESPACE", api.namespace))
    created = await api.call("POST", path, wanted, dryRun="All", fieldManager="m")
    name = wanted["metadata"]["name"]
    applied = await api.call("PATCH", f"{path}/{name}", wanted, APPLY, dryRun="All", fieldManager="m")
    return {"created": _lasting(created.ok(), api), "applied": _lasting(applied.ok(), api)}


def _lasting(obj: dict[str, Any], api: Client) -> dict[str, Any]:
    text = json.dumps(obj).replace(obj["metadata"]["uid"], "UID").replace(api.namespace, "NAMESPACE")
    text = re.sub(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', '"TIME"', text)
    out: dict[str, Any] = json.loads(re.sub(r'"10\.96\.\d+\.\d+"', '"IP"', text))
    out["metadata"].pop("resourceVersion", None)
    if out["kind"] == "Pod":
        _without_token(out["spec"])
    return out


def _without_token(spec: dict[str, Any]) -> None:
    """The service account's token volume is left out: no container runs in the sandbox that could read it."""
    spec["volumes"] = [v for v in spec.get("volumes", ()) if not v["name"].startswith("kube-api-access-")]
    for container in spec["containers"]:
        mounts = [m for m in container.get("volumeMounts", ()) if not m["name"].startswith("kube-api-access-")]
        container["volumeMounts"] = mounts


async def _record(directory: pathlib.Path) -> None:
    with apiserver.started():
        server = apiserver.real(directory)
        async with Client(server) as api:
            api.namespace = f"record-{api.unique()}"
            await api.make_namespace(api.namespace)
            for path in FILES:
                manifest = load(path)
                fresh = {"resource": manifest["resource"], "object": manifest["object"], **await answers(api, manifest)}
                path.write_text(json.dumps(fresh, indent=1) + "\n")
            await api.call("DELETE", f"/api/v1/namespaces/{api.namespace}")


if __name__ == "__main__":
    if not (os.environ.get("YARDARM_TEST_KUBECONFIG") or os.environ.get("KUBEBUILDER_ASSETS")):
        raise SystemExit("name a real server: YARDARM_TEST_KUBECONFIG or KUBEBUILDER_ASSETS")
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_record(pathlib.Path(temporary)))
