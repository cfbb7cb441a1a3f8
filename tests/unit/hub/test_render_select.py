"""Which files are manifests."""

from __future__ import annotations

import pytest

from hub.render.job import Selection
from hub.render.select import is_selected


@pytest.mark.parametrize(
    ("path", "selection", "selected"),
    [
        ("a.yaml", Selection(), True),
        ("d/e/a.yml", Selection(), True),
        ("a.json", Selection(), True),
        ("README.md", Selection(), False),
        (".hidden.yaml", Selection(), False),
        (".github/workflows/ci.yaml", Selection(), False),
        ("d/.x/a.yaml", Selection(), False),
        ("d/a.yaml", Selection(recurse=False), False),
        ("d/a.yaml", Selection(include=("d",)), True),
        ("d/a.yaml", Selection(include=("d/",)), True),
        ("e/a.yaml", Selection(include=("d/*.yaml",)), False),
        ("d/a.yaml", Selection(include=("*.yaml",)), True),
        ("d/a.yaml", Selection(include=("./*.yaml",)), True),
        ("d/e/a.yaml", Selection(include=("d/*.yaml",)), False),
        ("d/e/a.yaml", Selection(include=("d/**/*.yaml",)), True),
        ("d/a.yaml", Selection(include=("d/**/*.yaml",)), True),
        ("d/e/f/a.yaml", Selection(include=("d/**",)), True),
        ("a.yaml", Selection(include=("**/*.yaml",)), True),
        (".x/a.yaml", Selection(include=("**/*.yaml",)), False),
        (".x/a.yaml", Selection(include=(".x/*.yaml",)), True),
        ("a.txt", Selection(include=("a.txt",)), False),
        ("d/values.yaml", Selection(exclude=("values.yaml",)), False),
        ("values.yaml", Selection(exclude=("d/values.yaml",)), True),
        ("d/e/a.yaml", Selection(exclude=("d",)), False),
        ("d/e/a.yaml", Selection(exclude=("e",)), False),
        ("ab.yaml", Selection(exclude=("a?.yaml",)), False),
        ("abc.yaml", Selection(exclude=("a?.yaml",)), True),
        ("a+b.yaml", Selection(exclude=("a.b.yaml",)), True),
        ("kustomization.yaml", Selection(include=("d",)), True),
        ("d/Chart.yaml", Selection(exclude=("d",)), False),
    ],
)
def test_selection_by_name(path, selection, selected):
    assert is_selected(path, selection) is selected
