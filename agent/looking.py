"""The look at the cluster that every pass begins with: what is desired here, and what is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from agent.domain import applyset, claims, hints, hooks, resting
from agent.domain.desired import Desired, Key, Refused, prepare
from agent.domain.plan import Known
from agent.domain.reach import allowed, within
from agent.domain.secrecy import Unreadable
from agent.examiner import Examiner
from agent.hookrun import HookRun
from agent.inbox import Delivery
from agent.kube.errors import ApiError, Forbidden, Unreachable
from agent.survey import Survey
from agent.tools import Tools
from agent.view import View
from shared.model import Manifest, ObjectRef, UnitKey

NONE: frozenset[Key] = frozenset()


class Look:
    """Of one assignment; what it found stays readable between passes."""

    def __init__(
        self,
        tools: Tools,
        delivery: Delivery,
        applied: dict[Key, str],
        hookrun: HookRun,
        view: View,
        survey: Survey,
        examiner: Examiner,
    ) -> None:
        """`applied` is shared with who applies."""
        self._tools = tools
        self._delivery = delivery
        self._unit = delivery.assignment.unit
        self._policy = delivery.assignment.policy
        self._applied = applied
        self._hooks = hookrun
        self._view = view
        self._survey = survey
        self._examiner = examiner
        self.set_id = tools.inventory.set_id(self._unit)
        self.inherited = frozenset(map(self._set_id_of, delivery.assignment.succeeds))
        """ApplySets of units whose place this one takes."""
        self.suspects: set[Key] = set()
        """Objects that something was heard of since they were looked at."""
        self.examined: set[Key] = set()
        """Suspects that are being looked at, or were when a pass was cut short."""
        self.desired: dict[Key, Desired] = {}
        """What is to be kept on the cluster, without hooks."""
        self.refused: list[Refused] = []
        self.all_served = False
        """Whether the cluster serves every kind that is desired."""
        self.released = NONE
        """Objects that a unit has taken over which takes the place of this one."""
        self._prepared = False
        self._made: dict[bytes, Desired] = {}
        """By the line of the bundle that it was made of."""
        self._rested: Mapping[Key, Desired] = {}

    def take_over(self, before: Look, rested: Mapping[Key, Desired]) -> None:
        """Goes on from an older assignment of the same policy.

        `rested` are objects that need not be looked at if they are in this one as well; see `resting`.
        """
        self._made = before._made
        self._rested = rested

    def _set_id_of(self, unit: str) -> str:
        namespace, _, application = unit.partition("/")
        return self._tools.inventory.set_id(UnitKey(self._unit.cluster, namespace, application))

    async def around(self, granted: frozenset[Key]) -> Known:
        """What is known of the cluster. Drift that it shows is with the examiner then.

        Raises:
            ApiError: the cluster does not answer.
            InvalidMessage: the hooks of an application that leaves cannot be read.
        """
        scope = await self._tools.inventory.scope(self._unit)
        if self._applied and not await self._tools.inventory.exists(self._unit):
            # A cluster made anew under its old name: what we know of the old one is no drift here.
            self._applied.clear()
        farewell = await self._farewell()
        if not self._prepared or not self.all_served:
            await self._prepare(farewell)
        run = [each for each in self._hooks.wanted.values() if not hooks.never(each.manifest)]
        kept = [each for each in (*self.desired.values(), *run) if not hints.not_applied(each.manifest)]
        self.all_served = await self._survey.watch(kept, scope.kinds)
        live = self._strangers()
        calm = self._calm(others=bool(live or self._tools.heirs(self._unit)))
        # What is heard from here on is news.
        self.suspects.clear()
        self.examined.clear()
        kept = [each for each in kept if each.ref.key not in calm]
        live |= await self._standing(kept)
        self.released = self._inherited_by_others(live)
        kept = [each for each in kept if each.ref.key not in self.released]
        before = self._examiner.applied_before(kept, live, self._applied, self._hooks.wanted.keys())
        await self._examiner.examine(before, live)
        there = bool(calm) or any(
            claims.is_ours(each, self.set_id) and not hints.is_hook(each) for each in live.values()
        )
        return Known(
            self.set_id,
            live,
            dict(self._applied),
            self._examiner.held(),
            await self._hooks.begin(anything_there=there),
            overdue=self._tools.clock.now() > self._delivery.received + self._policy.timeout,
            granted=granted,
            inherited=self.inherited,
            neighbours=self._tools.inventory.units,
            calm=calm,
        )

    async def _farewell(self) -> list[Manifest]:
        """The hooks of an application that leaves; of one that stays, they are put where a restart finds them."""
        try:
            found = await self._hooks.farewell()
        except Unreachable:
            raise
        except ApiError as error:
            if self._delivery.assignment.removed:
                raise
            self._survey.warnings["farewell"] = f"its hooks for leaving are lost when the agent restarts: {error}"
            return []
        self._survey.warnings.pop("farewell", None)
        return found

    def disturbed(self) -> list[Desired]:
        """Desired objects that something was heard of, without those that an heir has taken meanwhile."""
        heard = [self.desired[key] for key in self.suspects if key in self.desired]
        live = {each.ref.key: found for each in heard if (found := self._view.get(each.ref)) is not None}
        self.released |= self._inherited_by_others(live)
        return [each for each in heard if each.ref.key not in self.released]

    def _inherited_by_others(self, live: Mapping[Key, Manifest]) -> frozenset[Key]:
        heirs = self._tools.heirs(self._unit)
        return frozenset(key for key, found in live.items() if applyset.part_of(found) in heirs) if heirs else NONE

    async def _prepare(self, farewell: list[Manifest]) -> None:
        lines = self._delivery.bundle.lines
        given = await self._tools.unsealer.opened(
            [self._made_of(line) or orjson.loads(line) for line in lines] or farewell
        )
        prepared, wrong = prepare(given, self._unit, self.set_id, self._survey.namespaced)
        self._made = dict(zip(lines, prepared, strict=False)) if len(prepared) == len(lines) else {}
        prepared, unreachable = within(prepared, self._tools.settings.namespace_scope)
        prepared, forbidden = allowed(prepared, self._policy)
        self.refused = [*wrong, *unreachable, *forbidden]
        self.desired = self._hooks.take(prepared)
        self._examiner.vigil.restrict(set(self.desired))
        # A key may come at any time: what it opens is looked at again with every pass.
        self._prepared = not any(isinstance(each, Unreadable) and each.for_want_of_a_key for each in given)

    def _made_of(self, line: bytes) -> Desired | None:
        """What an equal line was made into, if that still holds on this cluster."""
        each = self._made.get(line)
        return each if each is not None and self._survey.namespaced(each.ref) is bool(each.ref.namespace) else None

    def _strangers(self) -> dict[Key, Manifest]:
        """Members of the unit that are not desired."""
        return {
            ref.key: stranger
            for ref in self._view.members()
            if ref.key not in self.desired
            and ref.key not in self._hooks.wanted
            and (stranger := self._view.get(ref)) is not None
        }

    def _calm(self, *, others: bool) -> frozenset[Key]:
        """Objects that need not be looked at, the first time. `others`: more than what is desired plays a part."""
        rested, self._rested = self._rested, {}
        if others or self._hooks.wanted or not self.all_served:
            return frozenset()
        return resting.calm(rested, self.desired, self._applied, self.suspects)

    async def _standing(self, kept: Iterable[Desired]) -> dict[Key, Manifest]:
        """What stands under the name of each, whoever made it."""
        live: dict[Key, Manifest] = {}
        missing = []
        for each in kept:
            found = self._view.get(each.ref)
            if found is not None:
                live[each.ref.key] = found
            else:
                missing.append(each.ref)
        missing = await self._without_new_namespace(missing)
        return live | await self._survey.standing(missing)

    async def _without_new_namespace(self, missing: list[ObjectRef]) -> list[ObjectRef]:
        """Makes the unit's namespace if need be; nothing can stand in one that was just made."""
        home = self._unit.namespace
        inside = [ref for ref in missing if ref.namespace == home]
        declared = ("", "Namespace", "", home) in self.desired
        limited = self._tools.settings.namespace_scope  # then namespaces are somebody else's business
        if not inside or declared or limited or not self._policy.create_namespace:
            return missing
        ref = ObjectRef("v1", "Namespace", "", home)
        try:
            if await self._tools.kube.get(ref) is None:
                labels = {"app.kubernetes.io/managed-by": "yardarm"}
                manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home, "labels": labels}}
                await self._tools.kube.apply(manifest)
                missing = [each for each in missing if each.namespace != home]
        except Forbidden as error:
            # Limited to some namespaces: then it is there, or the objects will say that it is not.
            self._survey.warnings["namespace"] = f"cannot look after namespace {home}: {error}"
        return missing
