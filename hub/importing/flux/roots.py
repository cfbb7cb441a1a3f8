"""Which cluster a Flux definition is for.

With Flux each cluster follows a directory (`clusters/production`), and nothing in it names the cluster. When one such
directory is read, what it says holds for every cluster of this hub. When several are read at once they say different
things under the same names; then each becomes an environment of its directory's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.importing.drafts import Draft
from hub.importing.fields import Foreign
from hub.importing.files import inside, last, parent
from hub.importing.names import token
from hub.importing.scene import Scene

_SAME = (
    frozenset({"dev", "development"}),
    frozenset({"test", "testing", "qa"}),
    frozenset({"stage", "staging", "stg"}),
    frozenset({"prod", "production", "prd"}),
)
"""Words for the same thing, in the order of promotion."""
LABELS = ("env", "environment")


@dataclass(frozen=True, slots=True)
class Roots:
    """The directories that clusters follow; none when all that was read is for the same clusters."""

    directories: tuple[str, ...] = ()

    def of(self, file: str) -> str:
        """The environment that a file's definitions are for; empty for every cluster."""
        return next((token(last(each)) for each in self.directories if inside(file, each)), "")


def roots_of(kustomizations: Iterable[Foreign]) -> Roots:
    """The directories that tell definitions of equal names apart."""
    places: dict[tuple[str, str], set[str]] = {}
    for each in kustomizations:
        places.setdefault((each.namespace, each.name), set()).add(parent(each.file))
    found: set[str] = set()
    for directories in places.values():
        if len(directories) > 1:
            found |= _branches(directories)
    outer = [each for each in found if not any(inside(each, other) and each != other for other in found)]
    return Roots(tuple(sorted(outer)))


def _branches(directories: set[str]) -> set[str]:
    """Where paths part: each as far as the first name in which it differs from the others."""
    split = [each.split("/") for each in directories]
    depth = 0
    while all(len(each) > depth for each in split) and len({each[depth] for each in split}) == 1:
        depth += 1
    if any(len(each) <= depth for each in split):
        return set()
    return {"/".join(each[: depth + 1]) for each in split}


def environments_of(roots: Roots, by: Mapping[str, Foreign], scene: Scene) -> list[Draft]:
    """An environment for each directory: the clusters that are called like it, or labelled so."""
    drafts = []
    for directory in roots.directories:
        name = token(last(directory))
        spec = selecting(name, scene.clusters)
        foreign = by[name]
        chosen = f"clusters {', '.join(spec['clusters'])}" if "clusters" in spec else f"clusters with label env: {name}"
        scene.differs(
            foreign,
            f"{directory} is what one cluster follows: taken as the environment {name!r}, {chosen}",
            hint="label the clusters, or change the Environment",
        )
        drafts.append(Draft("Environment", (name,), spec, foreign, key=("flux", "root", name)))
    return drafts


def selecting(name: str, clusters: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """`spec` of an environment: the cluster of that name when there is one, else those labelled with it."""
    order = next((10 * (number + 1) for number, words in enumerate(_SAME) if name in words), 0)
    made: dict[str, Any] = {"order": order} if order else {}
    if name in clusters:
        return {**made, "clusters": [name]}
    words = sorted(next((words for words in _SAME if name in words), {name}), key=lambda word: (word != name, word))
    terms = [
        {"labels": {label: name}} if len(words) == 1 else {"match": [f"{label} in ({','.join(words)})"]}
        for label in LABELS
    ]
    return {**made, "where": terms}
