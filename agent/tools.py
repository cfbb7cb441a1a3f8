"""What the units of one agent work with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from agent.cache import LiveCache
from agent.diagnosis import Diagnosis
from agent.evaluator import Evaluator
from agent.inventory import Inventory
from agent.keeper import Keeper
from agent.kube.client import Kube
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.unsealing import Unsealer
from shared.model import UnitKey
from shared.tasks import Clock


@dataclass(frozen=True)
class Tools:
    """What all units of an agent share."""

    kube: Kube
    cache: LiveCache
    inventory: Inventory
    reporter: Reporter
    diagnosis: Diagnosis
    keeper: Keeper
    evaluator: Evaluator
    unsealer: Unsealer
    clock: Clock
    settings: AgentSettings
    lanes: asyncio.Semaphore
    """Writes in flight over all units."""
    waits_for: Callable[[UnitKey, tuple[str, ...]], tuple[tuple[str, str], ...]]
    """Which of these applications a unit that depends on them has to wait for, and why."""
    state_changed: Callable[[UnitKey], None]
    heirs: Callable[[UnitKey], frozenset[str]]
    """The ApplySets of units that take the place of this one."""
    on_hold: Callable[[], str] = str
    """Why nothing may be written now; empty when it may."""
