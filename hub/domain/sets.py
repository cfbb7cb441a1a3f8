"""The applications that sets come to: the template of each, filled in for each of its items. Pure.

What cannot be made now stays as it was made before: all of a set whose items nobody can tell, those of a file that
cannot be read, those of an item whose application is wrong. Only an item that is gone takes its application with it.
From one model to the next only items that changed are filled in anew; everything else is the very same object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.documents import ApplicationSet
from hub.domain.filling import Complaint, shape_of
from hub.domain.items import Generated, Surroundings, basis, generate, text_of
from hub.domain.listing import Fields
from hub.domain.reading import FleetDocument
from hub.domain.templates import ALSO, Filled, Filler, Made, alike, key_of, template_of
from shared.model import Place, Problem

TEMPLATE = "spec.template"
SHOWN = 20
"""Different findings about the items of one set; what is wrong with the template is wrong with each item."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What one set comes to.

    `held` are those of its applications that stay as they were. `missing` are names of others that it should have, but
    never made; an `open` set may have any that its template allows. The rest is what the next one starts from.
    """

    document: FleetDocument
    made: Mapping[str, Made]
    held: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    open: bool = False
    problems: tuple[Problem, ...] = ()
    basis: tuple[Any, ...] = field(default=(), repr=False)
    filled: Mapping[bytes, Filled] = field(default_factory=dict, repr=False)

    def place(self, path: str) -> Place:
        """Where a field of its applications is written."""
        return self.document.place(f"{TEMPLATE}.{path}" if path else TEMPLATE)

    def may_have(self, name: str) -> bool:
        """Whether an application of this name, which it did not make, may be its own: it must not be taken for gone."""
        if name in self.missing:
            return True
        pattern = template_of(self.document)["metadata"].get("name")
        return self.open and isinstance(pattern, str) and shape_of(pattern).fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Sets:
    """All sets of a fleet, by name, and the applications that count, by theirs."""

    expansions: Mapping[str, Expansion] = field(default_factory=dict)
    made: Mapping[str, Made] = field(default_factory=dict)
    collisions: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong with sets by themselves and with each other."""
        own = (problem for expansion in self.expansions.values() for problem in expansion.problems)
        return (*own, *self.collisions)

    @property
    def held(self) -> frozenset[str]:
        """The applications that stay as they were, because they cannot be made now."""
        return frozenset(name for name, made in self.made.items() if name in self.expansions[made.set].held)


def expand_all(
    documents: Iterable[FleetDocument], written: Mapping[str, FleetDocument], around: Surroundings, before: Sets
) -> Sets:
    """What all sets come to; the very same as before when nothing differs.

    Args:
        documents: the sets.
        written: the applications that have documents of their own, by name: these count where a set makes such a one.
        around: what generators look at.
        before: what came of the sets before.
    """
    expansions = {
        document.name: expand(document, around, before.expansions.get(document.name)) for document in documents
    }
    made: dict[str, Made] = {}
    lost: dict[tuple[str, str], list[str]] = {}
    for name in sorted(expansions):
        for application, each in expansions[name].made.items():
            if application in written:
                lost.setdefault((name, ""), []).append(application)
                continue
            other = made.get(application)
            if other is None:
                made[application] = each
                continue
            kept = before.made.get(application)
            first, second = (each, other) if kept is not None and kept.set == name else (other, each)
            made[application] = first
            lost.setdefault((second.set, first.set), []).append(application)
    collisions = tuple(_collision(expansions[name], to, names, written) for (name, to), names in sorted(lost.items()))
    sets = Sets(expansions, made, collisions)
    return before if _same(sets, before) else sets


def moved(sets: Sets, before: Sets) -> set[str]:
    """The applications that came, went, became others, or are written in another place."""
    if sets is before:
        return set()
    names = sets.made.keys() | before.made.keys()
    found = {name for name in names if sets.made.get(name) is not before.made.get(name)}
    for name, expansion in sets.expansions.items():
        earlier = before.expansions.get(name)
        if earlier is not None and earlier.document is not expansion.document:
            found.update(expansion.made)
    return found


def _same(one: Sets, other: Sets) -> bool:
    """Whether nothing differs, places included: documents that are equal may be written elsewhere."""
    same = one.expansions.keys() == other.expansions.keys() and one.made == other.made
    same = same and one.collisions == other.collisions
    return same and all(expansion is other.expansions[name] for name, expansion in one.expansions.items())


def _collision(expansion: Expansion, other: str, names: list[str], written: Mapping[str, FleetDocument]) -> Problem:
    first = min(names)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    there = f"ApplicationSet {other!r} makes it too" if other else f"there is a document at {written[first].place()}"
    message = f"ApplicationSet {expansion.document.name!r} makes application {first!r}{more}: {there}, which counts"
    return Problem("error", message, expansion.place("metadata.name"), "choose other names for one of the two")


def expand(document: FleetDocument, around: Surroundings, before: Expansion | None = None) -> Expansion:
    """What one set comes to."""
    resource = document.resource
    if not isinstance(resource, ApplicationSet):
        return Expansion(document, {})
    found = basis(resource, around)
    if before is not None and before.document is document and before.basis == found:
        return before
    work = _Work(document, before)
    return dataclasses.replace(work.expansion(generate(document, around)), basis=found)


class _Work:
    """One set under way."""

    def __init__(self, document: FleetDocument, before: Expansion | None) -> None:
        self._document = document
        self._before = before.made if before is not None else {}
        self._known = before.filled if before is not None and alike(before.document, document) else {}
        self._filler = Filler(document, self._known)
        self._complaints: dict[Complaint, list[Fields]] = {}
        self._doubles: dict[str, tuple[Fields, Fields]] = {}
        self._made: dict[str, Made] = {}
        self._rejected: set[str] = set()

    def expansion(self, generated: Generated) -> Expansion:
        """The applications of these items, and those of before that stay."""
        if not generated.complete:
            return Expansion(
                document=self._document,
                made=self._before,
                held=frozenset(self._before),
                open=True,
                problems=generated.problems,
                filled=self._known,
            )
        filled: dict[bytes, Filled] = {}
        for item in generated.items:
            key = key_of(item)
            if key not in filled:
                filled[key] = self._filler.filled(item, key)
                self._add(filled[key], item)
        unnamed = "" in self._rejected
        held = {
            name: made
            for name, made in self._before.items()
            if name not in self._made
            and (unnamed or name in self._rejected or made.item.get("path") in generated.unreadable)
        }
        return Expansion(
            document=self._document,
            made={**self._made, **held},
            held=frozenset(held),
            missing=frozenset(self._rejected - self._made.keys() - held.keys() - {""}),
            open=unnamed or bool(generated.unreadable),
            problems=(*generated.problems, *self._problems()),
            filled=filled,
        )

    def _add(self, filled: Filled, item: Fields) -> None:
        for complaint in filled.complaints:
            self._complaints.setdefault(complaint, []).append(item)
        if filled.made is None:
            self._rejected.add(filled.name)
            return
        other = self._made.get(filled.name)
        if other is None:
            self._made[filled.name] = filled.made
            return
        kept = self._before.get(filled.name)
        first, second = (other, filled.made)
        if kept is not None and kept.item == filled.made.item:
            first, second = second, first
        self._made[filled.name] = first
        self._doubles.setdefault(filled.name, (first.item, second.item))

    def _problems(self) -> Iterator[Problem]:
        described = [complaint for complaint in self._complaints if complaint is not ALSO]
        for complaint in described[:SHOWN]:
            items = self._complaints[complaint]
            place = self._document.place(f"{TEMPLATE}.{complaint.field}" if complaint.field else TEMPLATE)
            yield Problem("error", f"{complaint.message}, for item {_some(items)}", place, complaint.hint)
        rest = {id(item): item for each in described[SHOWN:] for item in self._complaints[each]}
        others = [*rest.values(), *self._complaints.get(ALSO, ())]
        if others:
            message = f"nothing can be made of item {_some(others)} either"
            yield Problem("error", message, self._document.place(TEMPLATE), "mend the others first")
        if self._doubles:
            name, (first, second) = next(iter(self._doubles.items()))
            more = f"; and so for {len(self._doubles) - 1} other names" if len(self._doubles) > 1 else ""
            which = f"items {text_of(first)} and {text_of(second)}"
            message = f"{which} both make application {name!r}, the first counts{more}"
            place = self._document.place(f"{TEMPLATE}.metadata.name")
            yield Problem("error", message, place, "put what tells them apart into the name")


def _some(items: list[Fields]) -> str:
    more = f" and {len(items) - 1} more" if len(items) > 1 else ""
    return f"{text_of(items[0])}{more}"
