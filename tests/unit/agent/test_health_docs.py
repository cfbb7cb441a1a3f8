"""docs/HEALTH.md tells of every rule, and of every state a fixture shows that a rule can give."""

import re
from pathlib import Path

import pytest
import yaml

from agent.domain.health import GROUPS, RULES
from agent.domain.health.fields import group_kind

ROOT = Path(__file__).parents[3]
FIXTURES = sorted((ROOT / "tests" / "data" / "health").glob("*.yaml"))


def rows():
    """The cells of the table of rules, by kind (`*.group` for groups, `` for everything else)."""
    text = (ROOT / "docs" / "HEALTH.md").read_text().partition("\n## Rules\n")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith(("| `", "| everything else")):
            states = dict(zip(("Healthy", "Progressing", "Degraded", "Suspended"), cells[1:], strict=True))
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]) or [""], states))
    return found


ROWS = rows()


def test_the_table_has_exactly_the_rules_there_are():
    assert set(ROWS) == {*RULES, *(f"*.{group}" for group in GROUPS), ""}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_the_table_knows_each_state_that_is_shown(path):
    case = yaml.safe_load(path.read_text())
    kind, expected = group_kind(case["object"]), case["expect"]
    general = ("deletionTimestamp" in case["object"]["metadata"], "has not seen" in expected["reason"])
    group = kind.partition(".")[2]
    shared = next((f"*.{name}" for name in GROUPS if group == name or group.endswith(f".{name}")), "")

    row = ROWS.get(kind, ROWS[shared])

    assert any(general) or row[expected["health"]] != "-"
