"""How `yardarm explain` is told: the verdict and its reasons, how the unit stands, and where its values come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hub.cli.matrix import units_table
from hub.cli.output import Table, age, value


def lines(found: dict[str, Any], units: list[dict[str, Any]], now: float) -> Iterable[Table | str]:
    """`found` is the API's explanation, `units` the units of this application on this cluster."""
    yield found["verdict"]
    yield from (f"  - {reason}" for reason in found["reasons"])
    if found.get("set"):
        yield f"  - ApplicationSet {found['set']['name']} made it of {_item(found['set']['item'])}"
    if found.get("written"):
        yield f"  - {found['application']} is defined at {found['written']}"
    yield from (f"  - {problem['severity']}: {problem['message']}" for problem in found.get("problems", ()))
    if units:
        yield ""
        yield units_table(units, now)
        blockers = [blocker for unit in units for blocker in unit.get("blockers", ())]
        if blockers:
            yield ""
            yield _blockers_table(blockers, now)
    if found["selected"] and found.get("overrides"):
        yield ""
        yield Table(
            ("OVERRIDE", "APPLIES", "BECAUSE", "WRITTEN AT"),
            [
                (
                    str(each["number"]),
                    "yes" if each["applies"] else "no",
                    "; ".join(each["reasons"]),
                    _line(each["written"]),
                )
                for each in found["overrides"]
            ],
        )
    if found["selected"] and found["values"]:
        yield ""
        yield Table(
            ("VALUE", "IS", "FROM", "WRITTEN AT"),
            [(item["path"], value(item["value"]), item["from"], _line(item["written"])) for item in found["values"]],
        )


def _line(written: str) -> str:
    """File and line of a place."""
    return written.partition(": ")[0]


def _item(item: dict[str, Any]) -> str:
    """The plain values of an item, by name."""
    words = [f"{name}: {each}" for name, each in item.items() if not isinstance(each, dict | list)]
    return f"{{{', '.join(words)}}}"


def _blockers_table(blockers: list[dict[str, Any]], now: float) -> Table:
    rows = [
        (_blocker(each), age(now - each["since"]), each["reason"], each["unblock"], str(each["waiting"] or ""))
        for each in blockers
    ]
    return Table(("IN THE WAY", "FOR", "BECAUSE", "WHAT WOULD LET IT GO ON", "WAITING"), rows)


def _blocker(each: dict[str, Any]) -> str:
    found = each["object"]
    if found is None:
        return f"application {each['application']}"
    place = f"{found['namespace']}/" if found["namespace"] else ""
    return f"{found['kind']} {place}{found['name']}"
