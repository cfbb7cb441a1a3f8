"""How `yardarm explain` is told: the verdict and its reasons, how the unit stands, and where its values come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hub.cli.matrix import units_table
from hub.cli.output import Table, age, counted, value
from hub.cli.trouble import usage


def written(path: Path, application: str, cluster: str) -> dict[str, Any]:
    """What a fleet repository on disk says: of one cluster, or of all when there are several and none is named."""
    from hub.cli.snapshots import Folder
    from hub.cli.supplies import Offline
    from hub.explainer import explanation, overview

    with Offline() as offline:
        fleet = Folder(path, cluster).as_it_lies(offline).model
    try:
        found = overview(application, fleet, {})
        wanted = cluster or only_cluster(found)
        return explanation(application, wanted, fleet, {}) if wanted else found
    except LookupError as error:
        usage(str(error.args[0]))


def only_cluster(overview: dict[str, Any]) -> str:
    """The cluster of a fleet that has no other, else nothing."""
    clusters = overview["clusters"]
    return str(clusters[0]["cluster"]) if len(clusters) == 1 else ""


def told(found: dict[str, Any], units: list[dict[str, Any]], now: float) -> Iterable[Table | str]:
    """The API's explanation, for one cluster or for all."""
    return lines(found, units, now) if "verdict" in found else cluster_lines(found)


def cluster_lines(overview: dict[str, Any]) -> Iterable[Table | str]:
    """All clusters, selected or not, and why, a line each."""
    clusters = overview["clusters"]
    selected = sum(each["selected"] for each in clusters)
    placed = f"; the placement is at {_line(overview['written'])}" if overview["written"] else ""
    yield f"{overview['application']} goes to {selected} of {counted(len(clusters), 'cluster')}{placed}"
    yield ""
    yield Table(
        ("CLUSTER", "ENVIRONMENT", "SELECTED", "BECAUSE"),
        [
            (each["cluster"], each["environment"], "yes" if each["selected"] else "no", "; ".join(each["reasons"]))
            for each in clusters
        ],
        "no clusters",
    )
    if clusters:
        yield ""
        yield f"more of one: yardarm explain {overview['application']} --cluster {clusters[0]['cluster']}"


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
