"""`.helmignore`, by Helm's rules."""

from __future__ import annotations

import pytest

from hub.render.helm.ignoring import Ignored
from shared.errors import DocumentError


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        ("*.md", "README.md", True),
        ("*.md", "docs/README.md", True),
        ("/*.md", "docs/README.md", False),
        ("/*.md", "README.md", True),
        ("docs/*.md", "docs/README.md", True),
        ("docs/*.md", "docs/a/README.md", False),
        ("# *.md", "README.md", False),
        ("  *.md  ", "README.md", True),
        ("[ab].txt", "a.txt", True),
        ("[^ab].txt", "a.txt", False),
        ("[^ab].txt", "c.txt", True),
        ("?.txt", "ab.txt", False),
        (r"\*.txt", "a.txt", False),
        (r"\*.txt", "*.txt", True),
        ("a.b", "axb", False),
        ("docs/", "docs", False),
        ("", "templates/.hidden", True),
        ("", "templates/_helpers.tpl", False),
        ("!templates/*", "templates/a.yaml", False),
        ("!templates/*", "README.md", True),
    ],
)
def test_files(rules, path, ignored):
    assert Ignored(rules).ignores(path, directory=False) == ignored


def test_directories():
    rules = Ignored("docs/\n.git\n")
    assert rules.ignores("docs", directory=True)
    assert rules.ignores("a/docs", directory=True)
    assert rules.ignores(".git", directory=True)
    assert not rules.ignores("src", directory=True)


@pytest.mark.parametrize(
    ("rules", "said"), [("a/**/b", r"\*\* is not"), ("[a", "without its ]"), ("[z-a]", "cannot be read")]
)
def test_what_helm_would_not_take_is_said_with_its_line(rules, said):
    with pytest.raises(DocumentError, match=rf"apps/x/\.helmignore:2: .*{said}"):
        Ignored(f"ok\n{rules}", "apps/x/.helmignore")
