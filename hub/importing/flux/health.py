"""Flux's health expressions as ours: both are CEL, over the object's fields there and over `object` here."""

from __future__ import annotations

import re
from typing import Any

from hub.importing.fields import Fields

_TOKEN = re.compile(
    r"""(?P<string>r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*')|(?P<member>\.\s*[A-Za-z_]\w*)|(?P<name>[A-Za-z_]\w*)|(?P<other>.)""",
    re.DOTALL,
)
_ROOTS = frozenset({"apiVersion", "kind", "metadata", "spec", "status", "data"})


def health_of(spec: Fields) -> list[dict[str, Any]]:
    """`healthCheckExprs` as `health`."""
    made = []
    for each in spec.items("healthCheckExprs"):
        group = each.text("apiVersion").rpartition("/")[0]
        kind = each.text("kind")
        current, failed = each.text("current"), each.text("failed")
        each.differs_if("inProgress", "an object is progressing when it is neither healthy nor failed")
        if not kind or not current:
            each.left("kind", "a rule is for one kind, and says when it is healthy")
        else:
            rule = {"kind": f"{group}/{kind}" if group else kind, "healthy": over_object(current)}
            made.append({**rule, **({"failed": over_object(failed)} if failed else {})})
        each.finish()
    return made


def over_object(expression: str) -> str:
    """A CEL expression over an object's fields as one over `object`."""

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        return f"object.{name}" if name in _ROOTS else match[0]

    return _TOKEN.sub(replaced, expression.strip())
