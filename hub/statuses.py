"""Tells Git hosts how far the rollout of a commit is, beside everything else: nothing ever waits for it.

The newest of each application and commit is told, at most every few seconds while it is under way, and never twice the
same. A host that does not answer is tried again, less and less often; one that refuses is not, and a finding says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import orjson

from hub.domain import statuses, urls
from hub.domain.egress import Egress
from hub.domain.statuses import Provider, Status, Summary
from hub.sources.egress import session
from shared.errors import DocumentError, Unavailable
from shared.model import Problem
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

PACE = 5.0
"""Seconds between two statuses of one application and commit."""
ATTEMPTS = 10
"""Times that a host is tried: for about half an hour."""
_AT_ONCE = 8
_TIMEOUT = 30.0
_KEPT = 10_000
"""Statuses that are remembered, so that none is told twice."""
_ANSWER = 2_000
_LATER = (408, 425, 429)

Key = tuple[str, str, str]
"""Repository, commit and application."""


@dataclass(frozen=True, slots=True)
class Host:
    """How a host is told. `entry` is where an operator wrote it, for messages."""

    provider: Provider
    api: str
    token: str = field(repr=False)
    entry: str = ""


class Refused(DocumentError):
    """The host does not want it; asking again changes nothing."""


class Statuses:
    """Start `run`, then `put`."""

    def __init__(self, hosts: Callable[[str], Host | None], egress: Egress, link: str, clock: Clock) -> None:
        """`hosts` gives the host of a repository's address, None: it is not told. `link` is where people find more."""
        self._hosts = hosts
        self._egress = egress
        self._link = link
        self._clock = clock
        self._mailbox: Mailbox[Key, Summary] = Mailbox()
        self._next: dict[Key, Summary | None] = {}
        self._told: OrderedDict[Key, Status] = OrderedDict()
        self._wrong: dict[str, Problem] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    def tells(self, repo: str) -> bool:
        """Whether the host of this repository is told of anything."""
        return self._hosts(repo) is not None

    def put(self, summary: Summary) -> None:
        """Has a rollout told of. Never blocks."""
        if summary.commit and self.tells(summary.repo):
            self._mailbox.put((summary.repo, summary.commit, summary.application), summary)

    def problems(self) -> tuple[Problem, ...]:
        """Why hosts are not told, by what is configured for them."""
        return tuple(self._wrong[entry] for entry in sorted(self._wrong))

    async def run(self) -> None:
        """Tells until cancelled."""
        async with session(self._egress) as client, asyncio.TaskGroup() as group:
            while True:
                key, summary = await self._mailbox.get()
                if key in self._next:
                    self._next[key] = summary  # whoever is at it takes this one next: two at once might cross
                else:
                    self._next[key] = None
                    group.create_task(self._lane(client, key, summary), name=f"status {key[2]}")

    async def _lane(self, client: aiohttp.ClientSession, key: Key, summary: Summary | None) -> None:
        """Everything there is to tell of one application and commit, one after the other."""
        while summary is not None:
            if await self._bring(client, key, summary):
                await self._clock.sleep(PACE)
            summary, self._next[key] = self._next[key], None
        del self._next[key]

    async def _bring(self, client: aiohttp.ClientSession, key: Key, summary: Summary) -> bool:
        """Whether something was told; false where it was known, the host does not want it, or newer came meanwhile."""
        host = self._hosts(summary.repo)
        status = statuses.status_of(summary)
        if host is None or self._told.get(key) == status:
            return False
        backoff = Backoff(5, 300)
        while True:
            try:
                async with self._room:
                    await self._post(client, host, summary, status)
            except DocumentError as error:
                self._give_up(host, summary, error)
                return False
            except Unavailable as error:
                if backoff.failures >= ATTEMPTS:
                    self._give_up(host, summary, error)
                    return False
                log.info("a commit status has to wait", extra={"repo": urls.redact(summary.repo), "error": str(error)})
                await self._clock.sleep(backoff.next(error.retry_after))
                if self._next[key] is not None:
                    return False
            else:
                self._wrong.pop(host.entry, None)
                self._remember(key, status)
                return True

    async def _post(self, client: aiohttp.ClientSession, host: Host, summary: Summary, status: Status) -> None:
        project = urls.project(summary.repo)
        asked = statuses.request(host.provider, host.api, project, summary, status, self._link)
        headers = {**asked.headers, "Content-Type": "application/json"}
        if host.token:
            headers["Authorization"] = statuses.authorization(host.provider, host.token)
        place = urls.redact(asked.url)
        try:
            async with (
                asyncio.timeout(_TIMEOUT),
                client.post(
                    asked.url, data=orjson.dumps(dict(asked.body)), headers=headers, allow_redirects=False
                ) as got,
            ):
                answer = (await got.content.read(_ANSWER)).decode(errors="replace")
                code, after = got.status, got.headers.get("Retry-After", "")
                exhausted = got.headers.get("X-RateLimit-Remaining") == "0"
        except TimeoutError:
            raise Unavailable(f"{place} did not answer within {_TIMEOUT:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{place} cannot be reached: {urls.redact(str(error)) or type(error).__name__}") from None
        if code < 300 or statuses.is_known_already(host.provider, code, answer):
            return
        said = f"{place} answers {code}: {' '.join(answer.split())[:200]}"
        if code >= 500 or code in _LATER or (code == 403 and (after or exhausted)):
            raise Unavailable(said, retry_after=float(after) if after.isdigit() else None)
        raise Refused(said, hint=f"{host.entry}: its token has to be allowed to write commit statuses there")

    def _remember(self, key: Key, status: Status) -> None:
        self._told[key] = status
        self._told.move_to_end(key)
        while len(self._told) > _KEPT:
            self._told.popitem(last=False)

    def _give_up(self, host: Host, summary: Summary, error: DocumentError | Unavailable) -> None:
        message, hint = (error.message, error.hint) if isinstance(error, DocumentError) else (str(error), "")
        name = urls.redact(summary.repo)
        log.warning("a commit status cannot be set", extra={"repo": name, "error": str(error)})
        self._wrong[host.entry] = Problem("warning", f"commit statuses of {name} cannot be set: {message}", hint=hint)
