"""Everything a demo needs before anything runs: repository, clusters, hub settings.

Decides; starts nothing. The user's own settings (YARDARM_GIT__ACCESS for a private repository, say) stay in force,
except for what makes the demo the demo.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import SecretStr

from hub import registered
from hub.cli.trouble import usage
from hub.demo import agents, clusters, repository
from hub.demo.clusters import DemoCluster
from hub.demo.options import DemoOptions
from hub.demo.survey import named_clusters
from hub.settings import HubSettings, NatsSettings, load
from hub.sources.mirror import directory_name
from shared.errors import YardarmError

LOCAL_POLL = 1.0
"""Seconds between looks at a repository on this machine: nobody there has webhooks, and a look costs nothing."""
MOST_CLUSTERS = 2000


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be run. `contexts` maps a cluster to its context where clusters are real."""

    settings: HubSettings
    repo: str
    sample: bool
    clusters: Sequence[DemoCluster]
    contexts: dict[str, str]


async def prepare(options: DemoOptions, folder: Path, now: float) -> Prepared:
    """Makes the sample repository if none was given, and finds out which clusters there will be.

    Raises:
        YardarmError: an option cannot be what it is; says which.
    """
    contexts = {agents.cluster_name(context): context for context in options.contexts}
    if len(contexts) < len(options.contexts):
        raise YardarmError("two of these contexts would be the same cluster: rename one")
    asked = _asked(options, contexts)
    sample = options.repo is None
    repo = str(folder / "fleet") if sample else _address(options.repo or "")
    if sample:
        repository.create(Path(repo), asked or clusters.spread(clusters.USUAL), now)
    settings = _settings(options, folder, repo)
    in_git = await named_clusters(
        repo,
        options.ref,
        options.path,
        folder / "git" / directory_name(repo),
        registered.credentials(settings.git)(repo),
    )
    outside = [] if sample else asked or ([] if in_git else clusters.spread(clusters.USUAL))
    known = {cluster.name for cluster in in_git}
    outside = [cluster for cluster in outside if cluster.name not in known]
    if outside:
        file = folder / "clusters.yaml"
        file.write_text("---\n".join(yaml.safe_dump(cluster.document()) for cluster in outside), encoding="utf-8")
        settings = settings.model_copy(update={"clusters_file": file})
    return Prepared(settings, repo, sample, _hosted(asked, [*in_git, *outside], contexts), contexts)


def _hosted(asked: list[DemoCluster], known: list[DemoCluster], contexts: dict[str, str]) -> list[DemoCluster]:
    """The clusters that get an agent: real ones if there are any, else all that anybody named."""
    if contexts:
        return asked
    return [*known, *(cluster for cluster in asked if cluster.name not in {other.name for other in known})]


def _asked(options: DemoOptions, contexts: dict[str, str]) -> list[DemoCluster]:
    """The clusters that the command line names, none when it leaves them to the repository.

    Real clusters get labels only in the sample, which would otherwise not know what to do with them.
    """
    if contexts:
        patterns = clusters.spread(len(contexts)) if options.repo is None else [DemoCluster("")] * len(contexts)
        return [replace(pattern, name=name) for name, pattern in zip(contexts, patterns, strict=True)]
    if options.clusters is None:
        return []
    if not options.clusters.isdecimal():
        return clusters.read(Path(options.clusters).expanduser())
    count = int(options.clusters)
    if not 1 <= count <= MOST_CLUSTERS:
        usage(f"--clusters {count}: between 1 and {MOST_CLUSTERS} fit on one machine")
    return clusters.spread(count)


def _address(repo: str) -> str:
    """A path is made absolute; any other address stays as it is."""
    path = Path(repo).expanduser()
    return str(path.resolve()) if path.exists() else repo


def _settings(options: DemoOptions, folder: Path, repo: str) -> HubSettings:
    """The demo's settings over the user's own."""
    own = load()
    git = own.git
    if Path(repo).exists():
        # Whoever runs the demo on a folder may read the other folders here too.
        git = git.model_copy(update={"poll_interval": min(LOCAL_POLL, git.poll_interval), "local": True})
    return own.model_copy(
        update={
            "state": folder,
            "host": "127.0.0.1",
            "port": options.port,
            "token": SecretStr(own.token.get_secret_value() or secrets.token_urlsafe(24)),
            "fleet_repo": repo,
            "fleet_ref": options.ref,
            "fleet_path": options.path,
            "clusters_file": None,
            "nats": NatsSettings(),
            "git": git,
        }
    )
