"""Which sandbox clusters a demo has: the usual six, any number, or those a file lists.

What a repository's own Cluster documents say is the hub's business; this is only for clusters that Git does not name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.domain.documents import API_VERSION, Cluster
from hub.domain.reading import Rejected, is_fleet_document, parse_document
from hub.domain.yamldoc import Document, load_documents
from shared.errors import DocumentError
from shared.model import Place

ENVIRONMENTS = ("dev", "stage", "prod")
REGIONS = ("eu", "us")
USUAL = 6


@dataclass(frozen=True, slots=True)
class DemoCluster:
    """A cluster by name, with what an administrator would say of it."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Its document for a fleet repository."""
        return {
            "apiVersion": API_VERSION,
            "kind": "Cluster",
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {"variables": self.variables},
        }


def spread(count: int) -> list[DemoCluster]:
    """`count` clusters, evenly over environments and regions: dev-eu-1, dev-us-1, and so on."""
    places = [(environment, region) for region in REGIONS for environment in ENVIRONMENTS]
    chosen = [(*places[number % len(places)], number // len(places) + 1) for number in range(count)]
    chosen.sort(key=lambda place: (ENVIRONMENTS.index(place[0]), place[1], place[2]))
    return [
        DemoCluster(
            f"{environment}-{region}-{number}",
            {"env": environment, "region": region},
            {"region": region, "domain": f"{region}.{environment}.example.com"},
        )
        for environment, region, number in chosen
    ]


def read(path: Path) -> list[DemoCluster]:
    """Clusters from a file: Cluster documents, or a list of names or of `{name, labels, variables}`.

    Raises:
        DocumentError: unreadable, not such a list, or a name is wrong or there twice.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"cannot read the clusters file {path}: {error.strerror}") from error
    found: list[DemoCluster] = []
    for document in load_documents(data, file=str(path)):
        found += [_cluster(item, document.place()) for item in _items(document.value)]
    names = [cluster.name for cluster in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DocumentError(f"clusters named twice: {', '.join(sorted(twice))}", Place(str(path)))
    if not found:
        raise DocumentError("no clusters in it", Place(str(path)), "write Cluster documents or a list of names")
    return found


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict) and isinstance(value.get("clusters"), list):
        value = value["clusters"]
    return value if isinstance(value, list) else [value]


def _cluster(item: Any, place: Place) -> DemoCluster:
    """One entry: a name, a map with `name`, or a Cluster document."""
    if is_fleet_document(item):
        return _from_document(item, place)
    if isinstance(item, str):
        item = {"name": item}
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(name, str):
        raise DocumentError(f"{item!r} is not a cluster", place, "write a name, {name, labels} or a Cluster document")
    labels, variables = item.get("labels") or {}, item.get("variables") or {}
    return _from_document(DemoCluster(name, labels, variables).document(), place)


def _from_document(value: dict[str, Any], place: Place) -> DemoCluster:
    parsed = parse_document(Document(place.file, place.line, value))
    if isinstance(parsed, Rejected):
        problem = parsed.problems[0]
        raise DocumentError(problem.message, problem.place, problem.hint)
    if not isinstance(parsed.resource, Cluster):
        raise DocumentError(f"a {parsed.kind} is not a cluster", place, "only Cluster documents belong in this file")
    cluster = parsed.resource
    return DemoCluster(cluster.name, dict(cluster.metadata.labels), dict(cluster.spec.variables))
