"""The least that a fan-out can cost: sandbox clusters, a bare NATS connection for each, one apply per message.

python -m tests.bench.child_floor FILE
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import nats
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from agent.hosting import collect_rarely, loop_factory
from agent.sandbox.server import Sandbox


async def main(setup: dict[str, Any]) -> None:
    async with Sandbox(token="floor") as sandbox:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer floor"}) as session:
            for name in setup["clusters"]:
                url = sandbox.add_cluster(name)
                await _subscribe(name, url, session, await nats.connect(setup["nats"]), setup["manifest"])
            await asyncio.Event().wait()


async def _subscribe(name: str, url: str, session: aiohttp.ClientSession, client: Client, manifest: Any) -> None:
    own = orjson.loads(orjson.dumps(manifest))

    async def take(message: Msg) -> None:
        number = int(message.data)
        await _apply(url, session, own, number)
        await client.publish(f"floor.done.{name}", orjson.dumps(time.time()))

    await _apply(url, session, own, 0)
    await client.subscribe(f"floor.{name}", cb=take)
    await client.publish(f"floor.done.{name}", b"0")


async def _apply(url: str, session: aiohttp.ClientSession, manifest: Any, number: int) -> None:
    """Each message changes the object, as each commit does."""
    group = manifest["apiVersion"]
    base = f"{url}/apis/{group}" if "/" in group else f"{url}/api/{group}"
    path = f"{base}/namespaces/default/{manifest['kind'].lower()}s/{manifest['metadata']['name']}"
    if manifest["kind"] == "ConfigMap":
        manifest["data"]["value"] = str(number)
    else:
        manifest["spec"]["template"]["spec"]["containers"][0]["image"] = f"registry.example.com/web:{number}"
    query = {"fieldManager": "floor", "force": "true"}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    async with session.patch(path, params=query, data=orjson.dumps(manifest), headers=headers) as answer:
        body = await answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status}: {body.decode()}")


if __name__ == "__main__":
    collect_rarely()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:  # all as in the measured process
        runner.run(main(orjson.loads(Path(sys.argv[1]).read_bytes())))
