"""Helm's messages, as problems with a place. Pure.

A template's place comes in several forms, of which the innermost says most (a helper that was included):

    parse error at (podinfo/templates/deploy.yaml:3): unclosed action
    execution error at (podinfo/templates/deploy.yaml:1:6): what `fail` and `required` say
    podinfo/templates/deploy.yaml:1:13
      executing "podinfo/templates/deploy.yaml" at <.Values.a.b>:
        nil pointer evaluating interface {}.b
    template: podinfo/templates/deploy.yaml:1:6: executing "…" at <index .Values.l 5>: error calling index: …
    YAML parse error on podinfo/templates/deploy.yaml: …
"""

from __future__ import annotations

import re

from shared.model import Place, Problem

_AT = re.compile(r"(?P<file>[^\s/():\"]+/(?:charts/[^\s():\"]+|templates/[^\s():\"]+))(?::(?P<line>\d+))?(?::\d+)?")
_EXECUTING = re.compile(r"executing \"[^\"]*\" at (?P<what><.*?>):\s*")
_ERROR_CALLING = re.compile(r"^error calling (?:include|tpl|template):\s*")
# The library's forms, Helm 3's own, and Helm 4's.
_WARNING = re.compile(
    r"^(?:(?:\S+ )?\S+ (?:WARN|warning:)|WARNING:|level=WARN msg=|level=INFO msg=\"warning:) *(.+)$", re.MULTILINE
)
_LONGEST = 2000
_MOST = 20


class HelmFailure(Exception):
    """Helm did not render, and said why."""


def explained(said: str, chart: str, application: str) -> tuple[Problem, ...]:
    """The problems in what Helm said about a chart. `chart` is what messages call the chart."""
    said = said.strip().removeprefix("Error: ").removesuffix("Use --debug flag to render out invalid YAML").strip()
    if said.startswith("values don't meet the specifications"):
        return _schema(said, chart, application)
    return (_template(said, chart, application),)


def warnings(said: str, application: str) -> tuple[Problem, ...]:
    """What Helm logged and went on: values that are tables in one place and not in another, and the like."""
    found = list(dict.fromkeys(match[1].strip().strip('"')[:_LONGEST] for match in _WARNING.finditer(said)))
    return tuple(Problem("warning", each, application=application) for each in found[:_MOST])


def shown(chart: str, path: str) -> str:
    """A file of the chart, as messages call it. `path` begins with the chart's name."""
    within = path.partition("/")[2]
    return f"{chart}/{within}" if chart else within


def _template(said: str, chart: str, application: str) -> Problem:
    places = list(_AT.finditer(said))
    place = None
    if places:
        innermost = places[-1]
        place = Place(shown(chart, innermost["file"]), int(innermost["line"] or 0))
    return Problem("error", _message(said), place, application=application)


def _message(said: str) -> str:
    """The end of the chain of calls, with the expression at its end."""
    if said.startswith(("parse error at (", "execution error at (")):
        return said.partition("): ")[2][:_LONGEST]
    steps = list(_EXECUTING.finditer(said))
    if not steps:
        return said.removeprefix("template: ")[:_LONGEST]
    last = steps[-1]
    reason = _ERROR_CALLING.sub("", said[last.end() :].strip())
    return f"{last['what']}: {reason}"[:_LONGEST]


def _schema(said: str, chart: str, application: str) -> tuple[Problem, ...]:
    """One problem for each line `- at '/a': got number, want string`, below the name of the chart it is about."""
    problems: list[Problem] = []
    subject = ""
    for line in said.splitlines()[1:]:
        if not line.startswith(("-", " ")) and line.endswith(":"):
            subject = line[:-1]
        elif line.strip():
            pointer, _, message = line.strip().removeprefix("- at ").partition(": ")
            field = pointer.strip("'").strip("/").replace("/", ".")
            what = f"values of {subject}" + (f": {field}" if field else "")
            problems.append(Problem("error", f"{what}: {message or line.strip()}", application=application))
    hint = "the chart's values.schema.json says so"
    return tuple(
        Problem(each.severity, each.message, Place(chart or "values.schema.json"), hint, application)
        for each in problems
    )
