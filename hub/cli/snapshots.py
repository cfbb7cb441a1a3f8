"""The fleet as a folder or a commit of its repository describes it, for commands without a hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hub.cli.supplies import unseen
from hub.cli.trouble import usage
from hub.cli.worktree import Worktree
from hub.domain.fleet import build_fleet, cluster_document, with_clusters
from hub.domain.items import lookups_of
from hub.domain.listing import listings_in
from hub.domain.preview.model import Side
from hub.importing.home import Home
from hub.importing.recognising import Question
from hub.previewing import Snapshot
from hub.sources.objects import Objects
from hub.sources.scan import FleetScanner
from hub.sources.tree import GitTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.cli.supplies import Offline
    from hub.domain.fleet import FleetModel
    from hub.domain.reading import Parsed
    from hub.domain.tree import Tree
    from shared.model import Problem

NO_CLUSTER = "any"
"""What the cluster is called that a fleet without any is looked at for."""


@dataclass(frozen=True)
class Folder:
    """A folder of a fleet repository; `cluster` is assumed where no document describes one."""

    path: Path
    cluster: str = ""

    def as_it_lies(self, offline: Offline) -> Snapshot:
        """What is on disk, committed or not."""
        tree = Worktree(self.path)
        model = self._model(offline, tree, tree.documents(), tree.root, tree.scope.as_posix())
        return self._snapshot(offline, Side("the files on disk"), tree, model)

    def at(self, offline: Offline, ref: str) -> Snapshot:
        """What a commit holds; `ref` is anything by which Git knows one (`main`, `HEAD~2`, `v1.4`)."""
        import pygit2

        found = pygit2.discover_repository(str(self.path.resolve()))
        if found is None:
            usage(f"{self.path} is in no Git repository: there is no {ref} to look at")
        repository = pygit2.Repository(found)
        try:
            commit = repository.revparse_single(ref).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            usage(f"the repository at {self.path} knows no commit {ref!r}")
        root = Path(repository.workdir or repository.path).resolve()
        scope = self.path.resolve().relative_to(root).as_posix() if repository.workdir else "."
        objects, sha = Objects(Path(found)), str(commit.id)
        scanned = FleetScanner().scan(objects, sha, scope)
        tree = GitTree(objects, sha)
        model = self._model(offline, tree, scanned.documents, root, scope)
        return self._snapshot(offline, Side(ref, sha, objects.commit(sha).subject), tree, model, scanned.problems)

    def _model(self, offline: Offline, tree: Tree, documents: Sequence[Parsed], root: Path, scope: str) -> FleetModel:
        """The fleet that documents describe; without any, the one that is recognised."""
        if documents:
            return build_fleet(documents, listings=listings_in(tree, lookups_of(documents)))
        found = offline.recognised(tree, question(root, scope))
        parsed = found.parsed()
        return build_fleet(parsed, listings=listings_in(tree, lookups_of(parsed)), notes=found.findings)

    def _snapshot(
        self, offline: Offline, side: Side, tree: Tree, model: FleetModel, problems: tuple[Problem, ...] = ()
    ) -> Snapshot:
        if not model.clusters and (self.cluster or model.applications):
            model = with_clusters(model, [cluster_document(self.cluster or NO_CLUSTER, {})])
        supplies = offline.supplies(tree)
        return Snapshot(side, model, supplies, supplies.prepare, unseen, problems)


def question(root: Path, scope: str) -> Question:
    """What is asked of the folder `scope` of a repository that has no fleet documents there."""
    return Question("" if scope == "." else scope, _home(root), root.name)


def _home(root: Path) -> Home:
    """The addresses that the repository in a folder is known by, and its branch."""
    import pygit2

    try:
        repository = pygit2.Repository(str(root))
    except pygit2.GitError:
        return Home()
    branch = "" if repository.head_is_unborn or repository.head_is_detached else repository.head.shorthand
    return Home(tuple(remote.url for remote in repository.remotes if remote.url), branch)
