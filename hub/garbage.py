"""When Python looks for garbage in circles.

It goes through everything that is alive, and all else waits meanwhile: a second and more for a fleet of thousands of
applications, and again whenever a quarter has been added. A hub keeps what it knows for as long as it runs, and makes
few circles that live long. So what is young is looked through as always, and everything once an hour.
"""

from __future__ import annotations

import gc

from shared.tasks import Clock

YOUNG = 5_000
"""Objects made, less those that went, until the youngest are looked through. Python's own is 700."""
MIDDLE = 10
NEVER = 1_000_000_000
INTERVAL = 3600.0


async def collect_seldom(clock: Clock) -> None:
    """Until cancelled. It is a matter of the whole process."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    try:
        while True:
            await clock.sleep(INTERVAL)
            gc.collect()
    finally:
        gc.set_threshold(*before)
