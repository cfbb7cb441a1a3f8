"""Decides what has to be published: compares what units were given with what they should have. No I/O.

The rule behind promise 3: a unit gets a message only when its bundle differs from the one it was given last, so a
commit (or a restarted hub) that changes nothing publishes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from shared.bundle import body_digest
from shared.messages import Assignment, PackRef, Policy, Root, RootEntry
from shared.model import ObjectRef, Place, Problem, UnitKey


class Body(msgspec.Struct, frozen=True):
    """A bundle as it is published: equal for all clusters with equal content. `refs` names its objects."""

    digest: str
    policy: Policy
    objects: int
    refs: tuple[ObjectRef, ...] = ()
    inline: bytes = b""
    packs: tuple[PackRef, ...] = ()


EMPTY = Body(digest=hashlib.sha256(b"").hexdigest(), policy=Policy(), objects=0)


class Given(msgspec.Struct, frozen=True):
    """What a unit was told last: the part of its assignment that decides whether to tell it again."""

    generation: int
    digest: str
    commit: str
    revision: str
    removed: bool
    policy: Policy
    packs: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()
    succeeds: tuple[str, ...] = ()
    objects: int = 0

    @classmethod
    def of(cls, assignment: Assignment) -> Given:
        """The part of `assignment` worth remembering."""
        return cls(
            generation=assignment.generation,
            digest=assignment.digest,
            commit=assignment.commit,
            revision=assignment.revision,
            removed=assignment.removed,
            policy=assignment.policy,
            packs=tuple(pack.digest for pack in assignment.packs),
            confirmed=assignment.confirmed,
            succeeds=assignment.succeeds,
            objects=assignment.objects,
        )


class Order(msgspec.Struct, frozen=True):
    """One message to publish: give `unit` this body, or (None) tell it that the application has left.

    `succeeds` are the units (`namespace/application`) whose place it takes. `on_delete` says what becomes of the
    objects of a unit that leaves; None: what its policy said all along.
    """

    unit: UnitKey
    body: Body | None
    succeeds: tuple[str, ...] = ()
    on_delete: Literal["delete", "orphan"] | None = None


class Again(msgspec.Struct, frozen=True):
    """One message to publish: the assignment that a unit has, with these deletions confirmed (or none more)."""

    assignment: Assignment
    confirmed: tuple[str, ...]


def orders(application: str, given: Mapping[UnitKey, Given], wanted: Mapping[UnitKey, Body]) -> list[Order]:
    """What to publish so that the units of `application` are given what they should have, in a stable order.

    `given` may hold units of any application; those of this one that are not wanted are told to leave.
    """
    result = [
        Order(unit, body)
        for unit, body in wanted.items()
        if (old := given.get(unit)) is None or old.removed or old.digest != body.digest
    ]
    result.extend(
        Order(unit, None)
        for unit, old in given.items()
        if unit.application == application and unit not in wanted and not old.removed
    )
    return sorted(result, key=lambda order: order.unit)


def next_generation(previous: int, now: float) -> int:
    """A generation newer than `previous`, and than anything forgotten since: milliseconds of unix time at least."""
    return max(previous + 1, int(now * 1000))


def assignment(
    order: Order, previous: Given | None, *, commit: str, revision: str, traceparent: str, now: float, rollout: str = ""
) -> Assignment:
    """The message for an order, unsigned."""
    body = order.body or EMPTY
    policy = body.policy if order.body or previous is None else previous.policy
    if order.on_delete is not None:
        policy = msgspec.structs.replace(
            policy, deletion=msgspec.structs.replace(policy.deletion, on_delete=order.on_delete)
        )
    return Assignment(
        v=1,
        cluster=order.unit.cluster,
        namespace=order.unit.namespace,
        application=order.unit.application,
        generation=next_generation(previous.generation if previous else 0, now),
        digest=body.digest if order.body else removal_digest(policy),
        commit=commit,
        revision=revision,
        policy=policy,
        objects=body.objects,
        at=now,
        rollout=rollout,
        packs=body.packs,
        inline=body.inline,
        removed=order.body is None,
        succeeds=order.succeeds,
        traceparent=traceparent,
    )


def again(order: Again, previous: Given | None, now: float) -> Assignment | None:
    """The message for a confirmation, unsigned; None when the unit was given something else meanwhile."""
    stored = order.assignment
    if previous is None or previous.generation != stored.generation:
        return None
    return msgspec.structs.replace(
        stored,
        generation=next_generation(stored.generation, now),
        at=now,
        confirmed=tuple(sorted({*stored.confirmed, *order.confirmed})),
        key="",
        signature=b"",
    )


def removal_digest(policy: Policy) -> str:
    """The digest of a bundle without objects, which is what a unit that leaves is given."""
    return body_digest(policy, b"")


def root(cluster: str, units: Mapping[UnitKey, Given]) -> Root:
    """The list of a cluster's units; equal lists are equal messages, so that an unchanged one is not published."""
    entries = tuple(
        RootEntry(unit.namespace, unit.application, given.generation, given.digest)
        for unit, given in sorted(units.items(), key=_within_cluster)
    )
    return Root(v=1, cluster=cluster, generation=max((e.generation for e in entries), default=0), units=entries)


class TooLong(msgspec.Struct, frozen=True):
    """The list of a cluster's units does not fit into a message. `size` and `limit` in bytes."""

    cluster: str
    units: int
    size: int
    limit: int

    def problem(self, place: Place | None) -> Problem:
        """The same as a finding; `place` is where the cluster is written."""
        return Problem(
            "error",
            f"cluster {self.cluster} has {self.units:,} units: the list of them is {self.size:,} bytes long, and no "
            f"more than {self.limit:,} can be sent; its agent still hears of each change, but one that starts again, "
            "or was away, does not learn of what it missed",
            place,
            "place fewer applications on this cluster, or make one application of several",
        )


def _within_cluster(item: tuple[UnitKey, Given]) -> tuple[str, str]:
    return item[0].namespace, item[0].application


def effect(digests: Mapping[UnitKey, str]) -> str:
    """Names what an application amounts to on the whole fleet: equal bundles everywhere are one revision."""
    hasher = hashlib.sha256()
    for unit, digest in sorted(digests.items()):
        hasher.update(f"{unit} {digest}\n".encode())
    return hasher.hexdigest()


class Claim(msgspec.Struct, frozen=True):
    """An object that a second application wants on the same cluster; the first one keeps it."""

    ref: ObjectRef
    cluster: str
    holder: str


class Claims:
    """Which application holds which object on which cluster: one object, one owner.

    Whoever held it first keeps it, so that a new application can never take objects away from a running one.
    """

    def __init__(self) -> None:
        self._bodies: dict[str, dict[str, Body]] = {}
        self._holders: dict[tuple[str, str, str, str], set[str]] = {}

    def hold(self, application: str, bodies: Mapping[str, Body]) -> None:
        """Records what `application` has on each cluster, in place of what it had."""
        self.release(application)
        self._bodies[application] = dict(bodies)
        for body in _distinct(bodies.values()):
            for ref in body.refs:
                self._holders.setdefault(ref.key, set()).add(application)

    def held(self, application: str) -> Mapping[str, Body]:
        """What it has on each cluster."""
        return self._bodies.get(application, {})

    def release(self, application: str) -> None:
        """The application is gone."""
        for body in _distinct(self._bodies.pop(application, {}).values()):
            for ref in body.refs:
                holders = self._holders.get(ref.key)
                if holders is not None:
                    holders.discard(application)
                    if not holders:
                        del self._holders[ref.key]

    def disputed(self, application: str, bodies: Mapping[str, Body], succeeds: Collection[str] = ()) -> list[Claim]:
        """The objects that another application already holds, at most one for each cluster.

        What those hold whose place it takes (`succeeds`) is not disputed.
        """
        contested: dict[str, list[tuple[ObjectRef, str]]] = {}
        for body in _distinct(bodies.values()):
            rivals = [
                (ref, other)
                for ref in body.refs
                for other in self._holders.get(ref.key, ())
                if other != application and other not in succeeds
            ]
            if rivals:
                contested[body.digest] = rivals
        result = []
        for cluster, body in sorted(bodies.items()):
            for ref, other in contested.get(body.digest, ()):
                theirs = self._bodies[other].get(cluster)
                if theirs is not None and any(ref.key == held.key for held in theirs.refs):
                    result.append(Claim(ref, cluster, other))
                    break
        return result


def _distinct(bodies: Iterable[Body]) -> Iterable[Body]:
    return {body.digest: body for body in bodies}.values()
