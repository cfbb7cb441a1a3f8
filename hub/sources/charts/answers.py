"""Which answers of chart repositories and registries are good, and what the others mean."""

from __future__ import annotations

from hub.sources.web import Answer, shown_url
from shared.errors import DocumentError, Unavailable

_LATER = (408, 425, 429)


def check(answer: Answer, what: str) -> Answer:
    """The answer when it is a good one.

    Raises:
        DocumentError: the server says that there is no such thing, or that these credentials may not have it.
        Unavailable: the server cannot answer now.
    """
    status, place = answer.status, shown_url(answer.url)
    if status < 400:
        return answer
    if status >= 500 or status in _LATER:
        after = answer.headers.get("Retry-After", "")
        raise Unavailable(f"{place} answers {status}", retry_after=float(after) if after.isdigit() else None)
    if status in (401, 403):
        raise DocumentError(
            f"{what} may not be read: {place} answers {status}", hint="an operator sets credentials: charts.access"
        )
    raise DocumentError(f"there is no {what}: {place} answers {status}")
