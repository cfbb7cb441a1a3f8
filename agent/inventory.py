"""The ApplySet parents on the cluster: read once, written ahead of every apply, narrowed after every prune.

All units share one of these, so that a restart costs one list request however many units there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from agent.domain import applyset, farewell
from agent.domain.applyset import Record, Scope
from agent.kube.client import Kube
from agent.kube.errors import NotFound
from shared.model import Manifest, ObjectRef, UnitKey

NOTHING = Record()


class Inventory:
    """Records by unit. Every method may raise `ApiError`; calling it again is safe."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._loading = asyncio.Lock()
        self._records: dict[str, Record] | None = None
        self.units: dict[str, str] = {}
        """The units with a parent (`cluster/namespace/application`) by the id of their ApplySet."""

    def parent(self, unit: UnitKey) -> ObjectRef:
        """The parent of a unit."""
        return applyset.parent_ref(unit, self._namespace)

    def set_id(self, unit: UnitKey) -> str:
        """The id its members carry."""
        return applyset.set_id(self.parent(unit))

    async def scope(self, unit: UnitKey) -> Scope:
        """Where members of the unit may be, as its parent on the cluster says."""
        return (await self._record(unit)).scope

    async def exists(self, unit: UnitKey) -> bool:
        """Whether the unit has a parent: without one, nothing of it was ever applied to this cluster."""
        return self.parent(unit).name in await self._load()

    async def widen(self, unit: UnitKey, scope: Scope) -> None:
        """Makes sure that the parent covers `scope`, and keeps what it covers already."""
        known = await self.scope(unit)
        if known | scope != known or not await self.exists(unit):
            await self._note(unit, scope=known | scope)

    async def narrow(self, unit: UnitKey, scope: Scope) -> None:
        """Makes the parent cover exactly `scope`: everything else is gone."""
        if await self.scope(unit) != scope:
            await self._note(unit, scope=scope)

    async def hooks(self, unit: UnitKey) -> str:
        """What was noted of the unit's hooks, empty when nothing was."""
        return (await self._record(unit)).hooks

    async def note_hooks(self, unit: UnitKey, note: str) -> None:
        """Keeps with the parent how far the unit's hooks are."""
        if await self.hooks(unit) != note:
            await self._note(unit, hooks=note)

    async def farewell(self, unit: UnitKey) -> list[Manifest]:
        """The hooks that run when the unit leaves, as they were kept last.

        Raises:
            InvalidMessage: somebody has damaged them.
        """
        live = await self._kube.get(farewell.secret_ref(self.parent(unit)))
        return farewell.read(live) if live is not None else []

    async def keep_farewell(self, unit: UnitKey, hooks: Sequence[Manifest]) -> None:
        """Keeps the hooks that run when the unit leaves, for a restart after that was said."""
        digest = farewell.digest(hooks)
        if (await self._record(unit)).farewell == digest:
            return
        parent = self.parent(unit)
        if hooks:
            await self._apply(farewell.secret(unit, parent, hooks))
        await self._note(unit, farewell=digest)
        if not hooks:
            await self._kube.delete(farewell.secret_ref(parent))

    async def remove(self, unit: UnitKey) -> None:
        """Deletes the parent and what is kept beside it: the unit has left."""
        parent = self.parent(unit)
        await self._kube.delete(farewell.secret_ref(parent))
        await self._kube.delete(parent)
        (await self._load()).pop(parent.name, None)
        self.units.pop(applyset.set_id(parent), None)

    async def _record(self, unit: UnitKey) -> Record:
        return (await self._load()).get(self.parent(unit).name, NOTHING)

    async def _load(self) -> dict[str, Record]:
        async with self._loading:
            if self._records is None:
                resource = await self._kube.resource("v1", "ConfigMap")
                listed, _ = await self._kube.list(resource, namespace=self._namespace, label_selector=applyset.ID_LABEL)
                self._records = {each["metadata"]["name"]: applyset.read_record(each) for each in listed}
                self.units = dict(filter(None, map(applyset.read_unit, listed)))
            return self._records

    async def _note(self, unit: UnitKey, **changes: Any) -> None:
        parent = self.parent(unit)
        record = msgspec.structs.replace(await self._record(unit), **changes)
        await self._apply(applyset.parent_manifest(unit, parent, record))
        (await self._load())[parent.name] = record
        self.units[applyset.set_id(parent)] = str(unit)

    async def _apply(self, manifest: Manifest) -> None:
        try:
            await self._kube.apply(manifest, force=True)
        except NotFound:
            await self._kube.apply(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}, force=True
            )
            await self._kube.apply(manifest, force=True)
