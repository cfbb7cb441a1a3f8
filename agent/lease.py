"""Sees to it that only one agent acts for a cluster: a Lease beside the inventories, held by one of them.

Two that were started by mistake would apply different generations over each other. The second stands by and takes
over when the first is gone. A restart of the same agent (its identity is kept with its state, which only one process
can hold) takes over at once. How old another's lease is, is told by our own clock from when it last changed, so that
clocks need not agree. Without permission for leases the agent acts all the same, and says so.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable

from agent.kube.client import Kube
from agent.kube.errors import AccessError, ApiError, Forbidden, NotFound, UnknownKind
from shared.model import Manifest, ObjectRef
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

NAME = "yardarm-agent"
EXPIRES = 15.0
"""Seconds without renewal after which a lease may be taken."""
WAITING = "yardarm.dev/standing-by"
"""Annotation in which an agent that stands by makes itself known to the one that acts."""


class Lease:
    """`run` keeps it. `on_hold` says why this agent must not act now, empty when it may."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        namespace: str,
        identity: str,
        boot: str,
        changed: Callable[[], None],
        *,
        expires: float = EXPIRES,
    ) -> None:
        """`identity` outlives restarts, `boot` does not; `changed` is called when `on_hold` or `standing_by` do."""
        self._kube = kube
        self._clock = clock
        self._ref = ObjectRef("coordination.k8s.io/v1", "Lease", namespace, NAME)
        self._identity = identity
        self._holder = f"{identity}.{boot}"
        self._changed = changed
        self._expires = expires
        self._began = clock.monotonic()
        self._seen: tuple[str, float] = ("", self._began)
        self._rival: tuple[str, float] = ("", float("-inf"))
        self._renewed: float | None = None
        self._count = 0
        self.on_hold = "asks the cluster whether another agent acts for it"
        self.standing_by = False
        """Another agent acts: this one keeps quiet."""
        self.problem = ""

    async def run(self) -> None:
        """Takes, renews and watches the lease for ever."""
        backoff = Backoff(0.2, self._expires / 3)
        while True:
            wait = self._expires / 3
            try:
                async with asyncio.timeout(self._left()):
                    await self._turn()
                backoff.reset()
            except (Forbidden, UnknownKind) as error:
                if getattr(error, "terminating", False):
                    self._unsure(error)
                else:
                    self._act(f"a second agent for this cluster would not be noticed: {error}")
            except (ApiError, AccessError, TimeoutError) as error:
                # Conflicts too: a rival that makes itself known, or one that was faster.
                self._unsure(error)
                wait = backoff.next()
            left = self._left()
            await self._clock.sleep(wait if left is None else min(wait, left))

    def _left(self) -> float | None:
        """Seconds until what we hold expires; None when nothing does."""
        if self._renewed is None or self.on_hold:
            return None
        return max(0.05, self._renewed + self._expires - self._clock.monotonic())

    async def release(self) -> None:
        """Gives it up at an orderly end, so that the next agent need not wait."""
        if self._renewed is None:
            return
        try:
            live = await self._kube.get(self._ref, deadline=2)
            if live is not None and _spec(live).get("holderIdentity") == self._holder:
                await self._kube.merge(live, {"spec": {"holderIdentity": ""}}, deadline=2)
        except (ApiError, AccessError) as error:
            log.info("the lease was not given up", extra={"error": str(error)})

    async def _turn(self) -> None:
        live = await self._kube.get(self._ref, deadline=self._expires / 3)
        if live is None:
            await self._create()
        elif self._may_take(live):
            await self._take(live)
        else:
            await self._stand_by(live)

    def _may_take(self, live: Manifest) -> bool:
        holder = str(_spec(live).get("holderIdentity") or "")
        if holder in ("", self._holder):
            return True
        now, mark = self._clock.monotonic(), f"{holder} {_spec(live).get('renewTime')}"
        if mark != self._seen[0]:
            self._seen = (mark, now)
        # Our own last run has ended: we hold its state. But only at the start, lest two with copied state take turns.
        ours = holder.partition(".")[0] == self._identity and self._renewed is None and not self.standing_by
        lasts = float(_spec(live).get("leaseDurationSeconds") or self._expires)
        return ours or now - self._seen[1] > lasts

    async def _create(self) -> None:
        manifest = {
            "apiVersion": self._ref.api_version,
            "kind": self._ref.kind,
            "metadata": {
                "name": self._ref.name,
                "namespace": self._ref.namespace,
                "labels": {"app.kubernetes.io/managed-by": "yardarm"},
            },
            "spec": self._held(),
        }
        asked = self._clock.monotonic()
        try:
            await self._kube.create(manifest, deadline=self._expires / 3)
        except NotFound:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._ref.namespace}}
            await self._kube.apply(namespace, force=True)
            await self._kube.create(manifest, deadline=self._expires / 3)
        self._took(asked)

    async def _take(self, live: Manifest) -> None:
        asked = self._clock.monotonic()
        await self._kube.merge(live, {"spec": self._held()}, deadline=self._expires / 3)
        rival = str((live["metadata"].get("annotations") or {}).get(WAITING) or "")
        if rival != self._rival[0]:
            self._rival = (rival, self._clock.monotonic() if self._renewed is not None else float("-inf"))
        self._took(asked)

    def _held(self) -> Manifest:
        now = datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC)
        held: Manifest = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": max(1, int(self._expires)),
            "renewTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        if self._renewed is None:
            held["acquireTime"] = held["renewTime"]
        return held

    def _took(self, asked: float) -> None:
        if self._renewed is None:
            log.info("acts for this cluster", extra={"lease": str(self._ref), "holder": self._holder})
        self._renewed = asked
        waits = self._rival[0] and self._clock.monotonic() - self._rival[1] < self._expires
        self._act(
            f"a second agent ({self._rival[0].partition(' ')[0]}) was started for this cluster and stands by: stop it"
            if waits
            else ""
        )

    async def _stand_by(self, live: Manifest) -> None:
        holder = str(_spec(live).get("holderIdentity"))
        self._count += 1
        self._renewed = None
        reason = f"another agent ({holder}) acts for this cluster: stop one of the two; this one stands by"
        self._hold(reason, standing_by=True, problem=reason)
        try:
            note = {"metadata": {"annotations": {WAITING: f"{self._holder} {self._count}"}}}
            await self._kube.merge(live, note, deadline=self._expires / 3)
        except (ApiError, AccessError) as error:
            log.debug("cannot make myself known", extra={"error": str(error)})

    def _unsure(self, error: Exception) -> None:
        """The cluster did not answer. What we hold is ours until it expires; then another may have taken it."""
        log.debug("the lease was not renewed", extra={"error": str(error)})
        if self.standing_by or (self._renewed is not None and self._clock.monotonic() - self._renewed < self._expires):
            return
        why = str(error) or "nothing in time"
        self._hold(f"cannot renew its lease on the cluster: {why}", standing_by=False, problem="")

    def _act(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("trouble with the lease", extra={"error": problem})
        self._hold("", standing_by=False, problem=problem)

    def _hold(self, reason: str, *, standing_by: bool, problem: str) -> None:
        before = (self.on_hold, self.standing_by, self.problem)
        if standing_by and not self.standing_by:
            log.error("stands by", extra={"error": reason})
        self.on_hold, self.standing_by, self.problem = reason, standing_by, problem
        if before != (reason, standing_by, problem):
            self._changed()


def _spec(live: Manifest) -> Manifest:
    return live.get("spec") or {}
