"""`${variable}` in manifests: which variables a cluster sees, and how they are put in.

The rule that lets repositories written for other tools work unchanged: only names that some document of the fleet
defines are ours. `${HOME}` in a script is nobody's variable and stays as it is; it gets a warning only when it looks
like a slip of the pen. `${domain}` is replaced; where another cluster defines it but this one does not, it is an error,
or the default of `${domain:-example.com}` (which, as in shells, also stands in for an empty value). The other forms
that shells know (`${domain^^}`, `${domain#*.}`, …) are those of `hub.domain.expansion`. `$${domain}` is written out as
`${domain}`.

Variables are put into decoded strings, so that a value cannot change the structure. A value written without quotes that
is one variable and nothing else (`replicas: ${replicas}`) takes the variable's type; in quotes it stays a string.
Precedence, later wins: environments in order, cluster, overrides in order. The builtins `cluster`, `environment`,
`application` and `namespace` cannot be redefined.

The annotation `yardarm.dev/substitute: disabled` leaves one object alone, or on an Application all of its objects; on
an Application, `variables` leaves the builtins alone. Flux's own annotation and label of that meaning count on objects.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.domain.documents import SUBSTITUTE, Application, Override
from hub.domain.expansion import MAX_NESTED, Reference, references, value_of
from hub.domain.fields import BUILTINS, Scalar
from hub.domain.fleet import FleetModel
from hub.domain.scalars import Unquoted, resolve
from hub.domain.yamldoc import child_path
from shared.model import Manifest, Place, Problem


@dataclass(frozen=True, slots=True)
class Scope:
    """The variables one application sees on one cluster.

    `origins` says for each value where it is from. `known` are all names that are ours: those with a value here, and
    those that only other clusters have.
    """

    values: Mapping[str, Scalar] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Substituted:
    """A manifest with its variables put in.

    `used` are all names that occur, ours or not, also in defaults that were not needed: with the values of these names
    the result is determined, on every cluster.
    """

    manifest: Manifest
    used: frozenset[str]
    problems: tuple[Problem, ...] = ()


def scope(
    application: Application, cluster: str, fleet: FleetModel, overrides: Sequence[tuple[int, Override]] = ()
) -> Scope:
    """What the application sees on the cluster. `overrides` are those that apply there, with their numbers from 0."""
    mode = application.metadata.annotations.get(SUBSTITUTE)
    if mode == "disabled":
        return Scope()
    values: dict[str, Scalar] = {}
    origins: dict[str, str] = {}
    for origin, variables in _layers(application, cluster, fleet, overrides):
        values.update(variables)
        origins.update(dict.fromkeys(variables, origin))
    everywhere = {name for override in application.spec.overrides for name in override.variables}
    known = fleet.variable_names | everywhere
    if mode != "variables":
        builtins = {
            "application": application.name,
            "cluster": cluster,
            "environment": fleet.environment_of(cluster),
            "namespace": application.spec.namespace,
        }
        values.update(builtins)
        origins.update(dict.fromkeys(builtins, "set by Yardarm"))
        known |= BUILTINS
    return Scope(values, origins, frozenset(known))


def _layers(
    application: Application, cluster: str, fleet: FleetModel, overrides: Sequence[tuple[int, Override]]
) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    for name in fleet.membership.get(cluster, ()):
        yield f"environment {name}", fleet.environments[name].spec.variables
    yield f"cluster {cluster}", fleet.clusters[cluster].spec.variables
    for number, override in overrides:
        yield f"override {number + 1} of {application.name}", override.variables


FLUX_SUBSTITUTE = "kustomize.toolkit.fluxcd.io/substitute"


def substitute(manifest: Manifest, variables: Scope, place: Place | None = None) -> Substituted:
    """The manifest with its variables put in; the same object when there is nothing to do.

    Args:
        manifest: decoded; not changed.
        variables: what the application sees on the cluster.
        place: where the object is written, for findings.
    """
    if _left_alone(manifest):
        return Substituted(manifest, frozenset())
    walk = _Walk(variables, place)
    result = walk.value(manifest)
    return Substituted(result, frozenset(walk.used), tuple(walk.problems))


def filled(values: dict[str, Any], variables: Scope) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Helm values with their variables put in; a string that is one variable and nothing else takes its type."""
    walk = _Walk(variables, None)
    result = walk.value(_unquoted(values))
    return result, tuple(walk.problems)


def _unquoted(value: Any) -> Any:
    if isinstance(value, str):
        return Unquoted(value) if "${" in value else value
    if isinstance(value, dict):
        return {key: _unquoted(inner) for key, inner in value.items()}
    return [_unquoted(inner) for inner in value] if isinstance(value, list) else value


def names_in(value: Any) -> frozenset[str]:
    """The variable names that a value and everything in it asks for, ours or not."""
    if isinstance(value, str):
        found = [each for each in references(value) if isinstance(each, Reference)] if "${" in value else []
        return frozenset(each.name for each in found).union(*(names_in(each.argument) for each in found))
    inner = (
        [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    )
    return frozenset().union(*map(names_in, inner))


def _left_alone(manifest: Manifest) -> bool:
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        return False
    annotations, labels = metadata.get("annotations"), metadata.get("labels")
    marks = [annotations.get(name) for name in (SUBSTITUTE, FLUX_SUBSTITUTE)] if isinstance(annotations, dict) else []
    if isinstance(labels, dict):
        marks.append(labels.get(FLUX_SUBSTITUTE))
    return "disabled" in marks


class _Walk:
    """One pass over one manifest. It recurses: the reader limits depth."""

    def __init__(self, variables: Scope, place: Place | None) -> None:
        self.used: set[str] = set()
        self.problems: list[Problem] = []
        self._scope = variables
        self._place = place
        self._path: list[str | int] = []

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._string(value) if "${" in value else value
        if isinstance(value, dict):
            return self._map(value)
        if isinstance(value, list):
            return self._list(value)
        return value

    def _map(self, value: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        same = True
        for key, inner in value.items():
            self._path.append(key)
            new_key = str(self._text(key)) if "${" in key else key
            new = self.value(inner)
            if new_key in result:
                self._find("error", f"two keys are called {new_key!r} once variables are put in")
            result[new_key] = new
            same = same and new is inner and new_key == key
            self._path.pop()
        return value if same else result

    def _list(self, value: list[Any]) -> list[Any]:
        result = []
        for number, inner in enumerate(value):
            self._path.append(number)
            result.append(self.value(inner))
            self._path.pop()
        return value if all(new is old for new, old in zip(result, value, strict=True)) else result

    def _string(self, text: str) -> Any:
        whole = _whole(text) if isinstance(text, Unquoted) else None
        if whole is None:
            return self._text(text)
        value = self._scope.values.get(whole.name)
        plain = not whole.operator or (whole.has_default and value not in (None, ""))
        if plain and value is not None:
            self.used |= {whole.name, *names_in(whole.argument)}
            return value
        replaced = self._replacement(whole, text, 0)
        return text if replaced == text else resolve(replaced)

    def _text(self, text: str, depth: int = 0) -> str:
        if depth > MAX_NESTED:
            return text
        new = "".join(
            part if isinstance(part, str) else self._replacement(part, part.text, depth) for part in references(text)
        )
        return text if new == text else new

    def _replacement(self, reference: Reference, unchanged: str, depth: int) -> str:
        name = reference.name
        # With those of a default that this value does without: with another value it would count.
        self.used |= {name, *names_in(reference.argument)}
        if name not in self._scope.known:
            near = _near(name, self._scope.known)
            if near:
                self._find("warning", f"${{{name}}} is not a variable and stays as it is", f"did you mean ${{{near}}}?")
            return unchanged
        if reference.escaped:
            return unchanged[1:]
        value = self._scope.values.get(name)
        if value is None and not reference.has_default:
            self._find(
                "error",
                f"the variable ${{{name}}} has no value on this cluster",
                f"define it for the cluster or its environment, or write ${{{name}:-default}}",
            )
            return unchanged
        text = "" if value is None else _text_of(value)
        return value_of(reference, text, lambda inner: self._text(inner, depth + 1))

    def _find(self, severity: Any, message: str, hint: str = "") -> None:
        path = ""
        for step in self._path:
            path = child_path(path, step)
        at = Place(self._place.file, self._place.line, path) if self._place is not None else None
        problem = Problem(severity, message, at, hint)
        if problem not in self.problems:
            self.problems.append(problem)


def _whole(text: str) -> Reference | None:
    """The reference that a text consists of; None when it is more, or meant as text."""
    parts = list(references(text))
    only = parts[0] if len(parts) == 1 else None
    return only if isinstance(only, Reference) and not only.escaped else None


def _text_of(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@functools.lru_cache(maxsize=4096)
def _near(name: str, known: frozenset[str]) -> str:
    """The variable that somebody may have meant. Builtins do not count: scripts are full of ${NAMESPACE}."""
    folded = {candidate.casefold(): candidate for candidate in sorted(known - BUILTINS)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.85)
    return folded[close[0]] if close else ""
