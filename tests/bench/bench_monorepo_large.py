"""One repository of 10,000 applications in 100,000 files, all of them on one cluster: what `monorepo` measures, further up.

It takes minutes, most of them to write the repository, and so runs only when it is asked for.
"""

from __future__ import annotations

from hub.roots import LIST_BYTES
from tests.bench.bench_monorepo import FILES, LATE_LIMIT, LOAD_LIMIT, measured
from tests.bench.figures import Figure, percentile

SIZE = 10_000


async def measure() -> list[Figure]:
    """Raises RuntimeError when some application is not published, or not on the cluster's list."""
    found = await measured(SIZE, clusters=1)
    return [
        Figure(f"first load of {SIZE} applications in {SIZE * FILES} files, published to one cluster", found.load, "s",
               found.floor, ratio_limit=LOAD_LIMIT, note=f"with the hub's start; the hub then has {found.memory:.0f} MB resident"),
        Figure(f"commit that touches one of {SIZE} applications, median", percentile(found.one, 0.5) * 1000, "ms",
               percentile(found.fetch, 0.5) * 1000, note="the floor is a bare `git fetch` of that commit"),
        Figure("the same until nothing is left to do, the list of units included", percentile(found.all_done, 0.5) * 1000, "ms",
               percentile(found.fetch, 0.5) * 1000),
        Figure(f"the list of {SIZE} units as it travels", found.lists / 1000, "kB", limit=LIST_BYTES / 1000),
        Figure(f"event loop at the first load of {SIZE}: a 10 ms timer is late by, p99", found.load_late[0] * 1000, "ms",
               found.load_idle * 1000, limit=LATE_LIMIT, note=f"at most {found.load_late[1] * 1000:.0f} ms; the floor is a loop with nothing to do"),
        Figure(f"event loop while commits touch one of {SIZE}: late by, p99", found.late[0] * 1000, "ms",
               found.idle * 1000, limit=LATE_LIMIT, note=f"at most {found.late[1] * 1000:.0f} ms"),
    ]  # fmt: skip
