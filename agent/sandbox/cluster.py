"""One sandbox cluster: its objects, what it serves, its clock and its timers. The requests' logic is in `registry`."""

from __future__ import annotations

import asyncio
import datetime
import random
import string
import uuid
from collections.abc import Callable
from typing import Any

from agent.sandbox import kinds
from agent.sandbox.faults import Faults
from agent.sandbox.kinds import Kind
from agent.sandbox.store import Store

Object = dict[str, Any]
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: no vowels, so that no words come out."""


class Cluster:
    """State of one cluster. `kubernetes` is the version it claims, e.g. `v1.36.0`; `clock` gives unix seconds."""

    def __init__(self, name: str, *, kubernetes: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.kubernetes = kubernetes
        self.clock = clock
        self.store = Store()
        self.faults = Faults()
        self.kinds: dict[tuple[str, str, str], Kind] = dict(kinds.builtin())
        self.by_storage: dict[tuple[str, str], Kind] = {k.storage: k for k in self.kinds.values()}
        self.custom: dict[str, list[Kind]] = {}
        self.epoch = 0
        self._addresses = 1
        self._ports = 30000
        self._random = random.Random(name)  # noqa: S311 - names of pods, not secrets
        self._timers: set[asyncio.TimerHandle] = set()

    def now(self) -> str:
        """Now, as Kubernetes writes time."""
        return datetime.datetime.fromtimestamp(self.clock(), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def uid(self) -> str:
        """A new object's uid."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """The end of a generated name."""
        return "".join(self._random.choices(SUFFIX, k=length))

    def letters(self, length: int) -> str:
        """Lower-case letters."""
        return "".join(self._random.choices(string.ascii_lowercase, k=length))

    def address(self) -> str:
        """A service's cluster IP, never given twice."""
        self._addresses += 1
        return f"10.96.{self._addresses >> 8 & 255}.{self._addresses & 255}"

    def port(self) -> int:
        """A node port, never given twice."""
        self._ports += 1
        return self._ports

    def serve(self, owner: str, served: list[Kind]) -> None:
        """Replaces the kinds that the CustomResourceDefinition `owner` defines."""
        for kind in self.custom.pop(owner, ()):
            self.kinds.pop((kind.group, kind.version, kind.plural), None)
            self.by_storage.pop(kind.storage, None)
        for kind in served:
            self.kinds[(kind.group, kind.version, kind.plural)] = kind
            if kind.version == kind.storage_version or kind.storage not in self.by_storage:
                self.by_storage[kind.storage] = kind
        if served:
            self.custom[owner] = served
        self.epoch += 1

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Runs `call` later; forgotten when the cluster closes."""
        handle: asyncio.TimerHandle

        def run() -> None:
            self._timers.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(handle)

    def close(self) -> None:
        """Cancels every timer."""
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()
