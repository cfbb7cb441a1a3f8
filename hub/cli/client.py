"""The hub's API as the command line uses it: GET with paging, POST, and the event stream.

Standard library only and blocking: a command makes a few requests and ends. Not a client library.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hub.cli.settings import Target
from hub.cli.trouble import FOUND_TROUBLE, USAGE, Trouble

API = "/api/v1/"
TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One server-sent event: its `event` name and decoded `data`."""

    name: str
    data: Any


class Client:
    """Talks to one hub.

    Raises (all methods):
        Trouble: no hub is known or reachable, or it refuses; the message says what to do.
    """

    def __init__(self, target: Target) -> None:
        if not target.url:
            raise Trouble(
                "no hub is known here: start one with `yardarm demo`, or set YARDARM_HUB (and YARDARM_TOKEN) to its API"
            )
        wrong = f"{target.url!r} is not the address of a hub: set YARDARM_HUB to a URL like http://host:8080"
        try:
            self._split = urllib.parse.urlsplit(target.url)
            usable = self._split.scheme in {"http", "https"} and self._split.hostname and self._split.port != 0
        except ValueError as error:
            raise Trouble(wrong) from error
        if not usable:
            raise Trouble(wrong)
        self._target = target

    @property
    def address(self) -> str:
        """The hub's."""
        return self._target.url

    def get(self, path: str, **query: str | int | None) -> Any:
        """The decoded answer to `GET /api/v1/<path>`."""
        return self._ask("GET", path, query)

    def post(self, path: str, body: dict[str, Any], timeout: float = TIMEOUT) -> Any:
        """The decoded answer to `POST /api/v1/<path>` with a JSON body; `timeout` in seconds, of each silence."""
        return self._ask("POST", path, {}, json.dumps(body).encode(), timeout)

    def delete(self, path: str) -> Any:
        """The decoded answer to `DELETE /api/v1/<path>`."""
        return self._ask("DELETE", path, {})

    def items(self, path: str, limit: int | None = None, **query: str | int | None) -> list[Any]:
        """All items of a paged list, or the first `limit`."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            size = min(limit - len(found), 500) if limit is not None else 500
            page = self._ask("GET", path, query | {"limit": size, "cursor": cursor})
            found += page["items"]
            cursor = page.get("next")
            if not cursor or (limit is not None and len(found) >= limit):
                return found

    def demand(
        self, application: str | None = None, cluster: str | None = None, environment: str | None = None
    ) -> None:
        """Ends the command when one of these does not exist: an empty answer about a misspelt name is no answer."""
        for path, name in (("applications", application), ("clusters", cluster)):
            if name is not None:
                self.get(f"{path}/{name or '-'}")
        if environment is not None:
            known = [item["name"] for item in self.items("environments")]
            if environment not in known:
                raise Trouble(f"no environment is named {environment!r}; there are: {', '.join(known) or 'none'}")

    def stream(self) -> Iterator[StreamEvent]:
        """Events as they happen; ends when the hub closes the connection."""
        connection = self._connection(timeout=60)
        try:
            connection.request("GET", self._path("stream"), headers=self._headers("text/event-stream"))
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise self._refusal(answer.status, answer.read(), "stream")
            yield from _events(answer)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _ask(
        self, method: str, path: str, query: dict[str, Any], body: bytes | None = None, timeout: float = TIMEOUT
    ) -> Any:
        connection = self._connection(timeout)
        try:
            headers = self._headers("application/json") | ({"Content-Type": "application/json"} if body else {})
            connection.request(method, self._path(path, query), body, headers)
            answer = connection.getresponse()
            received = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise self._refusal(answer.status, received, path)
        try:
            return json.loads(received)
        except ValueError as error:
            raise Trouble(f"{self._target.url} does not answer like a Yardarm hub: is the address right?") from error

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._split.scheme == "https" else http.client.HTTPConnection
        return kind(self._split.hostname or "", self._split.port, timeout=timeout)

    def _path(self, path: str, query: dict[str, Any] | None = None) -> str:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None and value != ""}
        tail = f"?{urllib.parse.urlencode(given)}" if given else ""
        return f"{self._split.path.rstrip('/')}{API}{urllib.parse.quote(path)}{tail}"

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": "yardarm"}
        return headers | ({"Authorization": f"Bearer {self._target.token}"} if self._target.token else {})

    def _unreachable(self, error: Exception) -> Trouble:
        return Trouble(
            f"no hub at {self._target.url} ({str(error) or type(error).__name__}; address from {self._target.origin}): "
            "start one with `yardarm demo`, or set YARDARM_HUB"
        )

    def _refusal(self, status: int, body: bytes, path: str) -> Trouble:
        try:
            problem = json.loads(body)
        except ValueError:
            problem = {}
        detail = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else ""
        if status == http.client.UNAUTHORIZED and "expired" in problem:
            return Trouble(f"{detail}; then set YARDARM_TOKEN")
        if status == http.client.UNAUTHORIZED:
            told = f"the hub at {self._target.url} does not know this token: set YARDARM_TOKEN, or `yardarm login`"
            return Trouble(told)
        if status == http.client.FORBIDDEN:
            return Trouble(f"not allowed: {detail or 'this token may not do that'}")
        code = USAGE if status in {http.client.BAD_REQUEST, http.client.UNPROCESSABLE_ENTITY} else FOUND_TROUBLE
        return Trouble(str(detail) if detail else f"the hub answered {status} for {path}", code)


def _events(answer: http.client.HTTPResponse) -> Iterator[StreamEvent]:
    """Parses a text/event-stream body; comments (keep-alives) are passed over."""
    name, data = "message", list[str]()
    for raw in answer:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            if data:
                yield StreamEvent(name, _decoded("\n".join(data)))
            name, data = "message", []
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
