"""What patterns mean in a tree of files: the same in Git and on disk, and no more work than what changed."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.cli.worktree import Worktree
from hub.domain.patterns import exact, loose
from hub.sources.objects import Objects
from hub.sources.tree import GitTree
from tests.fakes.gitrepo import GitRepo


@pytest.mark.parametrize(
    ("pattern", "path", "means"),
    [
        ("apps/*", "apps/web", True),
        ("apps/*", "apps/web/base", False),
        ("apps/*", "apps/.git", False),
        ("apps/.*", "apps/.git", True),
        ("apps/**", "apps/web/base", True),
        ("apps/**", "apps", False),
        ("**/prod", "prod", True),
        ("**/prod", "apps/web/prod", True),
        ("**/prod", "apps/.web/prod", False),
        ("apps/**/prod", "apps/prod", True),
        ("a?ps", "apps", True),
        ("a.ps", "apps", False),
    ],
)
def test_an_exact_pattern_means_whole_paths(pattern, path, means):
    assert bool(exact(pattern).match(path)) is means


def test_an_exclusion_means_what_it_names_and_all_below():
    assert loose("apps/legacy").match("apps/legacy/deep/down")
    assert loose("legacy").match("apps/legacy")
    assert not loose("/apps/leg").match("apps/legacy")


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    for name in ("web", "api"):
        repo.write(f"apps/{name}/app.yaml", f"name: {name}")
        repo.write(f"apps/{name}/deep/er/x.yaml", "x: 1")
    repo.write("apps/README.md", "words")
    repo.write("apps/.hidden/app.yaml", "x: 1")
    repo.symlink("apps/link", "web")
    return repo


def tree(repo):
    return GitTree(Objects(repo.path), repo.commit())


def paths(found):
    return [path for path, _ in found]


def test_directories_and_files_by_pattern_without_following_links(repo):
    files = tree(repo)

    assert paths(files.glob("apps/*", files=False)) == ["apps/api", "apps/web"]
    assert paths(files.glob("apps/*", files=True)) == ["apps/README.md"]
    assert paths(files.glob("apps/*/app.yaml", files=True)) == ["apps/api/app.yaml", "apps/web/app.yaml"]
    assert paths(files.glob("apps/.hidden/*.yaml", files=True)) == ["apps/.hidden/app.yaml"]
    assert paths(files.glob("**/er", files=False)) == ["apps/api/deep/er", "apps/web/deep/er"]
    assert files.glob("nothing/*", files=False) == files.glob("apps/README.md/*", files=True) == ()


def test_ids_name_the_content(repo):
    before = dict(tree(repo).glob("apps/*/app.yaml", files=True))
    repo.write("apps/web/app.yaml", "name: other")
    after = dict(tree(repo).glob("apps/*/app.yaml", files=True))

    assert {path for path in after if after[path] != before[path]} == {"apps/web/app.yaml"}


def test_a_commit_costs_the_trees_on_the_way_to_what_it_touched(repo, monkeypatch):
    objects = Objects(repo.path)
    GitTree(objects, repo.commit()).glob("apps/*/app.yaml", files=True)
    repo.write("apps/web/app.yaml", "name: other")
    sha, read, entries = repo.commit(), [], objects.entries
    monkeypatch.setattr(objects, "entries", lambda tree: read.append(tree) or entries(tree))

    GitTree(objects, sha).glob("apps/*/app.yaml", files=True)

    assert len(read) == 3  # the root, apps, apps/web


NAMES = st.sampled_from(["a", "b", "ab", ".h", "ü"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
STEPS = st.sampled_from(["*", "**", "a", "a*", "?", ".h", "*b"])
PATTERNS = st.lists(STEPS, min_size=1, max_size=4).map("/".join)


@settings(max_examples=20, deadline=None)
@given(st.sets(PATHS, max_size=8), st.lists(PATTERNS, min_size=1, max_size=6))
def test_git_and_disk_agree_with_the_pattern(files, patterns):
    files = {path for path in files if not any(other.startswith(f"{path}/") for other in files)}
    above = {parent.as_posix() for path in files for parent in Path(path).parents} - {"."}
    with tempfile.TemporaryDirectory() as folder:
        repo = GitRepo(folder)
        for path in files:
            repo.write(path, path)
        git, disk = tree(repo), Worktree(Path(folder))
        for pattern in patterns:
            for kind, known in ((True, files), (False, above)):
                expected = sorted(path for path in known if exact(pattern).match(path))
                assert paths(git.glob(pattern, files=kind)) == expected
                assert paths(disk.glob(pattern, files=kind)) == expected
