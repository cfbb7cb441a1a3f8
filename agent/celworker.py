"""Answers questions in CEL about objects, in a process of its own: `agent.evaluator` starts and ends it.

    python -m agent.celworker SECONDS

Standard input has one question a line, `{"expressions": [...], "about": {...}}`; standard output one line of answers
for each, `[{"holds": true}, …]`. A question may cost at most SECONDS of processor time and `MEMORY` bytes, then the
process is gone: what an expression from a repository can do is not for its author's word.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from shared import expressions
from shared.expressions import ExpressionError, MissingField

MEMORY = 32 * 1024 * 1024
"""Bytes of address space beyond what the process has when it is ready."""


def main() -> int:
    """Answers until standard input ends."""
    seconds = float(sys.argv[1])
    # The library sets itself up (a tenth of a second) before the first question, at nobody's expense.
    expressions.problem("object == null")
    _limit_memory()
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # what its signal does, unhandled, is to end the process
        question = orjson.loads(line)
        answers = [_answer(each, question["about"]) for each in question["expressions"]]
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.buffer.write(orjson.dumps(answers, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    return 0


def _answer(expression: str, about: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"holds": expressions.holds(expression, about)}
    except MissingField as error:
        return {"missing": str(error)}
    except ExpressionError as error:
        return {"wrong": str(error)}


def _limit_memory() -> None:
    with contextlib.suppress(OSError, ValueError):  # only Linux has these files, and keeps to the limit
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        # Where memory is short, this process goes rather than the agent.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
