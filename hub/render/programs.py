"""The programs that template steps are done with."""

from __future__ import annotations

import asyncio

from hub.render.helm import executable
from hub.render.kustomize import binary
from shared.errors import DocumentError, YardarmError


class Programs:
    """What is configured, and what is found of it when it is first needed."""

    def __init__(self, helm: str = "", kustomize: str = "") -> None:
        """Paths or names on PATH: `helm` empty for the library, `kustomize` empty to look for one."""
        self._wanted_helm = helm
        self._wanted = kustomize
        self._turn = asyncio.Lock()
        self._helm: executable.Executable | None = None
        self._kustomize: binary.Kustomize | None = None

    async def helm(self) -> executable.Executable:
        """The program that renders charts, one without path and version for the library.

        Raises:
            DocumentError: the one that is configured is not there, or is no helm.
        """
        if not self._wanted_helm:
            return executable.Executable("", "")
        async with self._turn:
            if self._helm is None:
                try:
                    self._helm = await asyncio.to_thread(executable.find, self._wanted_helm)
                except YardarmError as error:
                    raise DocumentError(str(error)) from None
        return self._helm

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
