"""`make bench`: every figure beside its floor, both measured in this run on this machine.

python -m tests.bench [--only NAME,NAME] [--json FILE]

A floor is the least that the same work can cost here: the same bytes over bare NATS, the same requests from a bare loop.
Ratios carry over to other machines, absolute numbers do not. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Figure

BENCHES = (
    *("imports", "agent", "agent_scale", "agent_writes", "fanout", "untouched", "monorepo", "drift"),
    *("renders", "variants", "restart", "reports", "pages", "tokens"),
    *("decide", "rollouts"),
)
ON_REQUEST = ("monorepo_large", "rollouts_many")
"""These take minutes each, and run only when they are named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", help=f"comma-separated: {', '.join((*BENCHES, *ON_REQUEST))}", default=",".join(BENCHES)
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(",")]
    unknown = set(names) - {*BENCHES, *ON_REQUEST}
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    for name in names:
        print(f"… {name}", file=sys.stderr, flush=True)
        figures += asyncio.run(importlib.import_module(f"tests.bench.bench_{name}").measure())
    show(figures)
    if options.json:
        options.json.write_text(json.dumps([figure.as_dict() for figure in figures], indent=1))
    return 0 if all(figure.good for figure in figures) else 1


def show(figures: list[Figure]) -> None:
    table = Table("what", "measured", "floor", "ratio", "goal", "")
    for figure in figures:
        table.add_row(*figure.row())
    Console(width=150 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    sys.exit(main())
