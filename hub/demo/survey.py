"""Looks into a repository before the hub does, for one question: which clusters does it name itself?

Those get sandboxes; where there are none, the demo brings its own. What is wrong with the repository is not said here
but by the hub, in its place.
"""

from __future__ import annotations

import logging
from pathlib import Path

from hub.demo.clusters import DemoCluster
from hub.domain.documents import Cluster
from hub.domain.reading import FleetDocument, read_documents
from hub.sources.access import Credentials
from hub.sources.content import read_content
from hub.sources.mirror import Mirror
from hub.sources.objects import Objects
from shared.errors import DocumentError, Unavailable

log = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")


async def named_clusters(
    repo: str, ref: str, path: str, mirror: Path, credentials: Credentials | None = None
) -> list[DemoCluster]:
    """The clusters with a good document below `path`; none when the repository cannot be read.

    `mirror` is the folder in which the hub will keep its mirror of the repository: it is fetched only once.
    """
    source = Mirror(repo, mirror, credentials)
    try:
        await source.fetch()
        return await source.read(lambda objects: _clusters(objects, ref, path))
    except (DocumentError, Unavailable) as error:
        log.warning("the repository cannot be looked into yet", extra={"repository": source.name, "error": str(error)})
        return []
    finally:
        source.close()


def _clusters(objects: Objects, ref: str, path: str) -> list[DemoCluster]:
    content = read_content(objects, objects.resolve(ref), path or ".", lambda name: name.endswith(SUFFIXES))
    found: dict[str, DemoCluster] = {}
    for name, data in content.files:
        for parsed in read_documents(data, file=name):
            if isinstance(parsed, FleetDocument) and isinstance(parsed.resource, Cluster):
                cluster = parsed.resource
                labels, variables = dict(cluster.metadata.labels), dict(cluster.spec.variables)
                found.setdefault(cluster.name, DemoCluster(cluster.name, labels, variables))
    return [found[name] for name in sorted(found)]
