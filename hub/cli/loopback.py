"""A browser's way back to a command: one request on a free port of loopback, as RFC 8252 has it for native programs."""

from __future__ import annotations

import http.server
import threading
import urllib.parse
from typing import Any

from hub.cli.trouble import Trouble

PATIENCE = 300.0
"""Seconds to log in in."""
PATH = "/callback"


class Loopback:
    """Listens while it is open: `with Loopback() as back: …`."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._came = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> Loopback:
        """Answers beside what the command does: a browser in the same terminal may be all that runs."""
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where the provider has to send the browser."""
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def wait(self, state: str) -> str:
        """The code that the browser brings.

        Raises:
            Trouble: none came, or not for this login.
        """
        if not self._came.wait(PATIENCE):
            raise Trouble(f"nobody logged in within {PATIENCE / 60:g} minutes")
        if self._told.get("state") != state:
            raise Trouble("the browser came back from another login than this one: try again")
        if "code" not in self._told:
            raise Trouble(f"the login provider refuses: {self._told.get('error', 'it gave no code')[:100]}")
        return self._told["code"]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        told, came = self._told, self._came

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                here = parts.path == PATH
                if here and not came.is_set():
                    told.update(urllib.parse.parse_qsl(parts.query))
                self.send_response(200 if here else 404)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(b"That is all: go on in the terminal.\n" if here else b"")
                if here:
                    came.set()

            def log_message(self, *_: Any) -> None:
                """Says nothing: the code is in the address."""

        return Handler
