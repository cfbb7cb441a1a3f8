"""The ApplySet parents on the cluster: read once, written ahead of every apply, narrowed after every prune.

All units share one of these, so that a restart costs one list request however many units there are.
"""

from __future__ import annotations

import asyncio

from agent.domain import applyset
from agent.domain.applyset import Scope
from agent.kube.client import Kube
from agent.kube.errors import NotFound
from shared.model import ObjectRef, UnitKey

NOTHING = Scope()


class Inventory:
    """Scopes by unit. Every method may raise `ApiError`; calling it again is safe."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._loading = asyncio.Lock()
        self._scopes: dict[str, Scope] | None = None
        self._hooks: dict[str, str] = {}
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
        scopes = await self._load()
        return scopes.get(self.parent(unit).name, NOTHING)

    async def exists(self, unit: UnitKey) -> bool:
        """Whether the unit has a parent: without one, nothing of it was ever applied to this cluster."""
        return self.parent(unit).name in await self._load()

    async def widen(self, unit: UnitKey, scope: Scope) -> None:
        """Makes sure that the parent covers `scope`, and keeps what it covers already."""
        known = await self.scope(unit)
        if known | scope != known or not await self.exists(unit):
            await self._write(unit, known | scope)

    async def narrow(self, unit: UnitKey, scope: Scope) -> None:
        """Makes the parent cover exactly `scope`: everything else is gone."""
        if await self.scope(unit) != scope:
            await self._write(unit, scope)

    async def hooks(self, unit: UnitKey) -> str:
        """What was noted of the unit's hooks, empty when nothing was."""
        await self._load()
        return self._hooks.get(self.parent(unit).name, "")

    async def note_hooks(self, unit: UnitKey, note: str) -> None:
        """Keeps with the parent how far the unit's hooks are."""
        if await self.hooks(unit) != note:
            await self._write(unit, await self.scope(unit), note)

    async def remove(self, unit: UnitKey) -> None:
        """Deletes the parent: the unit has left."""
        parent = self.parent(unit)
        await self._kube.delete(parent)
        (await self._load()).pop(parent.name, None)
        self._hooks.pop(parent.name, None)
        self.units.pop(applyset.set_id(parent), None)

    async def _load(self) -> dict[str, Scope]:
        async with self._loading:
            if self._scopes is None:
                resource = await self._kube.resource("v1", "ConfigMap")
                listed, _ = await self._kube.list(resource, namespace=self._namespace, label_selector=applyset.ID_LABEL)
                self._scopes = {each["metadata"]["name"]: applyset.read_scope(each) for each in listed}
                self._hooks = {each["metadata"]["name"]: applyset.read_hooks(each) for each in listed}
                self.units = dict(filter(None, map(applyset.read_unit, listed)))
            return self._scopes

    async def _write(self, unit: UnitKey, scope: Scope, hooks: str | None = None) -> None:
        parent = self.parent(unit)
        note = self._hooks.get(parent.name, "") if hooks is None else hooks
        manifest = applyset.parent_manifest(unit, parent, scope, note)
        try:
            await self._kube.apply(manifest, force=True)
        except NotFound:
            await self._kube.apply(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}, force=True
            )
            await self._kube.apply(manifest, force=True)
        (await self._load())[parent.name] = scope
        self._hooks[parent.name] = note
        self.units[applyset.set_id(parent)] = str(unit)
