"""The sample fleet repository: real files in a real Git repository that a person can edit and commit to.

It is written once; from then on the demo only reads it, like any other repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import pygit2
import yaml

from hub.demo.clusters import DemoCluster

BRANCH = "main"
_AUTHOR = ("Yardarm demo", "demo@yardarm.invalid")


def create(folder: Path, clusters: list[DemoCluster], now: float) -> str:
    """Makes the repository in `folder` and returns the id of its first commit; an existing one is left as it is."""
    if (folder / ".git").exists():
        return str(pygit2.Repository(str(folder)).head.target)
    repository = pygit2.init_repository(str(folder), initial_head=BRANCH)
    for path, content in _files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "fleet" / "clusters.yaml").write_text(_documents(clusters), encoding="utf-8")
    _name_author(repository)
    repository.index.add_all()
    repository.index.write()
    author = pygit2.Signature(*_AUTHOR, int(now), 0)
    tree = repository.index.write_tree()
    return str(repository.create_commit("HEAD", author, author, "fleet: a sample to play with\n", tree, []))


def _files() -> Iterator[tuple[str, bytes]]:
    pending: list[tuple[str, Traversable]] = [("", resources.files("hub.demo") / "sample")]
    while pending:
        path, found = pending.pop()
        if found.is_dir():
            pending += [(f"{path}/{entry.name}" if path else entry.name, entry) for entry in found.iterdir()]
        else:
            yield path, found.read_bytes()


def _documents(clusters: list[DemoCluster]) -> str:
    head = "# Every cluster of the fleet. Labels decide what runs where; variables fill in ${…} in manifests.\n"
    documents = (yaml.safe_dump(cluster.document(), sort_keys=False) for cluster in clusters)
    return head + "---\n".join(documents)


def _name_author(repository: pygit2.Repository) -> None:
    """Lets `git commit` work for somebody who never told Git their name; who did keeps it."""
    try:
        known = "user.name" in repository.config and "user.email" in repository.config
    except pygit2.GitError:
        known = False
    if not known:
        repository.config["user.name"], repository.config["user.email"] = _AUTHOR
