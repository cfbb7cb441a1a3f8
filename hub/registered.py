"""What is configured beside the fleet repository: clusters in a file, and credentials for Git servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hub.domain.reading import FleetDocument, Rejected, read_documents
from hub.settings import GitSettings
from hub.sources import urls
from hub.sources.access import Credentials
from shared.errors import DocumentError
from shared.model import Place


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
        plain = urls.normalise(address)
        fitting = [
            prefix for prefix in settings.access if plain == prefix or plain.startswith(prefix.rstrip("/") + "/")
        ]
        if not fitting:
            return Credentials()
        found = settings.access[max(fitting, key=len)]
        return Credentials(
            username=found.username,
            token=found.token.get_secret_value(),
            ssh_key=found.ssh_key,
            ssh_passphrase=found.ssh_passphrase.get_secret_value(),
        )

    return choose
