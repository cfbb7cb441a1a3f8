"""The programs that template steps are done with."""

from __future__ import annotations

import asyncio

from hub.render.kustomize import binary
from shared.errors import DocumentError, YardarmError


class Programs:
    """What is configured, and what is found of it when it is first needed. An empty `helm` is the library."""

    def __init__(self, helm: str = "", kustomize: str = "") -> None:
        """`kustomize` is a path or a name on PATH, empty to look for one."""
        self.helm = helm
        self._wanted = kustomize
        self._turn = asyncio.Lock()
        self._kustomize: binary.Kustomize | None = None

    async def kustomize(self) -> binary.Kustomize:
        """The program that builds kustomizations; looked for again until there is one.

        Raises:
            DocumentError: there is none; says what was tried and what to do.
        """
        async with self._turn:
            if self._kustomize is None:
                try:
                    self._kustomize = await asyncio.to_thread(binary.find, self._wanted)
                except YardarmError as error:
                    raise DocumentError(str(error)) from None
        return self._kustomize
