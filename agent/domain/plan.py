"""What has to be done to bring one unit in line: ordered steps of objects to apply, and what to prune.

Pure: desired objects, live objects and what was applied before come in as values; requests are the applier's.
An object that is as it should be is in no step, so that an unchanged bundle costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from agent.domain import claims, hints, order
from agent.domain.desired import Desired, Key, Refused
from shared.messages import Policy
from shared.model import Manifest, ObjectRef, Value

PROTECTED = frozenset({"Namespace", "CustomResourceDefinition.apiextensions.k8s.io", "PersistentVolumeClaim"})
"""Kinds whose deletion takes other things, or data, with it."""

BUDGET_FLOOR = 5
"""A percentage does not hold back fewer deletions than this."""

CONFIRM = "needs `yardarm confirm`"


class Step(Value, frozen=True):
    """Objects that may be applied at the same time. The next step starts when all of `gate` is up."""

    objects: tuple[Desired, ...]
    gate: tuple[ObjectRef, ...] = ()
    """Definitions and namespaces that must be served, or a wave that must be healthy, first."""


class Plan(Value, frozen=True):
    """The work. `prune` is in groups, first group first; `waiting` objects have their turn when they are gone."""

    steps: tuple[Step, ...] = ()
    prune: tuple[tuple[ObjectRef, ...], ...] = ()
    unchanged: tuple[Desired, ...] = ()
    refused: tuple[Refused, ...] = ()
    waiting: tuple[Refused, ...] = ()
    skipped: tuple[Refused, ...] = ()
    blocked: tuple[Refused, ...] = ()
    """Deletions that wait for a person."""
    kept: tuple[Refused, ...] = ()
    """Members that left the bundle and stay, as their annotation or the policy asks."""
    leaving: tuple[ObjectRef, ...] = ()
    """Members that are being deleted already; the next group waits until they are gone."""

    @property
    def writes(self) -> int:
        """How many objects would be written or deleted."""
        return sum(len(step.objects) for step in self.steps) + sum(map(len, self.prune))


class Known(Value, frozen=True):
    """What is known of the cluster. `live` has the members and whatever else exists under a desired name."""

    set_id: str
    live: Mapping[Key, Manifest]
    applied: Mapping[Key, str] = {}
    """Digest of what was last applied, by object."""
    held: frozenset[Key] = frozenset()
    """Objects whose drift is not to be corrected (now): left alone unless Git says something new about them."""


Same = Callable[[Desired, Manifest], bool]
"""Whether a live object holds everything that the desired one says, and nothing more of ours."""


def plan(desired: Sequence[Desired], known: Known, policy: Policy, same: Same, *, removed: bool = False) -> Plan:
    """The work that is left. `removed`: the application left the cluster, so that everything goes."""
    verdicts = {each.ref.key: _verdict(each, known, policy, same) for each in desired}
    reasons = {kind: _with(desired, verdicts, kind) for kind in ("refused", "waiting", "skipped")}
    to_apply = [each for each in desired if verdicts[each.ref.key] == ("apply", "")]
    leaving = leaving_members(desired, known)
    groups, blocked, kept = prunable(leaving, len(desired), known, policy, removed=removed)
    return Plan(
        steps=steps(to_apply, desired),
        prune=groups,
        unchanged=tuple(each for each in desired if verdicts[each.ref.key] == ("unchanged", "")),
        refused=reasons["refused"],
        waiting=reasons["waiting"],
        skipped=reasons["skipped"],
        blocked=blocked,
        kept=kept,
        leaving=tuple(ref_of_live(key, each) for key, each in leaving.items() if _is_leaving(each)),
    )


def steps(to_apply: Iterable[Desired], desired: Iterable[Desired]) -> tuple[Step, ...]:
    """`to_apply` in order. `desired` is the whole unit: a wave counts with all its objects, changed or not."""
    changed = {each.ref.key for each in to_apply}
    ordered = sorted(desired, key=lambda each: (order.position(each.ref, each.manifest), each.ref.key))
    groups = [(at, list(same)) for at, same in groupby(ordered, lambda each: order.position(each.ref, each.manifest))]
    found: list[Step] = []
    wave: list[ObjectRef] = []
    for index, (at, members) in enumerate(groups):
        wave += [each.ref for each in members if not hints.not_applied(each.manifest)]
        following = groups[index + 1][0] if index + 1 < len(groups) else None
        gate: list[ObjectRef] = []
        if at[0] <= order.Rank.DEFINITION or (following is not None and following[:3] != at[:3]):
            gate, wave = wave, []
        found.append(Step(tuple(each for each in members if each.ref.key in changed), tuple(gate)))
    while found and not found[-1].objects:
        found.pop()
    return tuple(step for step in found if step.objects or step.gate)


def members(known: Known) -> dict[Key, Manifest]:
    """What is in the inventory. Controllers copy labels (Service to EndpointSlice): what they made is not ours."""
    return {
        key: manifest
        for key, manifest in known.live.items()
        if claims.is_ours(manifest, known.set_id) and not claims.controlled_by(manifest)
    }


def leaving_members(desired: Iterable[Desired], known: Known) -> dict[Key, Manifest]:
    """Members that are not in the bundle (any more), in a stable order."""
    wanted = {each.ref.key for each in desired}
    return {key: manifest for key, manifest in sorted(members(known).items()) if key not in wanted}


def prunable(
    leaving: Mapping[Key, Manifest], wanted: int, known: Known, policy: Policy, *, removed: bool
) -> tuple[tuple[tuple[ObjectRef, ...], ...], tuple[Refused, ...], tuple[Refused, ...]]:
    """(groups to delete one after the other, deletions held back, members that are kept)."""
    standing = {key: manifest for key, manifest in leaving.items() if not _is_leaving(manifest)}
    over = "" if removed else over_budget(len(leaving), len(members(known)), policy, empty=wanted == 0)
    blocked: list[Refused] = []
    kept: list[Refused] = []
    groups: dict[order.Position, list[ObjectRef]] = {}
    for key, manifest in standing.items():
        ref = ref_of_live(key, manifest)
        keep = hints.keep(manifest) or ("" if policy.prune else "sync.prune is false")
        why = over or (f"deleting a {ref.kind} {CONFIRM}" if ref.group_kind in PROTECTED else "")
        if keep:
            kept.append(Refused(ref, keep))
        elif why:
            blocked.append(Refused(ref, why))
        else:
            groups.setdefault(order.position(ref, manifest), []).append(ref)
    return tuple(tuple(groups[at]) for at in sorted(groups, reverse=True)), tuple(blocked), tuple(kept)


def ref_of_live(key: Key, manifest: Manifest) -> ObjectRef:
    """The reference of a live object."""
    return ObjectRef(str(manifest.get("apiVersion")), key[1], key[2], key[3])


def _is_leaving(manifest: Manifest) -> bool:
    return bool((manifest.get("metadata") or {}).get("deletionTimestamp"))


def over_budget(leaving: int, members: int, policy: Policy, *, empty: bool) -> str:
    """Why this many deletions wait for a person; empty when they may go ahead. `empty`: the bundle holds nothing."""
    if leaving == 0:
        return ""
    if empty:
        return f"the bundle is empty, {leaving} objects would be deleted: {CONFIRM}"
    text = policy.deletion.budget.strip()
    percent = text.endswith("%")
    allowed = float(text.rstrip("%")) * (members / 100 if percent else 1)
    if leaving <= allowed or (percent and leaving < BUDGET_FLOOR):
        return ""
    return f"{leaving} of {members} objects would be deleted, the budget is {text}: {CONFIRM}"


def _verdict(each: Desired, known: Known, policy: Policy, same: Same) -> tuple[str, str]:
    """(what becomes of the object, why)."""
    not_applied = hints.not_applied(each.manifest)
    if not_applied:
        return "skipped", not_applied
    live, applied = known.live.get(each.ref.key), known.applied.get(each.ref.key)
    if each.ref.key in known.held and applied == each.digest:
        return "unchanged", ""
    if live is None:
        return ("unchanged", "") if applied == each.digest and hints.vanishes(each.manifest) else ("apply", "")
    if _is_leaving(live):
        return "waiting", "is being deleted; it is created anew when it is gone"
    # What we applied is ours even when somebody took our label off.
    stripped = applied is not None and not claims.other_owner(live, known.set_id)
    not_ours = "" if stripped else claims.may_not_take(live, known.set_id, policy.adopt)
    if not_ours:
        return "refused", not_ours
    if hints.create_only(each.manifest):
        return "skipped", f"exists, and its annotation {hints.SSA} says IfNotPresent"
    if claims.is_ours(live, known.set_id) and applied in (None, each.digest) and same(each, live):
        return "unchanged", ""
    return "apply", ""


def _with(desired: Iterable[Desired], verdicts: Mapping[Key, tuple[str, str]], kind: str) -> tuple[Refused, ...]:
    found = ((each.ref, verdicts[each.ref.key]) for each in desired)
    return tuple(Refused(ref, reason) for ref, (verdict, reason) in found if verdict == kind)
