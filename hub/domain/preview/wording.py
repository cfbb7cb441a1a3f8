"""Words and lines that every form of a preview shares."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hub.domain import deprecations
from hub.domain.preview.model import (
    ApplicationChange,
    FieldChange,
    Finding,
    LiveField,
    ObjectChange,
    Outdated,
    OutdatedOn,
    Preview,
)
from hub.domain.yamltext import to_yaml

CONTEXT = 3
"""Unchanged lines around those that differ."""


def counted(number: int, what: str) -> str:
    """`1 cluster`, `2 clusters`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def some(names: Sequence[str], limit: int = 10) -> str:
    """The first few names, and the number of the others."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def on(clusters: Sequence[str], limit: int = 10) -> str:
    """`on dev-1`, `the same on 12 clusters: dev-1, …`."""
    if len(clusters) == 1:
        return f"on {clusters[0]}"
    return f"the same on {len(clusters)} clusters: {some(clusters, limit)}"


def by_environment(clusters: Sequence[str], environments: Mapping[str, str]) -> str:
    """`12 clusters (prod 8, stage 4)`; the name where it is one."""
    if len(clusters) == 1:
        return clusters[0]
    counts = Counter(environments.get(name, "") for name in clusters)
    parts = [f"{name} {count}" for name, count in sorted(counts.items()) if name]
    return counted(len(clusters), "cluster") + (f" ({', '.join(parts)})" if parts else "")


def headline(preview: Preview) -> str:
    """The preview in one sentence."""
    if not preview.applications:
        return f"nothing changes on any of {counted(preview.fleet, 'cluster')}"
    actions = Counter(change.action for each in preview.applications for change in each.objects)
    parts = [f"{counted(actions[name], 'object')} {name}" for name in ("added", "changed", "removed") if actions[name]]
    applications = counted(len(preview.applications), "application")
    verb = "changes" if len(preview.applications) == 1 else "change"
    told = f": {', '.join(parts)}" if parts else ""
    return f"{applications} {verb} on {len(preview.clusters)} of {counted(preview.fleet, 'cluster')}{told}"


def moves(change: ApplicationChange) -> Iterator[str]:
    """What happens to the application as a whole, a line each."""
    if change.renamed_from:
        yield f"it takes the place of {change.renamed_from}"
    for clusters, text in ((change.placed, "comes to"), (change.left, "leaves")):
        if clusters:
            count = "" if len(clusters) == 1 else f"{len(clusters)} clusters: "
            yield f"{text} {count}{some(clusters)}"
    yield from (f"{each.reason}: {on(each.clusters)}" for each in change.unclear)


def finding(found: Finding) -> str:
    """A problem and where it is, on one line."""
    about = f"{found.problem.application}: " if found.problem.application else ""
    where = f" [{on(found.clusters)}]" if found.clusters else ""
    return f"{about}{found.problem}{where}"


_STANDINGS = {"removed": "not served by", "deprecated": "deprecated on", "unknown": "version not known of"}


def outdated(each: Outdated) -> str:
    """An object in an API version that Kubernetes gives up, on one line: where it is, what to do, which clusters."""
    place = f"{each.place}: " if each.place is not None else ""
    since = f"deprecated since Kubernetes {each.deprecated} and gone since {each.removed}"
    advice, where = deprecations.advice(each.instead), "; ".join(map(_outdated_on, each.where))
    return f"{each.application}: {place}{each.object} is {each.object.api_version}, {since} ({advice}): {where}"


def _outdated_on(on: OutdatedOn) -> str:
    """`not served by 12 clusters at 1.25 to 1.32: prod-1, prod-2, …`."""
    alone = len(on.clusters) == 1
    at = f" at {' to '.join(dict.fromkeys((on.versions[0], on.versions[-1])))}" if on.versions else ""
    named = on.clusters[0] if alone else counted(len(on.clusters), "cluster")
    return f"{_STANDINGS[on.standing]} {named}{at}" + ("" if alone else f": {some(on.clusters)}")


def outdated_before(preview: Preview) -> str:
    """How many objects are outdated that the change is not about; empty for none."""
    if not preview.outdated_before:
        return ""
    verb = "is" if preview.outdated_before == 1 else "are"
    others = counted(preview.outdated_before, "object")
    return f"{others} beside what changes {verb} in such API versions already, and {verb} not listed"


def body(change: ObjectChange) -> Iterator[str]:
    """The change as the lines of a diff."""
    if change.manifest is not None:
        sign = "+" if change.action == "added" else "-"
        yield from (f"{sign}{line}" for line in text(change.manifest))
    for field in change.fields:
        yield from hunk(field)


def hunk(field: FieldChange | LiveField) -> Iterator[str]:
    """A field as a hunk: its path, the lines that go, and those that come."""
    yield f"@@ {field.path or '/'} @@"
    old, new = text(field.before), text(field.after)
    if old == new:  # they differ in what the text does not show, such as the end of the last line
        old, new = [json.dumps(field.before)], [json.dumps(field.after)]
    if field.before is None or field.after is None:
        yield from (f"-{line}" for line in (old if field.before is not None else ()))
        yield from (f"+{line}" for line in (new if field.after is not None else ()))
        return
    lines = difflib.unified_diff(old, new, lineterm="", n=CONTEXT)
    yield from (line for number, line in enumerate(lines) if number > 1 and not (number == 2 and line.startswith("@@")))


def text(value: Any) -> list[str]:
    """A value as lines: longer texts as they are, anything else as YAML."""
    if isinstance(value, str) and "\n" in value:
        return value.split("\n")[: -1 if value.endswith("\n") else None]
    return to_yaml(value).removesuffix("...\n").rstrip("\n").split("\n")
