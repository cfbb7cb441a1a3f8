"""Sandbox clusters without agents, also over TLS, as a real API server is.

python -m tests.bench.child_sandbox FILE, with {"clusters", "token", "certificate", "key", "out"}; writes the base URLs
by cluster to `out`: {"http": {…}, "https": {…}}.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from agent.sandbox.server import Sandbox


async def main(setup: dict[str, Any]) -> None:
    async with Sandbox(token=setup["token"]) as sandbox:
        urls = {name: sandbox.add_cluster(name) for name in setup["clusters"]}
        assert sandbox._runner is not None
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(setup["certificate"], setup["key"])
        await web.TCPSite(sandbox._runner, "127.0.0.1", 0, ssl_context=tls).start()
        plain, secure = (address[1] for address in sandbox._runner.addresses)
        https = {
            name: url.replace(f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}") for name, url in urls.items()
        }
        draft = Path(setup["out"] + ".new")
        draft.write_bytes(orjson.dumps({"http": urls, "https": https}))
        draft.replace(setup["out"])
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(Path(sys.argv[1]).read_bytes())))
