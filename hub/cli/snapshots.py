"""The fleet as a folder or a commit of its repository describes it, for commands without a hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hub.cli.supplies import unseen
from hub.cli.trouble import usage
from hub.cli.worktree import Worktree
from hub.domain.fleet import build_fleet, cluster_document, implicit_fleet, with_clusters
from hub.domain.items import lookups_of
from hub.domain.listing import listings_in
from hub.domain.preview.model import Side
from hub.previewing import Snapshot
from hub.sources.objects import Objects
from hub.sources.scan import FleetScanner
from hub.sources.tree import GitTree

if TYPE_CHECKING:
    from hub.cli.supplies import Offline
    from hub.domain.fleet import FleetModel
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
        return self._snapshot(offline, Side("the files on disk"), tree, tree.fleet())

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
        listings = listings_in(tree, lookups_of(scanned.documents))
        model = (
            build_fleet(scanned.documents, listings=listings) if scanned.documents else implicit_fleet(scope, root.name)
        )
        side = Side(ref, sha, objects.commit(sha).subject)
        return self._snapshot(offline, side, tree, model, scanned.problems)

    def _snapshot(
        self, offline: Offline, side: Side, tree: Tree, model: FleetModel, problems: tuple[Problem, ...] = ()
    ) -> Snapshot:
        if not model.clusters and (self.cluster or model.applications):
            model = with_clusters(model, [cluster_document(self.cluster or NO_CLUSTER, {})])
        supplies = offline.supplies(tree)
        return Snapshot(side, model, supplies, supplies.prepare, unseen, problems)
