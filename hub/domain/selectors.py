"""Which clusters are meant: one selector everywhere, and a verdict that says why.

A selector's keys all hold together; `where` is a list of terms of which one is enough; a term's parts all hold; an
empty selector means every cluster. Labels come from administrators, facts from the agent: the two are never mixed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hub.domain.fields import Model, Name


@dataclass(frozen=True, slots=True)
class Requirement:
    """A label expression: `operator` is one of in, notin, exists, absent."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def failure(self, labels: Mapping[str, str]) -> str:
        """Why it does not hold, empty when it does. As in Kubernetes, notin and != hold for a label that is not set."""
        have = labels.get(self.key)
        match self.operator:
            case "exists" if have is None:
                return f"label {self.key} is not set"
            case "absent" if have is not None:
                return f"label {self.key} is {have!r}, wanted none"
            case "in" if have not in self.values:
                is_now = "is not set" if have is None else f"is {have!r}"
                return f"label {self.key} {is_now}, wanted {_alternatives(self.values)}"
            case "notin" if have in self.values:
                return f"label {self.key} is {have!r}, wanted anything but {_alternatives(self.values)}"
            case _:
                return ""


_KEY = r"(?P<key>[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?)"
_VALUE = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
_SET = re.compile(rf"{_KEY}\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(rf"{_KEY}\s*(?P<operator>==|=|!=)\s*(?P<values>{_VALUE})?")
_PRESENT = re.compile(rf"(?P<not>!)?\s*{_KEY}")


@functools.lru_cache(maxsize=4096)
def parse_requirement(text: str) -> Requirement:
    """A label expression as Kubernetes writes it: `a in (b,c)`, `a notin (b)`, `a=b`, `a!=b`, `a`, `!a`.

    Raises:
        ValueError: it is none of these.
    """
    stripped = text.strip()
    if match := _SET.fullmatch(stripped):
        values = tuple(value.strip() for value in match["values"].split(","))
        if all(values) or values == ("",):
            return Requirement(match["key"], match["operator"], values)
    if match := _EQUAL.fullmatch(stripped):
        return Requirement(match["key"], "notin" if match["operator"] == "!=" else "in", (match["values"] or "",))
    if match := _PRESENT.fullmatch(stripped):
        return Requirement(match["key"], "absent" if match["not"] else "exists")
    raise ValueError(
        f"{text!r} is not a label expression: write 'a in (b,c)', 'a notin (b,c)', 'a=b', 'a!=b', 'a' or '!a',"
        " one to an entry"
    )


_COMPARISON = re.compile(r"(>=|<=|!=|==|=|>|<)?\s*([^\s,<>=!]+)(?:\s*,\s*|\s+|$)")


@functools.lru_cache(maxsize=4096)
def parse_comparisons(text: str) -> tuple[tuple[str, str], ...]:
    """The (operator, operand) pairs of `>=1.29 <1.32`; all must hold. No operator means equal.

    Raises:
        ValueError: it cannot be read.
    """
    found, position, stripped = [], 0, text.strip()
    while position < len(stripped):
        match = _COMPARISON.match(stripped, position)
        if match is None:
            break
        found.append(((match[1] or "=").replace("==", "="), match[2]))
        position = match.end()
    if not found or position < len(stripped):
        raise ValueError(f"{text!r} is not a comparison: write it like '>=1.29' or '>=1.29 <1.32'")
    return tuple(found)


def _expressions(expressions: tuple[str, ...]) -> tuple[str, ...]:
    for text in expressions:
        parse_requirement(text)
    return expressions


def _comparisons(facts: dict[str, str]) -> dict[str, str]:
    for text in facts.values():
        parse_comparisons(text)
    return facts


class Term(Model):
    """One way to match: all of its parts hold."""

    labels: dict[str, str] = Field(default_factory=dict)
    match: Annotated[tuple[str, ...], AfterValidator(_expressions)] = ()
    facts: Annotated[dict[str, str], AfterValidator(_comparisons)] = Field(default_factory=dict)


class Selector(Model):
    """Which clusters are meant."""

    environments: tuple[Name, ...] = ()
    clusters: tuple[Name, ...] = ()
    where: tuple[Term, ...] = ()
    exclude: tuple[Name, ...] = ()

    @property
    def uses_facts(self) -> bool:
        """Whether the verdict may change with what agents report."""
        return any(term.facts for term in self.where)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cluster as a selector sees it. `environments` are all it belongs to; `facts` is empty until it reported."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a cluster is meant, and why or why not.

    `undecided` marks a cluster that is left out only because it has not reported the facts that are asked for.
    """

    selected: bool
    reasons: tuple[str, ...]
    undecided: bool = False


def matches(selector: Selector, candidate: Candidate) -> Verdict:
    """Whether the selector means the cluster, with every reason that speaks for or against it."""
    against: list[str] = []
    because: list[str] = []
    if candidate.name in selector.exclude:
        against.append("excluded by name")
    if selector.clusters:
        named = candidate.name in selector.clusters
        (because if named else against).append("listed by name" if named else _not_named(selector.clusters))
    if selector.environments:
        common = [name for name in selector.environments if name in candidate.environments]
        if common:
            because.append(f"in environment {', '.join(common)}")
        else:
            against.append(f"not in environment {' or '.join(selector.environments)}{_actual(candidate)}")
    undecided = False
    if selector.where:
        failures = [_term_failures(term, candidate) for term in selector.where]
        fitting = next((term for term, failed in zip(selector.where, failures, strict=True) if not any(failed)), None)
        if fitting is not None:
            because.append(_term_words(fitting))
        else:
            undecided = not against and any(not certain for certain, _ in failures)
            against.extend(_where_reasons(failures))
    if against:
        return Verdict(selected=False, reasons=tuple(against), undecided=undecided)
    return Verdict(selected=True, reasons=tuple(because) or ("every cluster is selected",))


def selecting(selector: Selector) -> Callable[[Candidate], bool]:
    """`matches(…).selected` for one cluster after the other: of those alike in what it asks for, one is looked at."""
    keys = {key for term in selector.where for key in term.labels}
    keys |= {parse_requirement(text).key for term in selector.where for text in term.match}
    by_name, labels = bool(selector.clusters or selector.exclude), tuple(sorted(keys))
    known: dict[tuple[str, tuple[str, ...], tuple[str | None, ...]], bool] = {}

    def selected(candidate: Candidate) -> bool:
        have = candidate.labels.get
        alike = (candidate.name if by_name else "", candidate.environments, tuple(have(key) for key in labels))
        if alike not in known:
            known[alike] = matches(selector, candidate).selected
        return known[alike]

    return (lambda candidate: matches(selector, candidate).selected) if selector.uses_facts else selected


Failures = tuple[list[str], list[str]]
"""What certainly fails, and what cannot be told because the fact is not known."""


def _term_failures(term: Term, candidate: Candidate) -> Failures:
    requirements = [Requirement(key, "in", (value,)) for key, value in sorted(term.labels.items())]
    requirements += [parse_requirement(text) for text in term.match]
    certain = [reason for requirement in requirements if (reason := requirement.failure(candidate.labels))]
    unknown = []
    for name, wanted in sorted(term.facts.items()):
        have = candidate.facts.get(name)
        if have is None:
            unknown.append(f"fact {name} is not known, wanted {wanted}")
        elif not fact_holds(have, wanted):
            certain.append(f"fact {name} is {have!r}, wanted {wanted}")
    return certain, unknown


def fact_holds(have: Any, wanted: str) -> bool:
    """Whether a reported fact satisfies a comparison.

    Versions and numbers are compared number by number, what follows them (`-gke.100`, `+k3s1`) is ignored. A fact that
    is a list holds when one of its elements does.
    """
    if isinstance(have, list | tuple | set | frozenset):
        return any(fact_holds(element, wanted) for element in have)
    return all(_compare(have, operator, operand) for operator, operand in parse_comparisons(wanted))


_NUMBERS = re.compile(r"v?(\d+(?:\.\d+)*)(?:[-+ ].*)?")


def _compare(have: Any, operator: str, operand: str) -> bool:
    text = str(have).lower() if isinstance(have, bool) else str(have)
    left, right = _NUMBERS.fullmatch(text), _NUMBERS.fullmatch(operand)
    if left is None or right is None:
        return text != operand if operator == "!=" else operator == "=" and text == operand
    mine, theirs = _padded(left[1], right[1])
    match operator:
        case ">=":
            return mine >= theirs
        case "<=":
            return mine <= theirs
        case ">":
            return mine > theirs
        case "<":
            return mine < theirs
        case _:
            pass
    precise = right[1].count(".") + 1  # 1.29 equals every 1.29.x
    return (mine[:precise] == theirs[:precise]) is (operator == "=")


def _padded(left: str, right: str) -> tuple[list[int], list[int]]:
    mine, theirs = ([int(part) for part in text.split(".")] for text in (left, right))
    width = max(len(mine), len(theirs))
    return mine + [0] * (width - len(mine)), theirs + [0] * (width - len(theirs))


def _where_reasons(failures: list[Failures]) -> Iterable[str]:
    if len(failures) == 1:
        return [*failures[0][0], *failures[0][1]]
    return [
        f"term {number}: {'; '.join([*certain, *unknown])}" for number, (certain, unknown) in enumerate(failures, 1)
    ]


def _term_words(term: Term) -> str:
    words = [f"{key}={value}" for key, value in sorted(term.labels.items())]
    words += list(term.match)
    words += [f"{name} {wanted}" for name, wanted in sorted(term.facts.items())]
    return ", ".join(words) or "an empty term matches every cluster"


def _not_named(clusters: tuple[str, ...]) -> str:
    shown = ", ".join(clusters[:5]) + (f" and {len(clusters) - 5} more" if len(clusters) > 5 else "")
    return f"not one of the clusters listed ({shown})"


def _actual(candidate: Candidate) -> str:
    return f" (it is in {', '.join(candidate.environments)})" if candidate.environments else " (it is in none)"


def _alternatives(values: tuple[str, ...]) -> str:
    return " or ".join(repr(value) for value in values)
