"""What the stream says of a change: its name and the present state of the thing, as far as the caller may see it."""

from __future__ import annotations

from hub.view import read
from hub.view.core import View
from hub.view.history import Delta
from hub.view.items import Item, application_item, event_item, unit_item
from hub.view.progress import rollout_item
from hub.view.visible import Visible

RELOAD = ("reload", Item())
"""For who sees only a part: something is gone, and what it was cannot be told any more."""

Change = tuple[str, Item]


def changed(view: View, delta: Delta, seen: Visible | None = None) -> Change | None:
    """What there is to say; None when there is nothing, or nothing for this caller."""
    seen = seen or Visible(view)
    match delta.kind:
        case "unit":
            return _unit(view, (delta.key[0], delta.key[1], delta.key[2]), seen)
        case "cluster":
            found = read.cluster(view, delta.key[0], seen)
            if found is not None:
                return "cluster", found
            return _gone(seen, delta.key[0] in view.clusters, "cluster-removed", {"name": delta.key[0]})
        case "application":
            info = view.applications.get(delta.key[0])
            if info is not None:
                return ("application", application_item(info, seen)) if seen.application(info.name) else None
            return _gone(seen, False, "application-removed", {"name": delta.key[0]})
        case "rollout":
            return _rollout(view, delta.key[0], delta.key[1], seen)
        case "event":
            event = view.events.get(delta.key[0])
            return ("event", event_item(event)) if event is not None and seen.event(event) else None
        case _:
            return "fleet", {"environments": read.environments(view, seen)}


def _unit(view: View, key: tuple[str, str, str], seen: Visible) -> Change | None:
    record = view.index.units.get(key)
    if record is not None:
        return ("unit", unit_item(record)) if seen.unit(key) else None
    name = dict(zip(("cluster", "namespace", "application"), key, strict=True))
    if seen.unit(key):
        return "unit-removed", name
    return _gone(seen, key[0] in view.clusters and key[2] in view.applications, "unit-removed", name)


def _rollout(view: View, application: str, identity: str, seen: Visible) -> Change | None:
    rollout = view.rollouts.get(identity)
    if rollout is not None:
        return ("rollout", rollout_item(view, rollout, seen)) if seen.rollout(rollout) else None
    name = {"application": application, "id": identity}
    if seen.application(application):
        return "rollout-removed", name
    return _gone(seen, application in view.applications, "rollout-removed", name)


def _gone(seen: Visible, known: bool, message: str, name: Item) -> Change | None:  # noqa: FBT001
    """`known` says that enough is left to know that the caller may not see it."""
    if seen.everything:
        return message, name
    return None if known else RELOAD
