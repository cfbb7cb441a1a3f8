"""What differs between commits, and what has to be worked out again because of it: compared with Git's own word."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.sources.changes import changes
from hub.sources.content import content_key
from hub.sources.interest import Interest
from hub.sources.kept import PATIENCE, Kept
from hub.sources.objects import TREE, Entry, Objects
from hub.sources.tree import GitTree
from shared.errors import DocumentError
from tests.fakes.gitrepo import ENVIRONMENT, GitRepo

NAMES = st.sampled_from(["a", "b", "ü"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
EDITS = st.lists(
    st.tuples(PATHS, st.sampled_from(["one", "two", None, "-> a", "-> ../b", "-> a/b"])),
    min_size=1,
    max_size=6,
)


@contextlib.contextmanager
def repository() -> Iterator[GitRepo]:
    with tempfile.TemporaryDirectory() as folder:
        yield GitRepo(Path(folder) / "repo")


def apply(repo: GitRepo, edits: list[tuple[str, str | None]]) -> str:
    """Puts files, links and directories in one another's place, as people do."""
    for path, content in edits:
        target = repo.path / path
        for above in reversed(target.relative_to(repo.path).parents[:-1]):
            if (place := repo.path / above).is_symlink() or place.is_file():
                place.unlink()
        if target.is_symlink() or target.exists():
            repo.remove(path)
        if content is None:
            continue
        if content.startswith("-> "):
            repo.symlink(path, content[3:])
        else:
            repo.write(path, content)
    return repo.commit()


def opened(repo: GitRepo) -> Objects:
    return Objects(repo.path / ".git")


def told(objects: Objects, old: str, new: str) -> set[str]:
    before, after = (Entry("", objects.tree_of(commit), TREE) for commit in (old, new))
    return {change.path for change in changes(objects, before, after)}


@settings(max_examples=15, deadline=None)
@given(EDITS, EDITS)
def test_changes_are_those_that_git_names(first, second):
    with repository() as repo:
        old, new = apply(repo, first), apply(repo, second)
        names = repo.git("diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new).split("\0")
        assert told(opened(repo), old, new) == set(names) - {""}


@settings(max_examples=15, deadline=None)
@given(st.lists(EDITS, min_size=2, max_size=4))
def test_what_is_kept_is_what_would_be_worked_out_anew(commits):
    paths = ["", "a", "a/b", "b", "a/ü/b"]

    def look(tree: GitTree, path: str) -> tuple[object, ...]:
        try:
            required = tree.require(path)
        except DocumentError as error:
            required = str(error)
        try:
            content: bytes | str = tree.read(path)
        except DocumentError as error:
            content = str(error)
        return required, tree.kind(path), tree.id(path), tree.names(path), content

    with repository() as repo:
        kept: Kept[tuple[object, ...]] = Kept()
        for edits in commits:
            sha = apply(repo, edits)
            objects = opened(repo)
            kept.move(objects, sha)
            for path in paths:
                anew = look(GitTree(objects, sha), path)
                assert kept.get(objects, path, lambda tree, path=path: look(tree, path)) == anew


def test_only_what_looked_at_a_change_is_forgotten(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    for number in range(300):
        repo.write(f"apps/{number}/cm.yaml", f"number: {number}\n")
    repo.write("base/shared.yaml", "x: 1\n")
    repo.symlink("apps/7/shared.yaml", "../../base/shared.yaml")
    sha, kept = repo.commit(), Kept[str]()
    kept.move(opened(repo), sha)
    for number in range(300):
        kept.get(opened(repo), number, lambda tree, number=number: tree.require(f"apps/{number}"))

    repo.write("README.md", "words")
    assert kept.move(opened(repo), repo.commit()) == frozenset()
    repo.write("apps/3/cm.yaml", "number: three\n")
    assert kept.move(opened(repo), repo.commit()) == {3}
    repo.write("base/shared.yaml", "x: 2\n")
    sha = repo.commit()
    assert kept.move(opened(repo), sha) == {7}
    assert kept.get(opened(repo), 7, lambda tree: tree.require("apps/7")) == content_key(opened(repo), sha, "apps/7")
    assert len(kept) == 299


def test_what_nobody_asks_for_any_more_is_forgotten(tmp_path):
    repo, kept = GitRepo(tmp_path / "repo"), Kept[str]()
    for number in range(2 * PATIENCE):
        repo.write("a", f"{number}")
        kept.move(opened(repo), repo.commit())
        kept.get(opened(repo), "asked", lambda tree: tree.id("b"))
        if number == 0:
            kept.get(opened(repo), "once", lambda tree: tree.id("c"))
    assert len(kept) == 1


def test_a_repository_that_was_replaced_keeps_nothing(tmp_path):
    one, other = GitRepo(tmp_path / "one"), GitRepo(tmp_path / "other")
    one.write("a", "one")
    other.write("a", "other")
    kept: Kept[bytes] = Kept()
    kept.move(opened(one), one.commit())
    kept.get(opened(one), "key", lambda tree: tree.read("a"))

    assert kept.move(opened(other), other.commit()) == {"key"}
    assert kept.get(opened(other), "key", lambda tree: tree.read("a")) == b"other"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"100644 a", "is malformed"), (b"x a\0" + bytes(20), "is malformed"), (b"40000 a\0short", "is malformed")],
)
def test_a_tree_that_is_none_is_an_error_that_says_so(tmp_path, data, complaint):
    repo = GitRepo(tmp_path / "repo")
    command = ["git", "hash-object", "-w", "--literally", "-t", "tree", "--stdin"]
    tree = subprocess.run(command, cwd=repo.path, input=data, capture_output=True, check=True, env=ENVIRONMENT)
    with pytest.raises(DocumentError, match=complaint):
        list(changes(opened(repo), None, Entry("", tree.stdout.decode().strip(), TREE)))


@given(st.dictionaries(st.integers(0, 5), st.sets(PATHS)), PATHS)
def test_those_are_concerned_who_looked_there_or_above_or_below(looked, changed):
    interest: Interest[int] = Interest()
    for who, paths in looked.items():
        interest.put(who, {"a/b/ü"})
        interest.put(who, paths)

    def meets(path):
        return f"{changed}/".startswith(f"{path}/") or path.startswith(f"{changed}/")

    assert interest.concerned([changed]) == {who for who, paths in looked.items() if any(map(meets, paths))}
    for who in looked:
        interest.drop(who)
    assert interest.concerned([changed]) == set()
