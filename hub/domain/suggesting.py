"""What was meant by who wrote a selector as other tools write theirs: the same, as it is written here. Pure.

A hint is only given where it is right: what cannot be understood gets an example, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from hub.domain.documents import ApplicationSpec, EnvironmentSpec
from hub.domain.selectors import Selector, Term, parse_requirement
from hub.domain.yamltext import to_flow
from shared.model import is_token

EXAMPLE = "where: [{labels: {env: prod}}]"

_LONGEST = 200
"""Characters of what somebody wrote that are worth writing back."""

_WHOLE = frozenset({"selector", "clusterSelector", "labelSelector", "namespaceSelector"})
_LABELS = frozenset({"labels", "matchLabels"})
_EXPRESSIONS = frozenset({"match", "matchExpressions"})
_OF_TERMS = _WHOLE | _LABELS | _EXPRESSIONS | {"facts"}
"""Fields that say which labels, here or elsewhere."""

_OF_PLACEMENT = (_OF_TERMS - {"labels"}) | {
    "cluster", "clusters", "destination", "destinations", "environment", "environments", "exclude", "targets", "where"
}  # fmt: skip
"""What an application is given by mistake for its placement; `labels` may be its own, in the wrong place."""

_NAMES = ("environments", "clusters", "exclude")

_OPERATORS = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}
"""Of Kubernetes' matchExpressions."""


def selector_hint(models: Collection[type[BaseModel]], rest: Sequence[str | int], kind: str, given: Any) -> str:
    """What to write in place of `given`, empty when nobody can tell.

    Args:
        models: what the nearest place above may hold.
        rest: the steps from there to what is wrong; none when it is that place itself.
        kind: of the error, as pydantic calls it.
        given: what was written.
    """
    if Term in models:
        return _in_term(rest, kind, given)
    if any(issubclass(each, Selector) for each in models):
        # A list of what selects, like stages, or a name in place of one.
        other = kind in ("tuple_type", "string_type") and not rest
        return "" if other else _in_selector(rest, kind, given)
    if kind != "extra_forbidden" or not rest:
        return ""
    if EnvironmentSpec in models and rest[0] in _OF_TERMS:
        return _where({rest[0]: given})
    return _placement(str(rest[0]), given) if ApplicationSpec in models and rest[0] in _OF_PLACEMENT else ""


def _in_term(rest: Sequence[str | int], kind: str, given: Any) -> str:
    if not rest:
        if kind == "tuple_type":
            return _where(given)
        return _write(term(given), inside=False) or "write {labels: {env: prod}}"
    if kind == "extra_forbidden" or (rest[0] in ("labels", "match") and len(rest) == 1):
        return _write(term({rest[0]: given}))
    if rest[0] == "match" and isinstance(given, dict):
        found = term({"match": [given]})
        return f"write {to_flow(list(found['match']))[1:-1]}" if found and "match" in found else ""
    if rest[0] == "labels" and isinstance(given, list):
        return _write(term({"labels": {rest[1]: given}}))
    return ""


def _in_selector(rest: Sequence[str | int], kind: str, given: Any) -> str:
    if not rest:
        return _where(given) if _understood(given) else "write {environments: [prod]}, or {" + EXAMPLE + "}"
    field = str(rest[0])
    if field in _NAMES:
        if isinstance(given, dict):
            return _where(given)
        every = isinstance(given, str) and "*" in given
        return f"names are written out; leave it out for every one, or choose by label: {EXAMPLE}" if every else ""
    if kind != "extra_forbidden":
        return ""
    if f"{field}s" in _NAMES:
        return _write({f"{field}s": _named(given)}) if _named(given) else ""
    return _where({field: given}) if field in _OF_TERMS else ""


def bare_label(models: Collection[type[BaseModel]], rest: Sequence[str | int], given: Any) -> str:
    """What to write where an unknown field may have been meant for a label of clusters, empty where it was not."""
    selects = any(issubclass(each, Selector) for each in models)
    if not selects or len(rest) != 1 or not isinstance(given, str | list) or not _understood({rest[0]: given}):
        return ""
    return f"if it is a label of clusters, {_where({rest[0]: given})}"


def _placement(field: str, given: Any) -> str:
    plural = field if field in _NAMES else f"{field}s"
    meant: dict[str, Any] = {}
    if plural in _NAMES:
        meant = {plural: _named(given)}
    elif field == "where" or field in _OF_TERMS:
        meant = {"where": _terms(given if field == "where" else {field: given})}
    return _write({"placement": meant}) if any(meant.values()) else _placed_by_example()


def _placed_by_example() -> str:
    return "placement says which clusters: write placement: {environments: [prod]}, or placement: {" + EXAMPLE + "}"


def _named(given: Any) -> list[str]:
    """The names of clusters or environments that were meant, one or a list; none when one of them is no name."""
    found = given if isinstance(given, list) else [given]
    return found if all(isinstance(each, str) and is_token(each) for each in found) else []


def _understood(given: Any) -> bool:
    return bool(_terms(given))


def _terms(given: Any) -> list[dict[str, Any]]:
    """The terms that were meant, one of them or a list; none when one cannot be understood."""
    found = [term(each) for each in (given if isinstance(given, list) else [given])]
    return [each for each in found if each] if all(found) else []


def _where(given: Any) -> str:
    return _write({"where": _terms(given)}) if _understood(given) else f"write {EXAMPLE}"


def _write(what: dict[str, Any] | None, *, inside: bool = True) -> str:
    """`inside`: without the braces, as a field of what is there."""
    if not what:
        return ""
    text = to_flow(what)
    if len(text) > _LONGEST:
        return f"write it like {EXAMPLE}"
    return f"write {text[1:-1] if inside else text}"


def term(given: Any) -> dict[str, Any] | None:
    """The term that was meant by a map of labels, a selector of Kubernetes, or an expression; None when none was."""
    if isinstance(given, str):
        # A bare word is an expression as well, but more likely the name of something.
        expression = _expression(given) if not given.strip().isidentifier() and not is_token(given) else ""
        return {"match": [expression]} if expression else None
    if not isinstance(given, dict) or not given:
        return None
    labels: dict[str, str] = {}
    expressions: list[str] = []
    facts: dict[str, str] = {}
    for name, content in given.items():
        if name in _WHOLE:
            inner = term(content)
        elif name in _LABELS and isinstance(content, Mapping):
            inner = _labels(content)
        elif name in _LABELS | _EXPRESSIONS:
            inner = _labels(content) if isinstance(content, Mapping) else _expressions(content)
        elif name == "facts":
            inner = {"facts": {key: _text(wanted) for key, wanted in content.items()}} if _flat(content) else None
        else:
            inner = _labels({name: content})
        if inner is None:
            return None
        labels |= inner.get("labels", {})
        expressions += inner.get("match", [])
        facts |= inner.get("facts", {})
    found = {name: part for name, part in (("labels", labels), ("match", expressions), ("facts", facts)) if part}
    return found if found and _holds(found) else None


def _holds(found: dict[str, Any]) -> bool:
    """Whether it can be written so: a fact's comparison, above all, is not looked at before."""
    try:
        Term.model_validate(found, strict=False)
    except ValidationError:
        return False
    return True


def _labels(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Labels and what they have to be; several values for one are an expression."""
    labels = {name: _text(value) for name, value in given.items() if _scalar(value)}
    choices = {name: value for name, value in given.items() if isinstance(value, list)}
    if len(labels) + len(choices) < len(given) or not all(map(_scalar, (v for c in choices.values() for v in c))):
        return None
    expressions = [_expression(f"{name} in ({','.join(map(_text, each))})") for name, each in choices.items()]
    return {"labels": labels, "match": expressions} if all(expressions) else None


def _expressions(given: Any) -> dict[str, Any] | None:
    given = given if isinstance(given, list) else [given]
    found = [_expression(_kubernetes_expression(each) if isinstance(each, dict) else each) for each in given]
    return {"match": found} if found and all(found) else None


def _kubernetes_expression(given: Mapping[str, Any]) -> str:
    """One of `matchExpressions`: `{key: env, operator: In, values: [prod]}`."""
    key, form, values = given.get("key"), _OPERATORS.get(str(given.get("operator"))), given.get("values") or []
    if form is None or not isinstance(key, str) or not isinstance(values, list) or not all(map(_scalar, values)):
        return ""
    return form.format(key, ",".join(map(_text, values)))


def _expression(text: Any) -> str:
    """The text when it is a label expression, empty when it is none."""
    try:
        parse_requirement(text)
    except (ValueError, AttributeError, TypeError):
        return ""
    return str(text)


def _flat(given: Any) -> bool:
    return isinstance(given, Mapping) and all(map(_scalar, given.values()))


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
