"""A repository as a tree of files: links inside count, links outside do not exist."""

import pytest

from hub.sources.access import Limits
from hub.sources.objects import Objects
from hub.sources.tree import GitTree
from shared.errors import DocumentError
from tests.fakes.gitrepo import GitRepo


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.write("base/a.yaml", "a: 1")
    repo.write("apps/web/b.yaml", "b: 1")
    repo.symlink("apps/web/base", "../../base")
    repo.symlink("apps/web/out", "../../../etc/passwd")
    repo.symlink("apps/circle", "circle")
    return repo


def tree(repo, **limits):
    sha = repo.commit("change")
    return GitTree(Objects(repo.path, Limits(**limits)), sha)


def test_links_are_followed_inside_the_repository_only(repo):
    files = tree(repo)

    assert files.kind("apps/web/base") == "directory"
    assert files.read("apps/web/base/a.yaml") == b"a: 1"
    assert files.kind("apps/web/base/../base/a.yaml") == "file"
    assert files.kind("apps/web/out") == files.kind("apps/circle") == files.kind("nowhere") == ""
    with pytest.raises(DocumentError, match="out of the repository"):
        files.read("apps/web/out")
    assert files.real("apps/web/base/a.yaml") == "base/a.yaml"
    assert files.real("nowhere") == "nowhere"
    assert files.names("apps/web") == ("b.yaml", "base", "out")
    assert files.names("") == ("apps", "base")


def test_an_id_changes_with_what_is_there_and_with_what_links_lead_to(repo):
    before = tree(repo)
    ids = {path: before.id(path) for path in ("apps/web", "apps/web/b.yaml", "base", "")}
    repo.write("base/a.yaml", "a: 2")
    after = tree(repo)

    assert after.id("apps/web/b.yaml") == ids["apps/web/b.yaml"]
    assert all(after.id(path) != ids[path] for path in ("apps/web", "base", ""))
    assert after.id("nowhere") == ""


def test_what_is_no_file_or_too_large_says_so(repo):
    files = tree(repo, file_bytes=3)

    with pytest.raises(DocumentError, match="is a directory"):
        files.read("base")
    with pytest.raises(DocumentError, match="more than"):
        files.read("base/a.yaml")
