"""The agent's own command, with the address and the folder that a pod would have given to it.

python -m tests.bench.child_incluster SERVER SERVICE_ACCOUNT_FOLDER AGENT_OPTIONS…
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.__main__ import main
from agent.kube import access

if __name__ == "__main__":
    server, folder, *options = sys.argv[1:]
    in_cluster = access.InCluster(server, Path(folder))
    access.Access.in_cluster = staticmethod(lambda: in_cluster)  # type: ignore[method-assign,assignment]
    sys.exit(main(options))
