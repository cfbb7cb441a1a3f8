"""The fleet at a glance, from the API's lists: clusters by applications, or environments when many.

Pure: dicts in, tables and lines out. `yardarm status` and the demo's screen both draw it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from hub.cli.output import Table, age, counted, short

WORST_FIRST = ("Failed", "Blocked", "Drifted", "Stale", "Progressing", "Waiting", "Paused", "Ready")
TROUBLE = frozenset({"Failed", "Blocked", "Drifted", "Stale"})
MOST_CLUSTERS = 24
"""More clusters than this are shown by environment."""

Item = dict[str, Any]


def by_state(states: Counter[str] | dict[str, int]) -> str:
    """`2 Failed, 10 Ready`, worst first; empty when there is nothing."""
    return ", ".join(f"{states[state]} {state}" for state in WORST_FIRST if states.get(state))


def matrix(units: Iterable[Item], clusters: Sequence[Item]) -> Table:
    """Rows are clusters (in the order given), or environments when there are many; columns are applications."""
    units = list(units)
    applications = sorted({unit["application"] for unit in units})
    if len(clusters) <= MOST_CLUSTERS:
        return _by_cluster(units, clusters, applications)
    return _by_environment(units, clusters, applications)


def _by_cluster(units: list[Item], clusters: Sequence[Item], applications: list[str]) -> Table:
    state = {(unit["cluster"], unit["application"]): unit["state"] for unit in units}
    rows = [
        (cluster["name"], *(state.get((cluster["name"], application), "·") for application in applications))
        for cluster in clusters
    ]
    return Table(("CLUSTER", *applications), rows, "no clusters yet")


def _by_environment(units: list[Item], clusters: Sequence[Item], applications: list[str]) -> Table:
    sizes = Counter(cluster.get("environment") or "(none)" for cluster in clusters)
    states: dict[tuple[str, str], Counter[str]] = {}
    for unit in units:
        key = (unit.get("environment") or "(none)", unit["application"])
        states.setdefault(key, Counter())[unit["state"]] += 1
    rows = [
        (
            environment,
            str(size),
            *(_share(states.get((environment, application), Counter())) for application in applications),
        )
        for environment, size in sizes.items()
    ]
    return Table(("ENVIRONMENT", "CLUSTERS", *applications), rows)


def _share(states: Counter[str]) -> str:
    """The worst state first, so that it gives the cell its colour."""
    if not states:
        return "·"
    return ", ".join(f"{state} {states[state]}" for state in WORST_FIRST if states[state])


def order_clusters(clusters: Iterable[Item], environments: Iterable[Item]) -> list[Item]:
    """Clusters in the order of promotion, then by name; those of no environment last."""
    rank = {environment["name"]: place for place, environment in enumerate(environments)}
    return sorted(clusters, key=lambda c: (rank.get(c.get("environment") or "", len(rank)), c["name"]))


def headline(summary: Item) -> str:
    """One line on the whole fleet."""
    clusters = summary["clusters"]
    stale = f" ({clusters['stale']} stale)" if clusters.get("stale") else ""
    states = {name: number for name, number in summary["units"].items() if name in WORST_FIRST}
    parts = [
        f"commit {short(_sha(summary.get('commit'))) or 'none yet'}",
        f"{counted(clusters['total'], 'cluster')}{stale}",
        counted(summary["applications"], "application"),
        counted(summary["units"]["total"], "unit") + (f": {by_state(states)}" if any(states.values()) else ""),
    ]
    said = summary.get("problems") or {}
    problems = [counted(said[severity], severity) for severity in ("error", "warning") if said.get(severity)]
    if problems:
        parts.append(f"{', '.join(problems)}: yardarm get problems")
    return " · ".join(parts)


def _sha(commit: Any) -> str:
    return str(commit.get("sha", "")) if isinstance(commit, dict) else str(commit or "")


def units_table(units: Iterable[Item], now: float) -> Table:
    """One line per unit: state, since when, revision and reason."""
    rows = [
        (
            unit["cluster"],
            unit["namespace"],
            unit["application"],
            unit["state"],
            age(now - unit["since"]) if unit.get("since") else "",
            _revision(unit),
            unit.get("reason") or "",
        )
        for unit in units
    ]
    columns = ("CLUSTER", "NAMESPACE", "APPLICATION", "STATE", "SINCE", "COMMIT", "REASON")
    return Table(columns, rows, "no units")


def _revision(unit: Item) -> str:
    """The commit a unit has, and the one it should have where they differ."""
    want, have = (unit.get(side) or {} for side in ("want", "have"))
    if not have.get("commit"):
        return f"- → {short(want.get('commit'))}"
    if have.get("digest") == want.get("digest"):
        return short(want.get("commit"))
    return f"{short(have['commit'])} → {short(want.get('commit'))}"


def in_trouble(units: Iterable[Item]) -> list[Item]:
    """The units that need somebody, worst first."""
    rank = {state: place for place, state in enumerate(WORST_FIRST)}
    found = [unit for unit in units if unit["state"] in TROUBLE]
    return sorted(found, key=lambda unit: (rank[unit["state"]], unit["cluster"], unit["application"]))
