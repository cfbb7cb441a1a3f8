"""One measurement of a check, over HTTP. Whatever goes wrong on the way measures nothing, and says why."""

from __future__ import annotations

from hub.domain.checking import Check
from hub.domain.checks import Measurement, judge_http, judge_prometheus
from hub.domain.placeholders import Subject, fill
from hub.sources.web import Web
from shared.errors import DocumentError, Unavailable
from shared.tasks import Clock


class Measuring:
    """Asks servers through `web`, which keeps to the policy and shows each host what is set for it."""

    def __init__(self, web: Web, clock: Clock) -> None:
        self._web = web
        self._clock = clock

    async def measure(self, check: Check, subject: Subject) -> Measurement:
        """What the check finds now. A check by a Job is none that could be measured here.

        Raises:
            ValueError: it is a check by a Job.
        """
        if check.kind == "job":
            raise ValueError("a Job is run by the agent, and its result is the health of its unit")
        try:
            if check.kind == "http":
                return await self._http(check, fill(check.http, subject))
            return await self._prometheus(check, subject)
        except (DocumentError, Unavailable) as error:
            return Measurement(ok=None, value="", detail=str(error), at=self._clock.now())

    async def close(self) -> None:
        """Ends all connections."""
        await self._web.close()

    async def _http(self, check: Check, url: str) -> Measurement:
        answer = await self._web.probe(url, check.expected, body=bool(check.contains))
        return judge_http(check, answer.status, answer.body, self._clock.now())

    async def _prometheus(self, check: Check, subject: Subject) -> Measurement:
        url = fill(check.prometheus, subject).rstrip("/") + "/api/v1/query"
        # As a form, because a query that names a thousand clusters is longer than an address may be.
        answer = await self._web.post(url, {"query": fill(check.query, subject)})
        return judge_prometheus(check, answer.status, answer.body, self._clock.now())
