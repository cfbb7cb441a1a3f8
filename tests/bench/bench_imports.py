"""What the agent costs before it has done anything: its imports, each step in a fresh process."""

from __future__ import annotations

import subprocess
import sys

from tests.bench.figures import Figure

STEPS = {
    "bare Python": "",
    "asyncio": "import asyncio",
    "nats-py and aiohttp": "import nats, aiohttp",
    "the agent": "import agent.__main__, agent.loop, agent.kube.client, agent.cache",
    "the agent, with kubernetes.aio.config": "import agent.__main__, agent.loop, kubernetes.aio.config",
}
PROGRAM = """
{imports}
print([int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmRSS')][0] / 1024)
"""


async def measure() -> list[Figure]:
    figures, floor = [], None
    for name, imports in STEPS.items():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(imports=imports)], capture_output=True, text=True, check=True
        )
        value = float(done.stdout)
        floor = floor or value
        figures.append(Figure(f"resident after importing {name}", value, "MB", floor))
    return figures
