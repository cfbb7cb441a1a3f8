"""Which clusters a definition means, as our selectors.

A `Target` is one way to be meant, all of its parts holding; a definition means a cluster if one of its targets does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hub.domain.selectors import parse_requirement
from hub.importing.fields import Fields

MAX_ALTERNATIVES = 64
"""More ways than this to be meant are more than a person can read."""

Requirements = tuple[str, ...]
"""Label expressions in the words of Kubernetes: `env=prod`, `gpu in (a100,h200)`, `!edge`."""


@dataclass(frozen=True, slots=True)
class Target:
    """One way to be meant. Empty parts ask nothing. `environment` holds if the cluster is in it."""

    requirements: Requirements = ()
    cluster: str = ""
    environment: str = ""
    exclude: tuple[str, ...] = ()


_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def requirements_of(selector: Fields) -> Requirements:
    """A Kubernetes label selector as expressions; what cannot be read is noted."""
    found = [_equal(key, value) for key, value in sorted(selector.strings("matchLabels").items())]
    for expression in selector.items("matchExpressions"):
        key, operator, values = expression.text("key"), expression.text("operator"), expression.texts("values")
        listed = ",".join(values)
        made = {
            "In": f"{key} in ({listed})",
            "NotIn": f"{key} notin ({listed})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(operator, "")
        try:
            parse_requirement(made)
        except ValueError:
            expression.left("", f"{operator or 'an expression without operator'} cannot be read")
        else:
            found.append(made)
        expression.finish()
    selector.finish()
    return tuple(found)


def _equal(key: str, value: str) -> str:
    return f"{key}={value}" if _VALUE.fullmatch(value) else f"{key} in ({value})"


def term(requirements: Requirements) -> dict[str, Any]:
    """A term of `where`: plain equality as labels, the rest as expressions."""
    labels, match = {}, []
    for text in requirements:
        parsed = parse_requirement(text)
        if parsed.operator == "in" and len(parsed.values) == 1 and parsed.key not in labels:
            labels[parsed.key] = parsed.values[0]
        else:
            match.append(text)
    return {**({"labels": labels} if labels else {}), **({"match": match} if match else {})}


def selector(targets: Sequence[Target]) -> dict[str, Any] | None:
    """The selector for those that one of `targets` means; None when one selector cannot say it.

    An empty target means everything.
    """
    if any(target == Target() for target in targets):
        return {}
    names = [target.cluster for target in targets if target.cluster]
    if names:
        plain = all(target == Target(cluster=target.cluster, exclude=target.exclude) for target in targets)
        return {"clusters": sorted(set(names) - _excluded(targets))} if plain else None
    environments = {target.environment for target in targets}
    excludes = {target.exclude for target in targets}
    rest = {target.requirements for target in targets}
    if len(excludes) > 1 or (len(environments) > 1 and (rest != {()} or "" in environments)):
        return None
    made: dict[str, Any] = {}
    if environments != {""}:
        made["environments"] = sorted(environments)
    if () not in rest:
        made["where"] = [term(target.requirements) for target in dict.fromkeys(targets)]
    exclude = next(iter(excludes), ())
    if exclude:
        made["exclude"] = sorted(exclude)
    return made


def _excluded(targets: Iterable[Target]) -> set[str]:
    return {name for target in targets for name in target.exclude}


def but_not(
    targets: Sequence[Target], others: Sequence[Target], groups: Mapping[str, Requirements] | None = None
) -> list[Target] | None:
    """Those that `targets` mean and none of `others` does; None when that takes too many words.

    `groups` are the requirements that environments stand for; one that is not there cannot be excluded.
    """
    result = list(targets)
    for other in others:
        narrowed = []
        for target in result:
            if _apart(target, other):
                narrowed.append(target)
                continue
            parts = _without(target, other, groups or {})
            if parts is None:
                return None
            narrowed += parts
        result = narrowed
        if len(result) > MAX_ALTERNATIVES:
            return None
    return result


def _apart(one: Target, other: Target) -> bool:
    """Whether no cluster can be meant by both, as far as words show."""
    if one.cluster and other.cluster:
        return one.cluster != other.cluster
    if other.cluster and other.cluster in one.exclude:
        return True
    mine = [parse_requirement(text) for text in one.requirements]
    for text in other.requirements:
        theirs = parse_requirement(text)
        for each in mine:
            if each.key != theirs.key:
                continue
            pair = {each.operator, theirs.operator}
            if pair == {"in"} and not set(each.values) & set(theirs.values):
                return True
            if pair == {"in", "notin"} and _swallowed(each, theirs):
                return True
            if pair in ({"in", "absent"}, {"exists", "absent"}):
                return True
    return False


def _swallowed(one: Any, other: Any) -> bool:
    chosen, refused = (one, other) if one.operator == "in" else (other, one)
    return set(chosen.values) <= set(refused.values)


def _without(target: Target, other: Target, groups: Mapping[str, Requirements]) -> list[Target] | None:
    """`target` with each part of `other` denied in turn: one denied part is enough."""
    requirements = list(other.requirements)
    if other.environment and other.environment != target.environment:
        known = groups.get(other.environment)
        if known is None:
            return None
        requirements += known
    made = [
        replace(target, requirements=(*target.requirements, _denied(text)))
        for text in requirements
        if text not in target.requirements
    ]
    if other.cluster and not target.cluster:
        made.append(replace(target, exclude=tuple(sorted({*target.exclude, other.cluster}))))
    return made


def _denied(text: str) -> str:
    requirement = parse_requirement(text)
    values = ",".join(requirement.values)
    match requirement.operator:
        case "in":
            single = len(requirement.values) == 1 and _VALUE.fullmatch(values)
            return f"{requirement.key}!={values}" if single else f"{requirement.key} notin ({values})"
        case "notin":
            return f"{requirement.key} in ({values})"
        case "exists":
            return f"!{requirement.key}"
        case _:
            return requirement.key
