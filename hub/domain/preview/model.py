"""The result of a preview, as the API gives it and every form of output is made from. Secrets are masked in it.

Equal changes are one, with the clusters that it is the same on. All lists are in an order that depends on their content
alone, so that equal previews are equal text.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from hub.domain.deprecations import Standing
from shared.model import Manifest, ObjectRef, Place, Problem, Value

Action = Literal["added", "removed", "changed"]


class Side(Value, frozen=True):
    """One of the two states: what it was asked for as, and the commit that it is. No commit: files on disk."""

    ref: str
    commit: str = ""
    subject: str = ""

    def __str__(self) -> str:
        if not self.commit:
            return self.ref
        short = self.commit[:12]
        return short if not self.ref or self.commit.startswith(self.ref) else f"{self.ref} ({short})"


class FieldChange(Value, frozen=True):
    """A field that differs; None on the side where it is missing. `path` is a JSON pointer, as in `shared.diff`."""

    path: str
    before: Any
    after: Any


class ObjectChange(Value, frozen=True):
    """A change of one object, the same on all of `clusters`.

    A changed one has its `fields`, others the whole `manifest` that comes or goes. `note` says what is not as usual:
    that a removed object stays nevertheless, or waits for a person's word.
    """

    object: ObjectRef
    action: Action
    clusters: tuple[str, ...]
    fields: tuple[FieldChange, ...] = ()
    manifest: Manifest | None = None
    note: str = ""


class Unclear(Value, frozen=True):
    """Clusters for which it cannot be said what changes, and why not."""

    reason: str
    clusters: tuple[str, ...]


class ApplicationChange(Value, frozen=True):
    """All that happens to one application.

    `clusters` are those on which anything of it changes; on those in `placed` it is new, those in `left` it leaves.
    `settings` are fields of its document that decide how it is kept (`/sync/drift`), the same everywhere.
    """

    name: str
    action: Action
    clusters: tuple[str, ...]
    placed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    settings: tuple[FieldChange, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    unclear: tuple[Unclear, ...] = ()
    renamed_from: str = ""


class Finding(Value, frozen=True):
    """A problem on these clusters; on none in particular where it is one of a document."""

    problem: Problem
    clusters: tuple[str, ...] = ()


class Held(Value, frozen=True):
    """Deletions that would wait for a person's word (`yardarm confirm`)."""

    reason: str
    application: str = ""
    clusters: tuple[str, ...] = ()


class OutdatedOn(Value, frozen=True):
    """Clusters that do alike with an API version, and their versions of Kubernetes (`1.29`), lowest first."""

    standing: Standing
    clusters: tuple[str, ...]
    versions: tuple[str, ...] = ()


class Outdated(Value, frozen=True):
    """An object that the change brings or alters, in an API version that Kubernetes gives up or has given up.

    `deprecated` and `removed` are the versions of Kubernetes since which it is so; `instead` is what to write, empty
    where there is nothing.
    """

    application: str
    object: ObjectRef
    deprecated: str
    removed: str
    instead: str = ""
    place: Place | None = None
    where: tuple[OutdatedOn, ...] = ()


class LiveField(Value, frozen=True):
    """A field that applying would change on the cluster, and who set what it is now."""

    path: str
    before: Any
    after: Any
    manager: str = ""


class LiveObject(Value, frozen=True):
    """What applying would do to one object as it stands on the cluster, as its API server says."""

    object: ObjectRef
    action: str
    fields: tuple[LiveField, ...] = ()
    reason: str = ""


class Live(Value, frozen=True):
    """The answer of clusters that say the same: what a dry run of the new state would do there.

    `reason` says why there is no answer, or only part of one. `unchanged` counts the objects that would stay as they
    are.
    """

    application: str
    clusters: tuple[str, ...]
    answered: bool
    reason: str = ""
    unchanged: int = 0
    objects: tuple[LiveObject, ...] = ()


class Preview(Value, frozen=True):
    """All that would change from one state to the other.

    `fleet` counts the clusters that were looked at; `environments` has the environment of each that anything changes
    on.
    """

    from_: Side = msgspec.field(name="from")
    to: Side
    fleet: int = 0
    applications: tuple[ApplicationChange, ...] = ()
    held: tuple[Held, ...] = ()
    new: tuple[Finding, ...] = ()
    """Problems that the change brings."""
    mended: tuple[Finding, ...] = ()
    """Problems that it ends."""
    outdated: tuple[Outdated, ...] = ()
    outdated_before: int = 0
    """Objects that are outdated as well, beside those that change, and stay as they are."""
    environments: dict[str, str] = msgspec.field(default_factory=dict)
    live: tuple[Live, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything on any cluster changes, or may."""
        return bool(self.applications or self.held)

    @property
    def errors(self) -> bool:
        """Whether it brings an error, or something that a cluster does not serve."""
        removed = any(on.standing == "removed" for each in self.outdated for on in each.where)
        return removed or any(finding.problem.severity == "error" for finding in self.new)

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters on which anything changes."""
        return tuple(sorted({name for application in self.applications for name in application.clusters}))
