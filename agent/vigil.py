"""Watches the objects of one unit for drift: suspects, confirms with the server, remembers, and paces corrections.

Correcting itself is an ordinary pass over the plan; this says which objects are to be left alone in it: those that are
only to be reported, and those somebody keeps changing back, which are corrected ever more slowly.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import msgspec

from agent.domain import drift, hints
from agent.domain.desired import Desired, Key
from agent.domain.secrecy import scrubbed, shown
from agent.kube.client import Kube
from agent.kube.errors import ApiError, Unreachable
from agent.view import version
from shared.messages import Drift, FieldDrift, Policy
from shared.model import Manifest, ObjectRef
from shared.sealed import Path
from shared.tasks import Clock

log = logging.getLogger(__name__)

SHOWN_FOR = 600.0
"""Seconds for which corrected drift stays in the report."""
PATIENCE = 2
"""Corrections at once before somebody who changes things back is called a fight."""
SLOWEST = 300.0
QUIET = 600.0
"""Seconds without a correction after which a fight is over."""


class _Fight(msgspec.Struct):
    attempts: int = 0
    since: float = 0.0
    last: float = 0.0

    def again(self, now: float) -> None:
        self.attempts += 1
        self.since = self.since or now
        self.last = now


class Vigil:
    """Drift of one unit. Times are unix seconds, from the clock."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._found: dict[Key, Drift] = {}
        self._fights: dict[Key, _Fight] = {}
        self._clean: dict[Key, tuple[str, str]] = {}
        self._versions: dict[Key, tuple[str, str]] = {}
        self._modes: dict[Key, drift.Mode] = {}
        """Where it is not as the policy says."""

    def same(self, each: Desired, live: Manifest, policy: Policy) -> bool:
        """Whether a live object holds what is desired, as far as can be told without asking the server."""
        key, seen = each.ref.key, (each.digest, version(live))
        if drift.mode_of(each.manifest, policy.drift) == "ignore":
            return True
        if seen[1] and self._versions.get(key) == seen:
            return True
        wanted = drift.without_ignored(each.manifest, live, policy.ignore)
        if drift.owned_difference(wanted, live) and self._clean.get(key) != (each.digest, drift.substance(live)):
            return False
        self._versions[key] = seen
        return True

    async def examine(self, each: Desired, live: Manifest | None, policy: Policy) -> Drift | None:
        """Looks at an object that was applied before. Returns drift that is new or has changed, None for no news.

        Raises:
            Unreachable: the server could not be asked.
        """
        if self._mode(each, policy) == "ignore":
            self.over(each.ref.key)
            return None
        if live is None:
            return None if hints.vanishes(each.manifest) else self._record(each.ref, policy, (), deleted=True)
        if (live.get("metadata") or {}).get("deletionTimestamp") or hints.create_only(each.manifest):
            return None
        if self.same(each, live, policy):
            self.over(each.ref.key)
            return None
        fields = await self._confirm(each, live, policy)
        if fields is None:
            return None
        if not fields:
            self._clean[each.ref.key] = (each.digest, drift.substance(live))
            self.over(each.ref.key)
            return None
        return self._record(each.ref, policy, fields, deleted=False)

    def _mode(self, each: Desired, policy: Policy) -> drift.Mode:
        mode = drift.mode_of(each.manifest, policy.drift)
        self._modes.pop(each.ref.key, None)
        if mode != policy.drift:
            self._modes[each.ref.key] = mode
        return mode

    async def _confirm(self, each: Desired, live: Manifest, policy: Policy) -> tuple[FieldDrift, ...] | None:
        """The fields that applying would change; None when the object has changed meanwhile and will come again."""
        wanted = drift.without_ignored(each.manifest, live, policy.ignore)
        try:
            answer = await self._kube.apply(wanted, force=True, dry_run=True)
        except Unreachable:
            raise
        except ApiError as error:
            # An immutable field, or a webhook that refuses: it differs, or the server would not mind.
            reason = scrubbed(str(error), each.manifest, each.hidden)
            log.info("drift cannot be confirmed", extra={"object": str(each.ref), "error": reason})
            return tuple(_unconfirmed(wanted, live, each.hidden))
        if not drift.comparable(answer, live):
            return None
        return tuple(drift.confirmed(answer, live, policy.ignore, each.hidden))

    def _record(self, ref: ObjectRef, policy: Policy, fields: tuple[FieldDrift, ...], *, deleted: bool) -> Drift | None:
        before, now = self._found.get(ref.key), self._clock.now()
        standing = before is not None and before.corrected is None
        if before is not None and standing and (before.fields, before.deleted) == (fields, deleted):
            return None
        fight = self._fight(ref.key)
        self._found[ref.key] = Drift(
            ref=ref,
            since=before.since if before is not None and standing else now,
            mode="report" if self._modes.get(ref.key, policy.drift) == "report" else "correct",
            fields=fields,
            deleted=deleted,
            attempts=fight.attempts,
            fight=_fought_over(fields) if fight.attempts >= PATIENCE else "",
            suggestion=drift.suggested(ref, fields),
        )
        return self._found[ref.key]

    def over(self, key: Key) -> None:
        """The object is as it should be without our doing: somebody put it right."""
        found = self._found.get(key)
        if found is not None and found.corrected is None:
            del self._found[key]

    def applied(self, key: Key, live: Manifest, digest: str) -> Drift | None:
        """An object was applied. Returns its drift if that was corrected by it."""
        self._versions[key] = (digest, version(live))
        self._clean[key] = (digest, drift.substance(live))
        found = self._found.get(key)
        if found is None or found.corrected is not None:
            return None
        fight = self._fight(key)
        fight.again(self._clock.now())
        self._found[key] = msgspec.structs.replace(found, corrected=fight.last, attempts=fight.attempts)
        return self._found[key]

    def tried(self, keys: Iterable[Key]) -> None:
        """A correction was due, and these objects have drifted still."""
        for key in keys:
            self._fight(key).again(self._clock.now())

    def held(self, policy: Policy) -> frozenset[Key]:
        """Objects whose drift is not to be corrected now."""
        now = self._clock.now()
        ignored = {key for key, mode in self._modes.items() if mode == "ignore"}
        return frozenset(
            key
            for key, found in self._found.items()
            if found.corrected is None and (self._only_reported(key, policy) or self._due(key) > now)
        ).union(ignored)

    def _only_reported(self, key: Key, policy: Policy) -> bool:
        return self._modes.get(key, policy.drift) == "report"

    def next_due(self, policy: Policy) -> float | None:
        """When the next held correction may be made; None when there is none."""
        return min(
            (
                self._due(key)
                for key, found in self._found.items()
                if found.corrected is None and not self._only_reported(key, policy)
            ),
            default=None,
        )

    def fights(self) -> tuple[str, ...]:
        """Who keeps changing what back, how often it was corrected, when again, and what would end it."""
        return tuple(self._account_of(found) for key, found in self._found.items() if self._still_fought(key, found))

    def _still_fought(self, key: Key, found: Drift) -> bool:
        return bool(found.fight) and self._fight(key).attempts > 0

    def _account_of(self, found: Drift) -> str:
        fight = self._fight(found.ref.key)
        minutes = max(1, round((fight.last - fight.since) / 60))
        pause = self._due(found.ref.key) - fight.last
        return (
            f"{found.ref} {found.fight}: corrected {fight.attempts} times in {minutes} min, now every {pause:.0f} s"
            f"{_way_out(found)}"
        )

    def records(self) -> tuple[Drift, ...]:
        """What stands, and what was corrected lately; for the report."""
        limit = self._clock.now() - SHOWN_FOR
        self._found = {key: each for key, each in self._found.items() if (each.corrected or limit) >= limit}
        return tuple(sorted(self._found.values(), key=lambda each: (each.corrected or 0.0, each.ref.key)))

    def restrict(self, keys: set[Key]) -> None:
        """Forgets objects that are not in the bundle any more, and corrections made for an older one."""
        self._found = {key: each for key, each in self._found.items() if key in keys and each.corrected is None}
        self._modes.clear()
        for known in (self._fights, self._clean, self._versions):
            for key in [key for key in known if key not in keys]:
                del known[key]

    def standing(self) -> set[Key]:
        """Objects that have drifted and are not put right."""
        return {key for key, found in self._found.items() if found.corrected is None}

    def compare_anew(self) -> None:
        """Forgets verdicts: the rules have changed."""
        self._found = {key: each for key, each in self._found.items() if each.corrected is not None}
        self._clean.clear()
        self._versions.clear()

    def _fight(self, key: Key) -> _Fight:
        fight = self._fights.setdefault(key, _Fight())
        if fight.attempts and self._clock.now() - fight.last > QUIET:
            fight.attempts, fight.since = 0, 0.0
        return fight

    def _due(self, key: Key) -> float:
        fight = self._fight(key)
        if fight.attempts < PATIENCE:
            return 0.0
        return fight.last + min(SLOWEST, 2.0 ** (fight.attempts - PATIENCE + 1))


def _unconfirmed(wanted: Manifest, live: Manifest, hidden: Collection[Path]) -> list[FieldDrift]:
    told = (shown(each, live, hidden) for each in drift.owned_difference(wanted, live))
    return [FieldDrift(path=each.path, want=each.want, have=each.have) for each in told]


def described(found: Drift) -> str:
    """One line for the history: what differs, and who did it."""
    if found.deleted:
        return f"{found.ref} was deleted" + _fight_note(found)
    first = found.fields[0]
    by = f", changed by {first.manager}" if first.manager else ""
    more = f" (and {len(found.fields) - 1} more fields)" if len(found.fields) > 1 else ""
    return f"{found.ref}: {first.path} is {first.have!r}, should be {first.want!r}{by}{more}{_fight_note(found)}"


def _fight_note(found: Drift) -> str:
    return f"; {found.fight}{_way_out(found)}" if found.fight and found.corrected is None else ""


def _fought_over(fields: tuple[FieldDrift, ...]) -> str:
    if not fields:
        return "fights with somebody who deletes it"
    return f"fights with {fields[0].manager or 'somebody unknown'} over {fields[0].path}"


def _way_out(found: Drift) -> str:
    rule = found.suggestion
    if rule is None:
        return ""
    managers = f", managers: [{', '.join(rule.managers)}]" if rule.managers else ""
    what = f"{{kind: {rule.kind}, fields: [{', '.join(rule.fields)}]{managers}}}"
    return f"; to leave it to them, add to sync.ignore: {what}"
