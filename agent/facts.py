"""What an agent tells of its cluster: version, number of nodes, APIs served. Never a label: facts decide nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

from agent.domain.agekeys import recipients
from agent.kube.client import Kube
from agent.kube.discovery import Resource
from agent.kube.errors import AccessError, ApiError, Forbidden
from agent.unsealing import AgeKeys
from shared.messages import apis_digest
from shared.tasks import Clock

log = logging.getLogger(__name__)

INTERVAL = 300.0
RETRY = 10.0


class Facts:
    """`values` is what is known; `problem` why the cluster cannot be asked, empty when it can. `run` keeps both."""

    def __init__(self, kube: Kube, clock: Clock, keys: AgeKeys) -> None:
        self._kube = kube
        self._clock = clock
        self._keys = keys
        self.values: dict[str, Any] = {}
        self.apis: tuple[str, ...] = ()
        """What `values["apis"]` names."""
        self.problem = ""

    async def run(self) -> None:
        """Asks for ever."""
        while True:
            try:
                self.problem = await self._look_for_key()
                await self._ask()
            except (ApiError, AccessError) as error:
                self.problem = f"the Kubernetes API cannot be asked: {error}"
            await self._clock.sleep(RETRY if self.problem else INTERVAL)

    async def _look_for_key(self) -> str:
        """Tells for whom to encrypt, so that this cluster can read it. Returns why that is not known."""
        try:
            found = recipients(await asyncio.to_thread(self._keys.identities))
        except (OSError, UnicodeDecodeError) as error:
            return f"the age key cannot be read: {error}"
        self.values.pop("ageRecipient", None)
        if found:
            # The first is the newest: those after it are kept for what was encrypted before.
            self.values["ageRecipient"] = found[0]
        return ""

    async def _ask(self) -> None:
        self.values["kubernetes"] = await self._kube.version()
        node = await self._kube.resource("v1", "Node")
        count = 0
        try:
            async with aclosing(self._kube.pages(node, limit=100)) as pages:
                async for items, _ in pages:
                    count += len(items)
            self.values["nodes"] = count
        except Forbidden:
            log.debug("may not list nodes")
        self.values["kinds"] = len(self._kube.discovery.resources)
        self.apis = _served(self._kube.discovery.resources)
        self.values["apis"] = apis_digest(self.apis)


def _served(resources: Iterable[Resource]) -> tuple[str, ...]:
    """As Helm lists them: each group and version, and each kind of it."""
    versions = {resource.api_version for resource in resources}
    return tuple(sorted(versions | {f"{resource.api_version}/{resource.kind}" for resource in resources}))
