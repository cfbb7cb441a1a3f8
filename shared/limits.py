"""Whether a project may have an object: the same rule where a bundle is made and where it is applied.

The hub goes by what it knows of built-in kinds; the agent knows from its cluster which kinds have namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.messages import Limits
from shared.model import ObjectRef


def beyond(limits: Limits, ref: ObjectRef) -> str:
    """Why the project may not have an object of this kind at this place; empty when it may.

    A Namespace is held against the list of namespaces by its own name, all else by the namespace it is in.
    """
    kind = f"{ref.group}/{ref.kind}" if ref.group else ref.kind
    if any_kind(limits.denied, ref.group, ref.kind):
        return f"project {limits.project} denies {kind}"
    if not ref.namespace and not any_kind(limits.cluster_scoped, ref.group, ref.kind):
        return f"project {limits.project} may have {_only(limits.cluster_scoped)} of what is cluster-scoped, not {kind}"
    if ref.namespace and limits.kinds and not any_kind(limits.kinds, ref.group, ref.kind):
        return f"project {limits.project} may have {_only(limits.kinds)}, not {kind}"
    place = ref.name if ref.group_kind == "Namespace" else ref.namespace
    if place and limits.namespaces and not any_name(limits.namespaces, place):
        return f"project {limits.project} may have the namespaces {', '.join(limits.namespaces)}, not {place}"
    return ""


def any_kind(patterns: Iterable[str], group: str, kind: str) -> bool:
    """Whether one of the patterns (`Pod`, `apps/Deployment`, `apps/*`, `*`) means the kind."""
    return any(_matches(_whole(pattern), f"{group}/{kind}") for pattern in patterns)


def any_name(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns means the name; `*` stands for any characters, also for none."""
    return any(_matches(pattern, name) for pattern in patterns)


def _whole(pattern: str) -> str:
    """With its group: a kind alone is one of the core group, as is `core/Kind`; `*` alone is every kind."""
    if pattern.startswith("core/"):
        return pattern.removeprefix("core")
    return pattern if "/" in pattern else "*/*" if pattern == "*" else f"/{pattern}"


def _matches(pattern: str, text: str) -> bool:
    """Step by step rather than by a regular expression, which a pattern of many stars could keep busy for hours."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _only(patterns: tuple[str, ...]) -> str:
    return f"only {', '.join(patterns)}" if patterns else "nothing"
