"""What has to be done to bring one unit in line: ordered steps of objects to apply, and what to prune.

Pure: desired objects, live objects and what was applied before come in as values; requests are the applier's.
An object that is as it should be is in no step, so that an unchanged bundle costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from agent.domain import applyset, claims, hints, hooks
from agent.domain.desired import Desired, Key, Refused
from agent.domain.hooks import Hook, Moment, Run, Stand
from agent.domain.order import Item
from agent.domain.stepping import Line, Step, backwards, line_up
from shared import deletion
from shared.messages import Policy
from shared.model import Manifest, ObjectRef, Value


class Plan(Value, frozen=True):
    """The work. `prune` is in groups, first group first; `waiting` objects have their turn when they are gone."""

    steps: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    """Hooks that run when everything is applied, healthy, and what left is gone."""
    at_failure: tuple[Step, ...] = ()
    """Hooks that run because the revision could not be applied."""
    hooks: tuple[Hook, ...] = ()
    """The hooks of this run, and how they stand."""
    prune: tuple[tuple[ObjectRef, ...], ...] = ()
    unchanged: tuple[Desired, ...] = ()
    """Without those that are calm."""
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
        steps = (*self.steps, *self.after, *self.at_failure)
        return sum(len(step.objects) for step in steps) + sum(map(len, self.prune))


class Known(Value, frozen=True):
    """What is known of the cluster. `live` has the members and whatever else exists under a desired name."""

    set_id: str
    live: Mapping[Key, Manifest]
    applied: Mapping[Key, str] = {}
    """Digest of what was last applied, by object."""
    held: frozenset[Key] = frozenset()
    """Objects whose drift is not to be corrected (now): left alone unless Git says something new about them."""
    run: Run = Run("", 0)
    """How far the revision's hooks are."""
    overdue: bool = False
    """The unit should be healthy by now."""
    granted: frozenset[Key] = frozenset()
    """Objects whose deletion a person has confirmed."""
    inherited: frozenset[str] = frozenset()
    """ApplySets of units whose place this one takes: their objects become its own."""
    neighbours: Mapping[str, str] = {}
    """The agent's units by the id of their ApplySet."""
    calm: frozenset[Key] = frozenset()
    """Objects that are as they should be, and healthy, without being in `live`: nothing was heard of them since they
    were looked at. None when the unit has hooks, or members that left the bundle, or objects that name each other."""


Same = Callable[[Desired, Manifest], bool]
"""Whether a live object holds everything that the desired one says, and nothing more of ours."""


def plan(desired: Sequence[Desired], known: Known, policy: Policy, same: Same, *, removed: bool = False) -> Plan:
    """The work that is left. `removed`: the application left the cluster, so that everything goes.

    Then `desired` holds the hooks for that at most.
    """
    astir = [each for each in desired if each.ref.key not in known.calm] if known.calm else desired
    main = [each for each in astir if not hints.is_hook(each.manifest)]
    others = [each for each in astir if hints.is_hook(each.manifest)]
    wanted = hooks.FAREWELL if removed else (*hooks.ON_THE_WAY, Moment.FAILED)
    found = hooks.at(others, wanted, known.run, known.live)
    verdicts = {each.ref.key: _verdict(each, known, policy, same) for each in main}
    to_make = {hook.each.ref.key for hook in found if hook.to_make}
    verdicts |= {each.ref.key: _hook_verdict(each, known, policy, due=each.ref.key in to_make) for each in others}
    line = _line_up(main, [hook for hook in found if hook.moment in hooks.ON_THE_WAY], known, verdicts)
    verdicts |= {key: ("refused", why) for key, why in line.errors.items()}
    reasons = {kind: _with(astir, verdicts, kind) for kind in ("refused", "waiting", "skipped")}
    apart = {moment: _apart(moment, found, known, verdicts) for moment in (Moment.FAILED, *hooks.FAREWELL)}
    leaving = leaving_members(desired, known)
    groups, blocked, kept = prunable(leaving, len(desired), known, policy, removed=removed)
    early = any(hook.moment is Moment.LEAVING and hook.stand is not Stand.DONE for hook in found)
    return Plan(
        steps=apart[Moment.LEAVING] if removed else line.steps,
        after=apart[Moment.LEFT] if removed else line.after,
        at_failure=apart[Moment.FAILED] if known.run.failed else (),
        hooks=tuple(hook for hook in found if hook.moment is not Moment.FAILED or known.run.failed),
        prune=() if early else groups,
        unchanged=tuple(each for each in main if verdicts[each.ref.key] == ("unchanged", "")),
        refused=reasons["refused"],
        waiting=reasons["waiting"],
        skipped=reasons["skipped"],
        blocked=blocked,
        kept=kept,
        leaving=tuple(ref_of_live(key, each) for key, each in leaving.items() if _is_leaving(each)),
    )


Verdicts = Mapping[Key, tuple[str, str]]


def _line_up(main: Sequence[Desired], found: Sequence[Hook], known: Known, verdicts: Verdicts) -> Line:
    return line_up(
        main,
        found,
        frozenset(key for key, (verdict, _) in verdicts.items() if verdict == "apply"),
        frozenset(key for key, (verdict, _) in verdicts.items() if verdict == "skipped"),
        known.run,
        unconditional=frozenset(each.ref.key for each in main if known.applied.get(each.ref.key) == each.digest),
        overdue=known.overdue,
    )


def _apart(moment: Moment, found: Iterable[Hook], known: Known, verdicts: Verdicts) -> tuple[Step, ...]:
    """The steps of a moment that is not on the way to the new revision."""
    own = [hook for hook in found if hook.moment is moment]
    return _line_up((), own, known, verdicts).steps if own else ()


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
    kept_ones = {key for key, each in members(known).items() if not hints.is_hook(each)}
    asked = kept_ones & leaving.keys() - known.granted
    counted = [key for key in asked if not deletion.kept(leaving[key], policy)]
    over = "" if removed else deletion.over_budget(len(counted), len(kept_ones), policy, empty=wanted == 0)
    blocked: list[Refused] = []
    kept: list[Refused] = []
    going: dict[Key, ObjectRef] = {}
    for key, manifest in standing.items():
        ref = ref_of_live(key, manifest)
        keep = deletion.kept(manifest, policy)
        why = (over if key in kept_ones else "") or deletion.protected(ref.group_kind)
        if key in known.granted:
            why = ""
        if keep:
            kept.append(Refused(ref, keep))
        elif why:
            blocked.append(Refused(ref, why))
        else:
            going[key] = ref
    groups = backwards(Item(ref, standing[key]) for key, ref in going.items())
    return tuple(tuple(going[key] for key in group) for group in groups), tuple(blocked), tuple(kept)


def ref_of_live(key: Key, manifest: Manifest) -> ObjectRef:
    """The reference of a live object."""
    return ObjectRef(str(manifest.get("apiVersion")), key[1], key[2], key[3])


def _is_leaving(manifest: Manifest) -> bool:
    return bool((manifest.get("metadata") or {}).get("deletionTimestamp"))


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
    ours = claims.is_ours(live, known.set_id)
    if not ours:
        stripped = applied is not None and not claims.other_owner(live, known.set_id)
        inherited = applyset.part_of(live) in known.inherited
        not_ours = (
            "" if stripped or inherited else claims.may_not_take(live, known.set_id, policy.adopt, known.neighbours)
        )
        if not_ours:
            return "refused", not_ours
    if hints.create_only(each.manifest):
        return "skipped", f"exists, and its annotation {hints.SSA} says IfNotPresent"
    if ours and applied in (None, each.digest) and same(each, live):
        return "unchanged", ""
    return "apply", ""


def _hook_verdict(each: Desired, known: Known, policy: Policy, *, due: bool) -> tuple[str, str]:
    """What becomes of a hook's object when its turn comes, and why."""
    never = hints.not_applied(each.manifest) or hooks.never(each.manifest)
    if never:
        return "skipped", never
    live = known.live.get(each.ref.key)
    if not due or live is None:
        return "apply", ""
    if _is_leaving(live):
        return "waiting", "is being deleted; it is created anew when it is gone"
    not_ours = claims.may_not_take(live, known.set_id, policy.adopt, known.neighbours)
    return ("refused", not_ours) if not_ours else ("apply", "")


def _with(desired: Iterable[Desired], verdicts: Mapping[Key, tuple[str, str]], kind: str) -> tuple[Refused, ...]:
    found = ((each.ref, verdicts[each.ref.key]) for each in desired)
    return tuple(Refused(ref, reason) for ref, (verdict, reason) in found if verdict == kind)
