"""Which clusters Rancher Fleet means: targets of a GitRepo, of a customization, partitions of a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.domain.selectors import parse_requirement
from hub.importing.fields import Fields, Foreign
from hub.importing.names import token
from hub.importing.notes import Notes
from hub.importing.selecting import Requirements, Target, requirements_of

DEFAULT_GROUP = "default"


@dataclass(slots=True)
class Groups:
    """ClusterGroups by name: what their clusters have in common, and their own labels."""

    requirements: dict[str, Requirements] = field(default_factory=dict)
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def environments(self) -> Mapping[str, Requirements]:
        """The same by the names that environments have."""
        return {token(name): requirements for name, requirements in self.requirements.items()}


def groups_of(definitions: tuple[Foreign, ...], notes: Notes) -> Groups:
    """All ClusterGroups."""
    made = Groups()
    for each in definitions:
        if each.kind == "ClusterGroup":
            spec = Fields(each.document.value.get("spec"), "spec", each, notes)
            made.requirements[each.name] = requirements_of(spec.map("selector"))
            made.labels[each.name] = each.labels()
            spec.finish()
    return made


def targets_of(entry: Fields, groups: Groups) -> list[Target]:
    """The ways an entry means a cluster; none when it means nobody."""
    name = entry.text("clusterName")
    selector = entry.map("clusterSelector") if "clusterSelector" in entry else None
    if name:
        entry.needless("clusterSelector", "clusterGroup", "clusterGroupSelector")
        return [Target(cluster=token(name))]
    requirements = requirements_of(selector) if selector is not None else ()
    group = entry.text("clusterGroup")
    if group or "clusterGroupSelector" in entry:
        wanted = _matching(entry.map("clusterGroupSelector"), groups) if "clusterGroupSelector" in entry else [group]
        return [made for each in wanted if (made := _of_group(entry, each, requirements, groups)) is not None]
    return [Target(requirements)] if selector is not None else []


def _of_group(entry: Fields, group: str, requirements: Requirements, groups: Groups) -> Target | None:
    if group in groups.requirements:
        return Target(requirements, environment=token(group))
    if group == DEFAULT_GROUP:
        return Target(requirements)
    entry.left(
        "clusterGroup",
        f"there is no ClusterGroup {group!r} among what is read: nobody is meant",
        "import it as well, or write an Environment of that name",
    )
    return None


def _matching(selector: Fields, groups: Groups) -> list[str]:
    requirements = requirements_of(selector)
    return [
        name
        for name, labels in groups.labels.items()
        if not any(parse_requirement(text).failure(labels) for text in requirements)
    ]
