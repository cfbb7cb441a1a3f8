"""How `yardarm explain` is told: the verdict and its reasons, how the unit stands, and where its values come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hub.cli.matrix import units_table
from hub.cli.output import Table, value


def lines(found: dict[str, Any], units: list[dict[str, Any]], now: float) -> Iterable[Table | str]:
    """`found` is the API's explanation, `units` the units of this application on this cluster."""
    yield found["verdict"]
    yield from (f"  - {reason}" for reason in found["reasons"])
    if found.get("written"):
        yield f"  - {found['application']} is defined at {found['written']}"
    yield from (f"  - {problem['severity']}: {problem['message']}" for problem in found.get("problems", ()))
    if units:
        yield ""
        yield units_table(units, now)
    if found["selected"] and found["values"]:
        yield ""
        yield Table(
            ("VALUE", "IS", "FROM"),
            [(item["path"], value(item["value"]), item["from"]) for item in found["values"]],
        )
