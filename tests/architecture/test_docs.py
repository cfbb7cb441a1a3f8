"""Documentation that can be checked is checked: settings, metrics, commands, paths, links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hub.metrics import Metrics
from hub.settings import (
    ApiToken,
    ChartAccess,
    CheckAccess,
    GrantSettings,
    GroupSettings,
    HubSettings,
    RepositoryAccess,
    SignaturePolicy,
    StatusAccess,
)
from hub.view import View
from tests.architecture.test_deploy import hub_variables, options

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs/CONFIGURATION.md").read_text()
ARCHITECTURE = (ROOT / "docs/ARCHITECTURE.md").read_text()
PAGES = {"README.md": README, "docs/CONFIGURATION.md": CONFIGURATION, "docs/ARCHITECTURE.md": ARCHITECTURE}


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading: first cell to the others."""
    section = CONFIGURATION.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0].startswith("`"):
            found[cells[0].strip("`")] = cells[1:]
    return found


def settings(model: type = HubSettings, prefix: str = "") -> dict[str, str]:
    found = {}
    for name, field in model.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        if inner:
            found |= settings(field.annotation, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = f"YARDARM_{f'{prefix}{name}'.replace('.', '__').upper()}"
    return found


def test_every_setting_of_the_hub_is_documented_and_no_other():
    documented = rows("Hub")
    entries = {
        "git.access.<host>": RepositoryAccess,
        "git.signatures.<host>": SignaturePolicy,
        "git.statuses.<host>": StatusAccess,
        "charts.access.<host>": ChartAccess,
        "tokens.<n>": ApiToken,
        "tokens.<n>.grants.<n>": GrantSettings,
        "login.groups.<name>": GroupSettings,
        "checks.access.<host>": CheckAccess,
    }
    inside = {f"{name}.{field}" for name, model in entries.items() for field in model.model_fields}

    assert documented.keys() == settings().keys() | inside
    for name, variable in settings().items():
        assert documented[name][0] == f"`{variable}`"
        assert documented[name][2]


@pytest.mark.parametrize(("heading", "parser"), [("Agent", "_agent_parser"), ("Sandbox", "_sandbox_parser")])
def test_every_option_of_the_agent_is_documented_and_no_other(heading, parser):
    assert {name: cells[0].strip("`") for name, cells in rows(heading).items()} == options(parser)


def test_every_metric_is_documented_and_no_other():
    families = Metrics(View(), "test").registry.collect()
    expected = {family.name + ("_total" if family.type == "counter" else "") for family in families}

    assert rows("Metrics").keys() == expected


@pytest.mark.parametrize("page", PAGES)
def test_variables_in_the_documentation_exist(page):
    known = hub_variables() | set(options("_agent_parser").values()) | set(options("_sandbox_parser").values())

    assert set(re.findall(r"\bYARDARM_[A-Z_]+\b", PAGES[page])) <= known | {"YARDARM_HUB"}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_somewhere(page):
    folder = (ROOT / page).parent
    text = PAGES[page]
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (folder / link).exists(), link
    for path in re.findall(r"`((?:hub|agent|shared|deploy|docs|tests)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


def test_commands_in_the_readme_exist():
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) - {"help"} <= known

    for command in sorted(set(re.findall(r"`yardarm ((?:get |keys )?[a-z]+)", README + ARCHITECTURE)) - {"confirm"}):
        words = command.split()
        if words == ["hub"]:
            continue
        result = subprocess.run(
            [sys.executable, "-m", "hub", *words, "--help"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert result.returncode == 0, command


def test_the_layers_are_those_of_the_import_contracts():
    contracts = re.findall(r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)

    for name in contracts:
        if name != "yardarm":
            assert name in ARCHITECTURE, name
