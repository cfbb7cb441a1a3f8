"""Small values that all three tools write in the words of Go and Kubernetes."""

from __future__ import annotations

import math
import re
from typing import Any

_GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> str:
    """A Go duration (`1h30m`, `90s`) as ours, rounded up to seconds; empty when it is none or nothing.

    >>> duration("5m0s")
    '5m'
    """
    if not _GO_DURATION.fullmatch(text):
        return ""
    return seconds(sum(float(number) * _SECONDS[unit] for number, unit in _GO_PART.findall(text)))


def seconds(total: float) -> str:
    """Seconds as a duration; empty for nothing."""
    whole = math.ceil(total)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


_IMAGE = re.compile(r"(?P<name>[^=@]+?)(?::(?P<tag>[\w][\w.-]*))?(?:@(?P<digest>sha256:[0-9a-f]+))?")


def image(text: str) -> dict[str, str] | None:
    """An image as `kustomize edit set image` takes it: `name=new:tag@digest`, or `name:tag`; None for anything else."""
    old, equals, new = text.partition("=")
    match = _IMAGE.fullmatch(new if equals else text)
    if match is None or (equals and not old):
        return None
    made = {"name": old if equals else match["name"]}
    if equals and match["name"] != old:
        made["newName"] = match["name"]
    if match["tag"]:
        made["newTag"] = match["tag"]
    if match["digest"]:
        made["digest"] = match["digest"]
    return made if len(made) > 1 else None


def compact(made: dict[str, Any]) -> dict[str, Any]:
    """The map without what is empty: an absent field is the default."""
    return {key: value for key, value in made.items() if value not in (None, "", [], {}, ())}
