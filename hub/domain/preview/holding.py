"""What of a change would wait for a person's word, by the rules that hub and agents go by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import orjson

from hub.domain import budget
from hub.domain.preview.model import Held
from hub.domain.preview.objects import Change, Objects
from hub.domain.preview.states import About, State, origin
from shared import deletion
from shared.manifests import HOOK_ANNOTATIONS, notes
from shared.model import Manifest


def noted(changes: Iterable[Change], about: About, *, leaving: bool) -> Iterator[Change]:
    """The changes, with what is to be said of removals: that the object stays, or waits.

    `leaving`: the application leaves the cluster, so that everything goes.
    """
    orphaned = "it stays: the application leaves its objects" if leaving and _orphans(about) else ""
    for change in changes:
        if change.action != "removed" or change.manifest is None:
            yield change
            continue
        stays = deletion.kept(change.manifest, about.policy)
        waits = deletion.protected(change.ref.group_kind)
        note = orphaned or (f"it stays: {stays}" if stays else waits)
        yield replace(change, note=note)


def reasons(before: Objects, after: Objects, changes: Iterable[Change], about: About, *, leaving: bool) -> list[str]:
    """Why removals among the changes of one application on one cluster would wait; nothing when none would."""
    if leaving and _orphans(about):
        return []
    policy = about.policy
    removed = [
        each
        for each in changes
        if each.action == "removed" and each.manifest is not None and not deletion.kept(each.manifest, policy)
    ]
    found = [f"{each.ref}: {why}" for each in removed if (why := deletion.protected(each.ref.group_kind))]
    counted = [each for each in removed if not _hook(each.manifest)]
    if counted and not leaving:
        members = sum(not _hook(orjson.loads(line)) for _, line in before.values())
        over = deletion.over_budget(len(counted), members, policy, empty=not after)
        found += [over] if over else []
    return found


def of_fleet(before: State, after: State) -> Iterator[Held]:
    """Applications that leave the fleet, or most of their clusters, all at once."""
    had = {name for name, clusters in before.units.items() if clusters}
    gone = had - after.applications.keys() - set(after.renamed.values())
    pending = budget.applications(gone, had - gone, 0.0)
    if pending is not None:
        yield Held(pending.reason)
    for name, about in sorted(after.applications.items()):
        clusters = before.units.get(origin(name, after), {})
        leaving = clusters.keys() - after.units.get(name, {}).keys()
        waiting = budget.clusters(name, leaving, len(clusters), about.policy.deletion.budget, 0.0)
        if waiting is not None:
            yield Held(waiting.reason, name, waiting.items)


def _orphans(about: About) -> bool:
    return "orphan" in (about.on_leave, about.policy.deletion.on_delete)


def _hook(manifest: Manifest | None) -> bool:
    return manifest is not None and any(map(notes(manifest).get, HOOK_ANNOTATIONS))


def together(held: Collection[Held]) -> tuple[Held, ...]:
    """Equal reasons as one, with all their clusters, in order."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in held:
        found.setdefault((each.application, each.reason), set()).update(each.clusters)
    return tuple(
        Held(reason, application, tuple(sorted(clusters))) for (application, reason), clusters in sorted(found.items())
    )
