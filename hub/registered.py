"""What is configured beside the fleet repository: clusters in a file, and credentials for Git and chart servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from hub.domain.reading import FleetDocument, Rejected, read_documents
from hub.settings import ChartSettings, GitSettings
from hub.sources import urls
from hub.sources.access import Credentials
from hub.sources.charts.web import ChartAccess
from shared.errors import DocumentError
from shared.model import Place

T = TypeVar("T")


def clusters(file: Path | None) -> tuple[FleetDocument, ...]:
    """The Cluster documents of a file.

    Raises:
        DocumentError: it cannot be read, or holds something else.
    """
    if file is None:
        return ()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}", Place(str(file)), "set clusters_file") from error
    found = []
    for parsed in read_documents(data, file=str(file)):
        if isinstance(parsed, Rejected):
            problem = parsed.problems[0]
            raise DocumentError(problem.message, problem.place, problem.hint)
        if parsed.kind != "Cluster":
            raise DocumentError(f"a {parsed.kind} does not belong here", parsed.place(), "only Cluster documents do")
        found.append(parsed)
    return tuple(found)


def credentials(settings: GitSettings) -> Callable[[str], Credentials]:
    """What to show for a repository's address: the entry whose host, or address prefix, fits best."""

    def choose(address: str) -> Credentials:
        found = _fitting(settings.access, urls.normalise(address))
        if found is None:
            return Credentials()
        return Credentials(
            username=found.username,
            token=found.token.get_secret_value(),
            ssh_key=found.ssh_key,
            ssh_passphrase=found.ssh_passphrase.get_secret_value(),
        )

    return choose


def chart_access(settings: ChartSettings) -> Callable[[str], ChartAccess]:
    """What to show for a chart repository's address: the entry whose host, or address prefix, fits best."""

    def choose(address: str) -> ChartAccess:
        # What a registry calls `ghcr.io/team/chart` is at `ghcr.io/v2/team/chart`.
        found = _fitting(settings.access, urls.normalise(address).replace("/v2/", "/", 1))
        if found is None:
            return ChartAccess()
        return ChartAccess(found.username, found.token.get_secret_value(), found.plain_http)

    return choose


def _fitting(access: Mapping[str, T], address: str) -> T | None:
    fitting = [prefix for prefix in access if address == prefix or address.startswith(prefix.rstrip("/") + "/")]
    return access[max(fitting, key=len)] if fitting else None
