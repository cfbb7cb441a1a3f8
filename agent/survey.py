"""Finds out what a unit's plan has to know of the cluster: which kinds to watch, and what stands there already.

The cache knows only what carries our label. Whether an object about to be created exists, made by somebody else, is
asked here: one by one, or with one list where many of a kind are missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from agent.cache import LiveCache
from agent.domain.desired import Desired, Key
from agent.kube.client import Kube, Resource
from agent.kube.errors import ApiError, Forbidden, UnknownKind, Unreachable
from shared.model import Manifest, ObjectRef

log = logging.getLogger(__name__)

LIST_FROM = 8
"""From so many missing objects of a kind in a namespace on, one list is cheaper than asking for each."""
IN_FLIGHT = 8


class Survey:
    """Questions to the cluster. `warnings` says what could not be asked and what follows from that."""

    def __init__(self, kube: Kube, cache: LiveCache) -> None:
        self._kube = kube
        self._cache = cache
        self.warnings: dict[str, str] = {}

    def namespaced(self, ref: ObjectRef) -> bool | None:
        """Whether the kind has namespaces, None when the cluster does not serve it (yet)."""
        try:
            return self._kube.discovery.find(ref.api_version, ref.kind).namespaced
        except UnknownKind:
            return None

    async def watch(self, desired: Iterable[Desired], kinds: Iterable[str]) -> bool:
        """Watches the kinds of `desired`, and `kinds` (`Kind.group`). False when some are not served (yet).

        Raises:
            ApiError: the cluster did not answer as it should.
        """
        wanted = {(each.ref.api_version, each.ref.kind): each.ref.group_kind for each in desired}
        complete = True
        resources: dict[str, Resource] = {}
        for api_version, kind in wanted:
            try:
                resources[f"{api_version}/{kind}"] = await self._kube.resource(api_version, kind)
            except UnknownKind:
                complete = False
        if others := set(kinds) - set(wanted.values()):
            # A kind that is not served any more has no objects either.
            served = {each.group_kind: each for each in self._kube.discovery.resources if each.watchable}
            resources |= {group_kind: served[group_kind] for group_kind in others & served.keys()}
        try:
            async with asyncio.TaskGroup() as group:
                for resource in resources.values():
                    if self._cache.synced(resource):
                        self.warnings.pop(resource.group_kind, None)
                    else:
                        group.create_task(self._watch(resource))
        except* ApiError as errors:
            raise _first(errors) from None
        return complete

    async def _watch(self, resource: Resource) -> None:
        try:
            await self._cache.ensure(resource)
            self.warnings.pop(resource.group_kind, None)
        except Forbidden as error:
            what = f"the agent may not list and watch {resource.plural}: drift of {resource.kind} objects is not seen"
            self.warnings[resource.group_kind] = f"{what} ({error})"

    async def standing(self, missing: Iterable[ObjectRef]) -> dict[Key, Manifest]:
        """Which of these objects exist, whoever made them.

        Raises:
            Unreachable: the cluster did not answer.
        """
        groups: dict[tuple[str, str, str], list[ObjectRef]] = {}
        for ref in missing:
            groups.setdefault((ref.api_version, ref.kind, ref.namespace), []).append(ref)
        found: dict[Key, Manifest] = {}
        gate = asyncio.Semaphore(IN_FLIGHT)
        try:
            async with asyncio.TaskGroup() as group:
                for refs in groups.values():
                    if len(refs) >= LIST_FROM:
                        group.create_task(self._list(refs, found, gate))
                    else:
                        for ref in refs:
                            group.create_task(self._get(ref, found, gate))
        except* Unreachable as errors:
            raise _first(errors) from None
        return found

    async def _list(self, refs: list[ObjectRef], found: dict[Key, Manifest], gate: asyncio.Semaphore) -> None:
        wanted = {ref.name: ref for ref in refs}
        async with gate:
            try:
                resource = await self._kube.resource(refs[0].api_version, refs[0].kind)
                items, _ = await self._kube.list(resource, namespace=refs[0].namespace)
            except Unreachable:
                raise
            except ApiError as error:
                log.debug("cannot list", extra={"kind": refs[0].kind, "error": str(error)})
                return
        for item in items:
            ref = wanted.get(item["metadata"]["name"])
            if ref is not None:
                found[ref.key] = item

    async def _get(self, ref: ObjectRef, found: dict[Key, Manifest], gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                live = await self._kube.get(ref)
            except Unreachable:
                raise
            except ApiError as error:
                # Applying will say what is wrong, and say it of this object.
                log.debug("cannot get", extra={"object": str(ref), "error": str(error)})
                return
        if live is not None:
            found[ref.key] = live


def _first(errors: BaseExceptionGroup[ApiError]) -> ApiError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, ApiError):
        raise TypeError(type(error))
    return error
