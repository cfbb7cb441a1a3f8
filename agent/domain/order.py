"""In which order objects are applied, and what each has to wait for; deletion goes the other way round.

An object waits only for what it needs: its namespace, the definition of its kind, the backend it sends requests to,
what it names in `config.kubernetes.io/depends-on`, and all of the waves and hook phases before its own. Beyond that
the rank of its kind decides when it is sent, and nothing waits. Pure: whether something is up is for others to say.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from agent.domain import hints
from agent.domain.desired import Key
from shared.manifests import CLUSTER_SCOPED
from shared.model import Manifest, ObjectRef, Value


class Rank(enum.IntEnum):
    """The classes of objects, in order of application."""

    NAMESPACE = 0
    DEFINITION = 1
    CLUSTER = 2
    """Cluster-wide things others refer to: classes, priorities, policies."""
    CONFIG = 3
    """What workloads read or are allowed by: accounts, roles, configuration, secrets, claims, services."""
    WORKLOAD = 4
    REST = 5
    """What refers to workloads, and custom resources."""
    GATE = 6
    """What sits in the way of requests: it must not come before the backend that answers for it."""


_BY_KIND = {
    "Namespace": Rank.NAMESPACE,
    "CustomResourceDefinition.apiextensions.k8s.io": Rank.DEFINITION,
    "MutatingWebhookConfiguration.admissionregistration.k8s.io": Rank.GATE,
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io": Rank.GATE,
    "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io": Rank.GATE,
    "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io": Rank.GATE,
    "APIService.apiregistration.k8s.io": Rank.GATE,
    "ClusterIssuer.cert-manager.io": Rank.REST,
    **dict.fromkeys(
        (
            "ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim", "PersistentVolume", "LimitRange",
            "ResourceQuota", "Service", "NetworkPolicy.networking.k8s.io", "Role.rbac.authorization.k8s.io",
            "RoleBinding.rbac.authorization.k8s.io", "ClusterRole.rbac.authorization.k8s.io",
            "ClusterRoleBinding.rbac.authorization.k8s.io",
        ),
        Rank.CONFIG,
    ),
    **dict.fromkeys(
        (
            "Pod", "ReplicationController", "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps",
            "ReplicaSet.apps", "Job.batch", "CronJob.batch",
        ),
        Rank.WORKLOAD,
    ),
}  # fmt: skip

_BACKEND = "its backend"
_NAMESPACE = "Namespace"
_DEFINITION = "CustomResourceDefinition.apiextensions.k8s.io"
_API_SERVICE = "APIService.apiregistration.k8s.io"


def rank(ref: ObjectRef) -> Rank:
    """The class of an object."""
    known = _BY_KIND.get(ref.group_kind)
    if known is not None:
        return known
    return Rank.CLUSTER if ref.group_kind in CLUSTER_SCOPED else Rank.REST


class Item(Value, frozen=True):
    """An object to be put in order. `stage` is -1 and 1 for hooks before and after everything else."""

    ref: ObjectRef
    manifest: Manifest
    stage: int = 0
    hook: bool = False

    @property
    def spot(self) -> Spot:
        """Names it: a hook may have its turn more than once."""
        return (self.stage, self.ref.key)

    @property
    def turn(self) -> tuple[int, int]:
        """(stage, wave): everything of earlier turns comes first, and has to be up."""
        return (self.stage, hints.wave(self.manifest))


Spot = tuple[int, Key]


class Need(enum.Enum):
    """Why an object waits for others."""

    EXISTENCE = "existence"
    """It cannot be there without them: its namespace, the definition of its kind."""
    BACKEND = "backend"
    TURN = "turn"
    """A wave or phase before its own."""
    ASKED = "asked"


class Gate(Value, frozen=True):
    """Objects that must be up first. `why` says what they are to the one that waits."""

    refs: tuple[ObjectRef, ...]
    need: Need
    why: str
    stage: int = 0
    """Of the objects, for hooks that have their turn more than once."""


class Order(Value, frozen=True):
    """Groups of spots, first group first; what each waits for; and what cannot be put in order, with the reason."""

    groups: tuple[tuple[Spot, ...], ...]
    gates: Mapping[Spot, tuple[Gate, ...]]
    errors: Mapping[Spot, str]


def arrange(found: Iterable[Item], absent: frozenset[Key] = frozenset()) -> Order:
    """Puts objects in order. Those in `absent` are not applied by us: nothing waits for them."""
    items = {item.spot: item for item in sorted(found, key=lambda item: item.spot)}
    errors: dict[Spot, str] = {}
    asked = _asked(items, absent, errors)
    implied = _implied(items)
    edges = {spot: {*asked.get(spot, ()), *(s for s, _ in implied.get(spot, ()))} for spot in items}
    # What is implied has no circles: each is made by an annotation.
    for circle in _circles(edges) if asked else ():
        for spot in circle & asked.keys():
            if circle & set(asked[spot]):
                errors[spot] = _told(circle, items)
    levels = _levels(edges, items)
    turns = _turn_gates(items.values(), absent)
    gates = {
        spot: (
            *(gate for turn, gate in turns if turn < item.turn and not _comes_first(item)),
            *_own_gates(items, implied.get(spot, ()), absent),
            *_asked_gates(items, asked.get(spot, ()), absent),
        )
        for spot, item in items.items()
        if spot not in errors
    }
    places = {spot: _place(item, levels[spot]) for spot, item in items.items() if spot not in errors}
    ordered = sorted(places, key=lambda spot: (places[spot], spot))
    groups = tuple(tuple(same) for _, same in groupby(ordered, lambda spot: places[spot]))
    return Order(groups, {spot: found for spot, found in gates.items() if found}, errors)


def _place(item: Item, level: int) -> tuple[int, int, int, int, int]:
    own = rank(item.ref)
    band = own if _comes_first(item) else Rank.CLUSTER
    stage, wave = item.turn
    return (band, stage, wave, level, own)


def _turn_gates(items: Iterable[Item], absent: frozenset[Key]) -> list[tuple[tuple[int, int], Gate]]:
    by_turn: dict[tuple[int, int], list[ObjectRef]] = {}
    for item in items:
        if item.ref.key not in absent:
            by_turn.setdefault(item.turn, []).append(item.ref)
    return [(turn, Gate(tuple(refs), Need.TURN, _turn_name(turn), turn[0])) for turn, refs in sorted(by_turn.items())]


def _turn_name(turn: tuple[int, int]) -> str:
    stage, wave = turn
    phase = {-1: "a hook that runs before", 1: "a hook that runs after"}.get(stage, "")
    return phase or f"which is in wave {wave}, before its own"


# --- what an object needs ---------------------------------------------------------------------------------------------


def _implied(items: Mapping[Spot, Item]) -> dict[Spot, list[tuple[Spot, str]]]:
    """By object: what it cannot exist or work without, and what that is to it."""
    namespaces: dict[str, Spot] = {}
    definitions: dict[str, Spot] = {}
    for spot, item in items.items():
        if item.ref.group_kind == _NAMESPACE:
            namespaces.setdefault(item.ref.name, spot)
        elif item.ref.group_kind == _DEFINITION:
            spec = _map(item.manifest.get("spec"))
            kind = f"{_map(spec.get('names')).get('kind')}.{spec.get('group')}"
            definitions.setdefault(kind, spot)
    found: dict[Spot, list[tuple[Spot, str]]] = {}
    for spot, item in items.items():
        needs = []
        if item.ref.namespace in namespaces:
            needs.append((namespaces[item.ref.namespace], "its namespace"))
        if item.ref.group_kind in definitions:
            needs.append((definitions[item.ref.group_kind], "the definition of its kind"))
        if rank(item.ref) is Rank.GATE:
            needs += [(each, _BACKEND) for each in _backends(item, items)]
        needs = [each for each in needs if _comes_first(items[each[0]]) or items[each[0]].turn <= item.turn]
        if needs:
            found[spot] = needs
    return found


def _comes_first(item: Item) -> bool:
    """Namespaces and definitions come first whatever their wave, because nothing else can exist without them.

    Unless they say what they come after.
    """
    return rank(item.ref) <= Rank.DEFINITION and not item.hook and not hints.depends_on(item.manifest)


def _backends(item: Item, items: Mapping[Spot, Item]) -> Iterator[Spot]:
    """The Services that answer for a webhook or API service, and the workloads behind them, as far as they are here."""
    spec = _map(item.manifest.get("spec"))
    if item.ref.group_kind == _API_SERVICE:
        named = [_map(spec.get("service"))]
    else:
        webhooks = item.manifest.get("webhooks")
        each = [_map(one) for one in webhooks] if isinstance(webhooks, list) else []
        # One that may fail is in nobody's way.
        each = [one for one in each if one.get("failurePolicy", "Fail") != "Ignore"]
        named = [_map(_map(one.get("clientConfig")).get("service")) for one in each]
    wanted = {(str(one.get("namespace")), str(one.get("name"))) for one in named if one}
    for spot, service in items.items():
        if service.ref.group_kind != "Service" or (service.ref.namespace, service.ref.name) not in wanted:
            continue
        yield spot
        selector = _map(_map(service.manifest.get("spec")).get("selector"))
        for other, workload in items.items():
            if (
                selector
                and workload.ref.namespace == service.ref.namespace
                and selector.items() <= _labels(workload).items()
            ):
                yield other


def _labels(item: Item) -> dict[str, object]:
    """The labels of the pods of a workload."""
    template = _map(_map(item.manifest.get("spec")).get("template"))
    metadata = _map((item.manifest if item.ref.group_kind == "Pod" else template).get("metadata"))
    return _map(metadata.get("labels"))


def _own_gates(items: Mapping[Spot, Item], needs: Iterable[tuple[Spot, str]], absent: frozenset[Key]) -> Iterator[Gate]:
    by_why: dict[str, list[ObjectRef]] = {}
    for spot, why in needs:
        if items[spot].ref.key not in absent:
            by_why.setdefault(why, []).append(items[spot].ref)
    for why, refs in by_why.items():
        yield Gate(tuple(dict.fromkeys(refs)), Need.BACKEND if why == _BACKEND else Need.EXISTENCE, why)


# --- depends-on -------------------------------------------------------------------------------------------------------


def parse_target(text: str) -> Key | None:
    """The object that one part of a depends-on annotation names; None when it is of no known form.

    `group/namespaces/namespace/Kind/name`, or `group/Kind/name` without a namespace; the core group is empty.
    """
    parts = text.split("/")
    if len(parts) == 5 and parts[1] == "namespaces" and all(parts[2:]):
        return (parts[0], parts[3], parts[2], parts[4])
    if len(parts) == 3 and all(parts[1:]):
        return (parts[0], parts[1], "", parts[2])
    return None


def _asked(items: Mapping[Spot, Item], absent: frozenset[Key], errors: dict[Spot, str]) -> dict[Spot, list[Spot]]:
    """By object: what its annotation names. What is wrong with it goes to `errors`."""
    by_key: dict[Key, list[Spot]] = {}
    for spot, item in items.items():
        by_key.setdefault(item.ref.key, []).append(spot)
    found: dict[Spot, list[Spot]] = {}
    for spot, item in items.items():
        for text in hints.depends_on(item.manifest):
            key = parse_target(text)
            targets = by_key.get(key, []) if key is not None else []
            wrong = _wrong_target(item, text, key, [items[each] for each in targets])
            if key in absent and not targets:
                continue
            if wrong:
                errors[spot] = f"its annotation {hints.DEPENDS_ON} {wrong}"
                break
            found.setdefault(spot, []).extend(each for each in targets if not _is_later(items[each], item))
    return found


def _wrong_target(item: Item, text: str, key: Key | None, targets: Sequence[Item]) -> str:
    if key is None:
        return (
            f"says {text!r}, which is not understood: write group/namespaces/NAMESPACE/Kind/name, or group/Kind/name "
            "for an object without a namespace (nothing before the first slash for the core group)"
        )
    if not targets:
        return (
            f"names {text}, which is not in this application: correct it, or let the application wait for another "
            "with dependsOn"
        )
    if item.ref.key == key:
        return "names the object itself: remove it"
    later = [target for target in targets if _is_later(target, item)]
    if len(later) == len(targets):
        return (
            f"names {text}, which is in a later wave ({later[0].turn[1]}, its own is {item.turn[1]}): "
            "change one of the waves"
        )
    return ""


def _is_later(target: Item, item: Item) -> bool:
    return target.turn > item.turn and not _comes_first(target)


def _asked_gates(items: Mapping[Spot, Item], targets: Sequence[Spot], absent: frozenset[Key]) -> Iterator[Gate]:
    refs = tuple(dict.fromkeys(items[spot].ref for spot in targets if items[spot].ref.key not in absent))
    if refs:
        stage = max(spot[0] for spot in targets)
        yield Gate(refs, Need.ASKED, f"as its annotation {hints.DEPENDS_ON} says", stage)


def _told(circle: set[Spot], items: Mapping[Spot, Item]) -> str:
    named = [str(items[spot].ref) for spot in sorted(circle)]
    shown = ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
    return f"{shown} wait for each other: remove one of the annotations {hints.DEPENDS_ON}"


def _levels(edges: Mapping[Spot, set[Spot]], items: Mapping[Spot, Item]) -> dict[Spot, int]:
    """How many steps of its own turn an object has to come after; ranks order the rest."""
    if not any(edges.values()):
        return dict.fromkeys(items, 0)
    levels: dict[Spot, int] = {}
    for spot in _inside_out(edges):
        item = items[spot]
        before = [each for each in edges[spot] if each in levels and items[each].turn == item.turn]
        before = [each for each in before if not _comes_first(items[each])]
        levels[spot] = max((levels[each] + 1 for each in before), default=0)
    return levels


def _circles(edges: Mapping[Spot, set[Spot]]) -> list[set[Spot]]:
    """Sets of objects that wait for each other (strongly connected components of more than one)."""
    finished = list(_inside_out(edges))
    backwards: dict[Spot, list[Spot]] = {}
    for spot, targets in edges.items():
        for target in targets:
            backwards.setdefault(target, []).append(spot)
    seen: set[Spot] = set()
    circles = []
    for root in reversed(finished):
        if root in seen:
            continue
        circle, open_ends = set(), [root]
        seen.add(root)
        while open_ends:
            spot = open_ends.pop()
            circle.add(spot)
            fresh = [each for each in backwards.get(spot, ()) if each not in seen]
            seen.update(fresh)
            open_ends += fresh
        if len(circle) > 1:
            circles.append(circle)
    return circles


def _inside_out(edges: Mapping[Spot, set[Spot]]) -> Iterator[Spot]:
    """Every object after those it needs, as far as there are no circles. Not recursive: chains may be long."""
    entered: set[Spot] = set()
    for root in edges:
        if root in entered:
            continue
        entered.add(root)
        stack = [(root, iter(sorted(edges[root])))]
        while stack:
            spot, rest = stack[-1]
            following = next((each for each in rest if each not in entered), None)
            if following is None:
                stack.pop()
                yield spot
            else:
                entered.add(following)
                stack.append((following, iter(sorted(edges[following]))))


def _map(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
