"""The diagram in the documentation is the one that the tables of the state machine make, and Mermaid can draw it."""

import re
from pathlib import Path

from hub.domain.rollout import MOVES, STAGE_MOVES, diagram
from hub.domain.runs import ENDS, Phase, StagePhase

PAGE = Path(__file__).parents[3] / "docs" / "ROLLOUTS.md"

STATE = r"(?:\[\*\]|[A-Za-z.]+)"
LINE = re.compile(rf"(?:{STATE} --> {STATE}(?:: [^:;\n]+)?|state [A-Za-z]+ \{{|\}})")
"""What of Mermaid's state diagrams is used: a transition with a text free of colons and semicolons, and a composite."""


def test_the_documentation_shows_the_machine_as_it_is():
    (shown,) = re.findall(r"```mermaid\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    assert shown == diagram()


def test_the_diagram_is_mermaid():
    first, *lines = diagram().splitlines()

    assert first == "stateDiagram-v2"
    for line in lines:
        assert LINE.fullmatch(line.strip()), line
    assert sum(line.endswith("{") for line in lines) == sum(line.strip() == "}" for line in lines) == 1


def test_every_phase_can_be_reached_and_left_unless_it_is_an_end():
    for phases, moves, first, ends in (
        (Phase, MOVES, Phase.PROGRESSING, ENDS),
        (StagePhase, STAGE_MOVES, StagePhase.PENDING, {StagePhase.DONE}),
    ):
        reached = {first}
        for _ in phases:
            reached |= {after for before, after, _ in moves if before in reached}
        assert reached == set(phases)
        assert {before for before, _, _ in moves} >= set(phases) - ends
