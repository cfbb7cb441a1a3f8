"""Holds objects against rules in CEL. Runs where it may be ended: nobody knows what an expression costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from hub.domain.rules import Rule, names_images
from hub.render.job import Broken, Judged, RulesJob
from shared import expressions
from shared.expressions import ExpressionError
from shared.limits import any_kind

MAX_OBJECT = 1024 * 1024
"""Bytes of an object that a rule may look at; Kubernetes itself takes about as much."""


def judge(job: RulesJob) -> Judged:
    """Which rules do not hold, of the first objects first, no more than asked for.

    What cannot be evaluated does not hold: nobody gets around a rule by leaving out what it asks for.
    """
    broken: list[Broken] = []
    for number, line in enumerate(job.objects):
        for rule, reason in _broken(line, job.rules):
            broken.append(Broken(number, rule, reason))
            if len(broken) >= job.most:
                return Judged(tuple(broken))
    return Judged(tuple(broken))


def _broken(line: bytes, rules: tuple[Rule, ...]) -> Iterator[tuple[int, str]]:
    manifest: dict[str, Any] = orjson.loads(line)
    group, slash, _ = str(manifest.get("apiVersion")).partition("/")
    for number, rule in enumerate(rules):
        if rule.kinds and not any_kind(rule.kinds, group if slash else "", str(manifest.get("kind"))):
            continue
        if rule.on_images and not names_images(manifest):
            continue
        if len(line) > MAX_OBJECT:
            yield number, f"it is larger than {MAX_OBJECT // 1024} KB, which no rule may look at"
            continue
        try:
            if not all(expressions.holds(each, manifest, measured=True) for each in rule.require):
                yield number, ""
        except ExpressionError as error:
            yield number, str(error)
