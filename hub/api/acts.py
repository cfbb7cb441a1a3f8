"""What all routes share by which people steer: a reason, storing what was asked, and answering what will happen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from fastapi import Response

from hub.api.answers import json_answer
from hub.api.models.rollouts import Asking
from hub.api.problems import Refusal
from hub.domain.principals import Principal
from shared.errors import Unavailable

log = logging.getLogger(__name__)


def reason(body: Asking) -> None:
    """Lets pass who says why; nobody has to for a dry run.

    Raises:
        Refusal: 422.
    """
    if not body.dry_run and not body.reason.strip():
        raise Refusal(422, "reason: say why; it is kept in the history")


@contextlib.contextmanager
def stored() -> Iterator[None]:
    """Around what stores a request.

    Raises:
        Refusal: 503: it was not; asking again is harmless.
    """
    try:
        yield
    except Unavailable as error:
        raise Refusal(503, f"nothing was done: {error}", {"Retry-After": "5"}) from error


def note(message: str, application: str, what: str, caller: Principal, outcome: str) -> None:
    """Logs what a person asked for, and what became of it."""
    log.info(message, extra={"application": application, "asked": what, "by": caller.name, "outcome": outcome})


def answer(effect: str, application: str, rollout: str = "", request: str = "", *, dry_run: bool) -> Response:
    """What will happen, or would."""
    told = {"effect": effect, "application": application, "rollout": rollout, "request": request, "dryRun": dry_run}
    return json_answer(told, 200 if dry_run else 202)
