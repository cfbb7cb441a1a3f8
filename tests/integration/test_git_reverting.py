"""Branches that take a rejected change back: only what the application reads, and only where that is safe."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hub.domain.fleet import build_fleet
from hub.domain.reading import read_documents
from hub.reverting import Rejection, paths_of, revert
from hub.sources.mirror import Mirror
from hub.sources.writing import Author, Writer
from shared.errors import DocumentError
from shared.tasks import Clock
from tests.fakes.gitrepo import GitRepo

WRITER = Writer(Author("Yardarm", "yardarm@example.com"), Clock())
LINES = "".join(f"line {number}\n" for number in range(9))


class Remote:
    """A bare repository and the work tree that people push from."""

    def __init__(self, folder) -> None:
        self.people = GitRepo(folder / "work")
        self.served = GitRepo(folder / "served.git", bare=True)
        self.people.git("remote", "add", "origin", str(self.served.path))
        self.good = self.push("start", **{"apps/web/cm.yaml": LINES, "apps/api/cm.yaml": LINES, "base/b.yaml": LINES})

    def push(self, subject: str, **files: str) -> str:
        for path, content in files.items():
            self.people.write(path, content)
        sha = self.people.commit(subject)
        self.people.git("push", "--quiet", "origin", "main")
        return sha

    def shown(self, branch: str, path: str) -> str:
        return self.served.git("show", f"{branch}:{path}")

    def changed(self, branch: str) -> list[str]:
        return self.served.git("diff", "--name-only", "main", branch).splitlines()


@pytest.fixture
def remote(tmp_path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
async def mirror(remote, tmp_path) -> AsyncIterator[Mirror]:
    made = Mirror(str(remote.served.path), tmp_path / "mirror")
    with contextlib.closing(made):
        await made.fetch()
        yield made


def rejection(remote: Remote, commit: str, *paths: str) -> Rejection:
    return Rejection("web", commit, remote.good, paths or ("apps/web",), "3 clusters failed in canary", "r-17")


async def test_what_it_reads_goes_back_and_all_else_stays(remote, mirror):
    remote.push("web: more", **{"apps/web/cm.yaml": LINES + "more\n", "apps/api/cm.yaml": LINES + "more\n"})
    remote.push("api: only", **{"apps/api/other.yaml": "x\n"})
    bad = remote.push("web: broken", **{"apps/web/cm.yaml": LINES + "broken\n", "apps/web/new.yaml": "x\n"})
    remote.push("web: meanwhile", **{"apps/web/cm.yaml": "first\n" + LINES + "broken\n"})

    written = await revert(WRITER, mirror, rejection(remote, bad))

    assert (written.branch, written.pushed) == (f"yardarm/revert-web-{bad[:7]}", True)
    assert remote.changed(written.branch) == ["apps/web/cm.yaml", "apps/web/new.yaml"]
    assert remote.shown(written.branch, "apps/web/cm.yaml") == ("first\n" + LINES).strip()
    message = remote.served.git("log", "-1", "--format=%B", written.branch)
    assert message.startswith(
        f"revert web: {bad[:7]} web: broken\n\nIt was rolled back: 3 clusters failed in canary.\n"
    )
    assert "web: more" in message
    assert "api: only" not in message
    assert (
        remote.served.git("log", "-1", "--format=%(trailers:key=Yardarm-Rollout,valueonly)", written.branch) == "r-17"
    )

    assert await revert(WRITER, mirror, rejection(remote, bad)) == replace(written, pushed=False)


async def test_a_merge_is_taken_back_like_anything_else(remote, mirror):
    people = remote.people
    people.branch("feature")
    people.write("apps/web/cm.yaml", "broken\n")
    people.commit("web: broken")
    people.switch("main")
    people.write("README.md", "x\n")
    people.commit("readme")
    people.git("merge", "--quiet", "--no-ff", "-m", "merge feature", "feature")
    bad = remote.push("web: nothing else")

    written = await revert(WRITER, mirror, rejection(remote, bad))

    assert remote.changed(written.branch) == ["apps/web/cm.yaml"]
    assert remote.shown(written.branch, "apps/web/cm.yaml") == LINES.strip()


async def test_a_single_commit_to_a_base_is_taken_back_as_a_whole(remote, mirror):
    bad = remote.push("base: broken", **{"base/b.yaml": "broken\n"})
    assert remote.changed((await revert(WRITER, mirror, rejection(remote, bad))).branch) == ["base/b.yaml"]

    worse = remote.push("base: worse", **{"base/b.yaml": "worse\n"})
    with pytest.raises(DocumentError, match=r"no commit since the last completed one changes what it reads here"):
        await revert(WRITER, mirror, rejection(remote, worse))


async def test_what_was_changed_again_is_left_to_people(remote, mirror):
    bad = remote.push("web: broken", **{"apps/web/cm.yaml": LINES.replace("line 4", "broken")})
    remote.push("web: mended", **{"apps/web/cm.yaml": LINES.replace("line 4", "mended")})

    with pytest.raises(
        DocumentError, match=r"no branch that reverts .* for web: it was changed again.*apps/web/cm\.yaml"
    ):
        await revert(WRITER, mirror, rejection(remote, bad))
    assert remote.served.git("branch", "--list", "yardarm/*") == ""


async def test_what_people_have_taken_back_themselves_needs_no_branch(remote, mirror):
    bad = remote.push("web: broken", **{"apps/web/cm.yaml": "broken\n"})
    remote.people.git("revert", "--no-edit", "HEAD")
    remote.people.git("push", "--quiet", "origin", "main")
    assert not (await revert(WRITER, mirror, rejection(remote, bad))).pushed

    remote.people.git("reset", "--quiet", "--hard", remote.good)
    remote.people.git("push", "--quiet", "--force", "origin", "main")
    assert not (await revert(WRITER, mirror, rejection(remote, bad))).pushed
    assert remote.served.git("branch", "--list", "yardarm/*") == ""


async def test_a_first_rollout_has_nothing_to_go_back_to(remote, mirror):
    bad = remote.push("web: broken", **{"apps/web/cm.yaml": "broken\n"})
    for back_to in ("", bad, "f" * 40):
        with pytest.raises(DocumentError, match="no earlier commit of it to go back to"):
            await revert(WRITER, mirror, replace(rejection(remote, bad), back_to=back_to))


def test_the_paths_are_those_of_the_source_and_its_overrides():
    text = """\
apiVersion: yardarm.dev/v1alpha1
kind: Application
metadata: {name: web}
spec:
  source: {path: apps/web}
  sources: [{name: more, path: apps/more}, {repo: "https://git.example.com/other", path: elsewhere}]
  render: {helm: {valueFiles: [values.yaml, /values/all.yaml, $more/values.yaml]}}
  overrides: [{path: apps/web/overlays/prod}]
"""
    application = build_fleet(read_documents(text, file="web.yaml")).applications["web"]
    assert paths_of(application) == (
        "apps/more", "apps/web", "apps/web/overlays/prod", "values.yaml", "values/all.yaml",
    )  # fmt: skip
