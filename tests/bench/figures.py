"""One measured number with what it is compared to."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`value` and `floor` in `unit`. `limit` is the most `value` may be, `ratio_limit` the most value/floor may be."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    limit: float | None = None
    ratio_limit: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def good(self) -> bool:
        if self.limit is not None and self.value > self.limit:
            return False
        return self.ratio_limit is None or (self.ratio is not None and self.ratio <= self.ratio_limit)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "good": self.good}

    def row(self) -> tuple[str, ...]:
        goals = []
        if self.limit is not None:
            goals.append(f"≤ {self.limit:g} {self.unit}")
        if self.ratio_limit is not None:
            goals.append(f"≤ {self.ratio_limit:g} × floor")  # noqa: RUF001 - times, not the letter
        verdict = ("met" if self.good else "MISSED") if goals else ""
        return (
            self.name + (f"\n  {self.note}" if self.note else ""),
            f"{self.value:.4g} {self.unit}",
            "" if self.floor is None else f"{self.floor:.4g} {self.unit}",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            ", ".join(goals),
            verdict,
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rss(pid: int | str = "self", *, peak: bool = False) -> float:
    """Resident memory of a process in MB, as /proc tells: now, or the most it ever was."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no memory")


def cpu(pid: int | str = "self") -> float:
    """Seconds of processor time of a process so far, as /proc tells: to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
