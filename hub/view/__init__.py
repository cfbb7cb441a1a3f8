"""The read model: the fleet as the API, the metrics and the rollouts see it, in memory, rebuilt at every start.

It is fed with what is stored elsewhere (assignments, reports, heartbeats, events, the planning loop's results) and
holds nothing that could not be fed again; it decides nothing and writes nothing.
"""

from hub.view.core import View
from hub.view.index import UnitFilter

__all__ = ["UnitFilter", "View"]
