"""Names for what is made: tokens that are one DNS label, no two alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from shared.model import is_token

LONGEST = 63
ITEM = "${item."
"""What is filled in per item of an ApplicationSet; a name with it is checked once it is filled in."""


def token(text: str, fallback: str = "app") -> str:
    """`text` as a name: other characters become dashes; what is too long ends in a digest of the whole."""
    if ITEM in text or is_token(text):
        return text
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(made) > LONGEST:
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        made = f"{made[: LONGEST - 7].rstrip('-')}-{digest}"
    return made or fallback


def distinct(wanted: Iterable[Sequence[str]]) -> list[str]:
    """A name for each, in order: the first of its candidates that nobody else has as well.

    Each is given as candidates, shortest first (`web`, `prod-web`, `clusters-prod-web`). Two that want the same name
    both take their next one, so that neither depends on which came first; in the end a number tells them apart.
    """
    candidates = [[token(text) for text in each] for each in wanted]
    longest = max((len(each) for each in candidates), default=0)
    chosen: list[str] = ["" for _ in candidates]
    for step in range(longest):
        names = [each[min(step, len(each) - 1)] for each in candidates]
        for number, name in enumerate(names):
            if not chosen[number] and names.count(name) == 1 and name not in chosen:
                chosen[number] = name
    for number, each in enumerate(candidates):
        count = 1
        while not chosen[number]:
            name = each[-1] if count == 1 else token(f"{each[-1]}-{count}")
            if name not in chosen:
                chosen[number] = name
            count += 1
    return chosen
