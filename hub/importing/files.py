"""The files of the repository that is read, and paths in it.

Paths are relative to the repository's root, with `/` between names; `""` is the root.
"""

from __future__ import annotations

from typing import Protocol

from hub.domain.tree import Kind

MANIFESTS = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART = "Chart.yaml"
FLEET = ("fleet.yaml", "fleet.yml")


class Repository(Protocol):
    """The part of `hub.domain.tree.Tree` that is needed here."""

    def kind(self, path: str) -> Kind:
        """What is at a path; empty when nothing is there that may be read."""

    def id(self, path: str) -> str:
        """Names the content at a path: equal ids, equal content."""

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted."""

    def read(self, path: str) -> bytes:
        """A file's bytes.

        Raises:
            DocumentError: no file is there, or it is too large.
        """


def join(base: str, relative: str) -> str | None:
    """The path that `relative` means in the directory `base`; None when it leads out of the repository.

    A leading slash is the repository's root.
    """
    parts = [] if relative.startswith("/") else [part for part in base.split("/") if part]
    for part in relative.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def parent(path: str) -> str:
    """The directory a path is in."""
    return path.rpartition("/")[0]


def last(path: str) -> str:
    """The last name of a path."""
    return path.rpartition("/")[2]


def inside(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or below it."""
    return not directory or path == directory or path.startswith(f"{directory}/")


def below(path: str, directory: str) -> str:
    """`path` as seen from `directory`, which it is inside of."""
    return path[len(directory) :].lstrip("/") if directory else path


def shown(path: str) -> str:
    """The path as documents and messages write it: the root is a dot."""
    return path or "."


def kustomization_in(tree: Repository, directory: str) -> str:
    """The kustomization file of a directory, empty when it has none."""
    for name in KUSTOMIZATIONS:
        path = f"{directory}/{name}" if directory else name
        if tree.kind(path) == "file":
            return path
    return ""


def has_chart(tree: Repository, directory: str) -> bool:
    """Whether a directory is a Helm chart."""
    return tree.kind(f"{directory}/{CHART}" if directory else CHART) == "file"
