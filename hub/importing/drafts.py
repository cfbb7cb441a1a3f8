"""Documents on their way: before it is known what they are called, and what those are called that they wait for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.documents import API_VERSION
from hub.importing.fields import Foreign
from hub.importing.names import distinct
from hub.importing.notes import Made, Note, Notes

Key = tuple[str, ...]
"""What a definition is known by among those of its tool."""

_ORDER = (
    "project", "source", "sources", "render", "namespace", "placement", "overrides", "sync", "health", "dependsOn",
    "rollout",
)  # fmt: skip


@dataclass(slots=True)
class Draft:
    """A document that has no name yet.

    `candidates` are names, shortest first. `key` is what others call it, `needs` are the keys of those it waits for.
    `release` is the Helm release its tool would have made: written down where the name does not say it. `helm` is True
    for what certainly is a chart, None where nobody can tell.
    """

    kind: str
    candidates: tuple[str, ...]
    spec: dict[str, Any]
    origin: Foreign
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    key: Key = ()
    needs: tuple[Key, ...] = ()
    release: str = ""
    helm: bool | None = False


def finished(drafts: Iterable[Draft], notes: Notes, aliases: Mapping[Key, tuple[Key, ...]] | None = None) -> list[Made]:
    """The drafts with names, and with the names of those they wait for.

    Args:
        drafts: of all tools, names are told apart among all of them.
        notes: gets what cannot be resolved.
        aliases: what several drafts stand for together; waiting for such a key is waiting for all of them.
    """
    drafts = list(drafts)
    names: dict[int, str] = {}
    for kind in dict.fromkeys(draft.kind for draft in drafts):
        chosen = [number for number, draft in enumerate(drafts) if draft.kind == kind]
        names.update(zip(chosen, distinct([drafts[number].candidates for number in chosen]), strict=True))
    known: dict[Key, str] = {draft.key: names[number] for number, draft in enumerate(drafts) if draft.key}
    made = []
    for number, draft in enumerate(drafts):
        needed = _needed(draft, names[number], known, aliases or {}, notes)
        if needed:
            draft.spec["dependsOn"] = needed
        made.append(_made(draft, names[number], notes))
    return made


def _needed(
    draft: Draft, name: str, known: Mapping[Key, str], aliases: Mapping[Key, tuple[Key, ...]], notes: Notes
) -> list[str]:
    needed: dict[str, None] = {}
    for key in draft.needs:
        expanded = aliases.get(key, (key,))
        for each in expanded:
            if each in known and known[each] != name:
                needed.setdefault(known[each])
        if not expanded or any(each in known for each in expanded):
            continue
        message = f"dependsOn: there is no {' '.join(part for part in key if part)} among what is imported"
        notes.add(Note("left", draft.origin.subject, message, draft.origin.place("spec.dependsOn")))
    return sorted(needed)


def _made(draft: Draft, name: str, notes: Notes) -> Made:
    spec = draft.spec
    if draft.release and draft.release != name:
        _keep_release(draft, notes)
    metadata: dict[str, Any] = {"name": name}
    if draft.labels:
        metadata["labels"] = dict(draft.labels)
    if draft.annotations:
        metadata["annotations"] = dict(draft.annotations)
    if draft.kind == "ApplicationSet":
        spec = {**spec, "template": {**spec["template"], "spec": ordered(spec["template"]["spec"])}}
    else:
        spec = ordered(spec)
    value = {"apiVersion": API_VERSION, "kind": draft.kind, "metadata": metadata, "spec": spec}
    return Made(value, draft.origin.place(), draft.origin.subject)


def _keep_release(draft: Draft, notes: Notes) -> None:
    """Objects of a chart are often called like the release: another release would be other objects."""
    if draft.helm:
        render = draft.spec.setdefault("render", {})
        helm = render.setdefault("helm", {})
        if not helm.get("release"):
            render["helm"] = {"release": draft.release, **helm}
    elif draft.helm is None:
        message = f"if its source is a chart, set render.helm.release: {draft.release}, as it was called so far"
        notes.add(Note("differs", draft.origin.subject, message, draft.origin.place("spec.source")))


def ordered(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an Application's spec in the order of the documentation."""
    return {key: spec[key] for key in dict.fromkeys((*_ORDER, *spec)) if key in spec}
