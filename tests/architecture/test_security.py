"""The threat model names code and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "docs/SECURITY.md").read_text()
HEADINGS = ["threat", "defence", "where", "test"]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def threats() -> list[list[str]]:
    """(threat, defence, where, tests) of every row under a heading of those names."""
    found, inside = [], False
    for line in SECURITY.splitlines():
        if not line.startswith("|"):
            inside = False
        elif cells(line) == HEADINGS:
            inside = True
        elif inside and not set(line) <= set("|- "):
            found.append(cells(line))
    return found


THREATS = threats()


def test_there_is_a_threat_model():
    assert len(THREATS) > 30


@pytest.mark.parametrize("row", THREATS, ids=[row[0][:60] for row in THREATS])
def test_every_threat_has_a_defence_in_the_code_and_a_test(row):
    assert len(row) == len(HEADINGS), row
    _, defence, where, tests = row
    assert defence
    places = re.findall(r"`([^`]+)`", where)
    named = re.findall(r"`(tests/[^`:]+\.py)::(test_\w+)`", tests)

    assert places
    assert named
    assert tests.count("`") == 2 * len(named), "a test is named like `tests/folder/test_file.py::test_name`"
    for place in places:
        assert (ROOT / place).exists(), place
    for file, test in named:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), flags=re.MULTILINE), f"{file}::{test}"


def test_every_attack_of_the_suite_is_in_the_threat_model():
    attacks = {
        test
        for file in (ROOT / "tests/integration").glob("test_attacks_*.py")
        for test in re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(), flags=re.MULTILINE)
    }
    assert attacks - set(re.findall(r"::(test_\w+)", SECURITY)) == NO_ATTACKS


NO_ATTACKS = {
    "test_a_connection_is_good_for_several_requests_that_come_in_time",
    "test_what_is_honest_is_published_all_the_same",
    "test_a_field_that_this_build_does_not_know_is_under_the_signature_too",
}
"""What else those files look at: that the honest are not kept out, and details of a row."""
