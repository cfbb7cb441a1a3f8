"""What is configured beside the fleet repository: clusters in a file, what to show to servers, allowed signers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hub.domain import urls
from hub.domain.egress import Egress
from hub.domain.reading import FleetDocument, Rejected, read_documents
from hub.domain.statuses import api_of, host_of, provider_of
from hub.settings import ChartSettings, CheckSettings, GitSettings, HubSettings, SignaturePolicy
from hub.sources.accepting import Acceptance
from hub.sources.access import Credentials
from hub.sources.signatures.openpgp import read_certificates
from hub.sources.signatures.policy import Policy, Signers
from hub.sources.signatures.signers import read_signers
from hub.sources.signatures.signing import SigningKey
from hub.sources.terms import Terms
from hub.sources.web import HostAccess
from hub.sources.writing import Author
from hub.statuses import Host
from shared.errors import DocumentError
from shared.model import Place
from shared.tasks import Clock

EVERYWHERE = "*"
"""Stands for all repositories in `git.signatures`."""


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
    """What to show for a repository's address: the entry whose host, or address prefix, fits best.

    A password or token goes out unencrypted only where its entry says so, by beginning with `http://`, or to this very
    machine: documents name addresses, and one that says http for https would have it told to whoever listens.
    """

    def choose(address: str) -> Credentials:
        prefixes = list(settings.access)
        if address.lower().startswith("http://") and not _is_here(address):
            prefixes = [prefix for prefix in prefixes if prefix.lower().startswith("http://")]
        prefix = urls.best(prefixes, address)
        if prefix is None:
            return Credentials()
        found = settings.access[prefix]
        return Credentials(
            username=found.username,
            token=found.token.get_secret_value(),
            ssh_key=found.ssh_key,
            ssh_passphrase=found.ssh_passphrase.get_secret_value(),
            entry=f"git.access.{prefix}",
        )

    return choose


def status_hosts(settings: GitSettings) -> Callable[[str], Host | None]:
    """How the host of a repository is told of rollouts, by the repository's address; None: it is not told."""

    def choose(address: str) -> Host | None:
        prefix = urls.best(settings.statuses, address)
        if prefix is None:
            return None
        found, host = settings.statuses[prefix], host_of(prefix)
        provider = found.provider or provider_of(host)
        if provider is None:
            return None
        api = found.api or api_of(provider, host)
        return Host(provider, api, found.token.get_secret_value(), f"git.statuses.{prefix}")

    return choose


def author(settings: GitSettings) -> Author:
    """In whose name the hub commits.

    Raises:
        DocumentError: the signing key cannot be used.
    """
    name, _, mail = settings.author.rpartition(" <")
    key = SigningKey.read(settings.signing_key) if settings.signing_key is not None else None
    return Author(name.strip(), mail.removesuffix(">"), key)


def chart_access(settings: ChartSettings) -> Callable[[str], HostAccess]:
    """What to show for a chart repository's address: the entry whose host, or address prefix, fits best."""

    def choose(address: str) -> HostAccess:
        # What a registry calls `registry.example.com/team/chart` is at `registry.example.com/v2/team/chart`.
        prefix = urls.best(settings.access, address.replace("/v2/", "/", 1))
        if prefix is None:
            return HostAccess()
        found = settings.access[prefix]
        return HostAccess(found.username, found.token.get_secret_value(), found.plain_http)

    return choose


def check_access(settings: CheckSettings) -> Callable[[str], HostAccess]:
    """What to show for an address that a check asks: the entry whose host, or address prefix, fits best."""

    def choose(address: str) -> HostAccess:
        # A host alone would be no address of a repository, which is what prefixes are compared with.
        prefix = urls.best(settings.access, address.partition("?")[0].rstrip("/") + "/-")
        if prefix is None:
            return HostAccess()
        found = settings.access[prefix]
        headers = {name: value.get_secret_value() for name, value in found.headers.items()}
        return HostAccess(found.username, found.token.get_secret_value(), found.plain_http, headers)

    return choose


def terms(settings: HubSettings, clock: Clock) -> Terms:
    """On what terms repositories are read. The fleet repository, which the operator named, may be anywhere."""
    acceptances = Acceptances(settings.git, clock)
    return Terms(
        credentials=credentials(settings.git),
        acceptance=acceptances.choose,
        changed=acceptances.changed,
        own=frozenset({settings.fleet_repo}),
        egress=Egress(settings.egress.allow, settings.egress.deny),
        local=settings.git.local,
        submodules=settings.git.submodules,
    )


class Acceptances:
    """Which commits of which repository count: `git.signatures`."""

    def __init__(self, settings: GitSettings, clock: Clock) -> None:
        self._clock = clock
        self._files = {prefix: _SignerFiles(policy) for prefix, policy in settings.signatures.items()}

    def choose(self, address: str) -> Acceptance | None:
        """The decision for a repository, by its address; None: all of its commits count."""
        prefix = urls.best((prefix for prefix in self._files if prefix != EVERYWHERE), address) or EVERYWHERE
        found = self._files.get(prefix)
        return Acceptance(found.policy, self._clock) if found is not None else None

    def changed(self) -> bool:
        """Whether a file is another than when this was last asked."""
        return any(files.changed() for files in self._files.values())


class _SignerFiles:
    """The policy that files hold now: read again when one of them has changed, so that keys come and go as they run."""

    def __init__(self, settings: SignaturePolicy) -> None:
        self._settings = settings
        self._stamps: tuple[object, ...] = ()
        self._known = Policy()
        self._asked = self._present()

    def policy(self) -> Policy:
        """As of now.

        Raises:
            DocumentError: a file cannot be read. Nobody may sign then: what counts stays as it is.
        """
        require, ssh, openpgp = self._settings.require, self._settings.ssh, self._settings.openpgp
        if require == "none":
            return Policy()
        try:
            stamps = tuple(_stamp(path) for path in self._paths)
            if stamps != self._stamps:
                signers = Signers(
                    read_signers(ssh.read_text(), str(ssh)) if ssh is not None else (),
                    tuple(each for path in openpgp for each in read_certificates(path.read_bytes(), str(path))),
                )
                self._known, self._stamps = Policy(require, signers), stamps
        except (OSError, UnicodeDecodeError) as error:
            raise DocumentError(f"who may sign commits cannot be read: {error}", hint="see git.signatures") from error
        return self._known

    def changed(self) -> bool:
        """Whether a file is another than when this was last asked."""
        before, self._asked = self._asked, self._present()
        return before != self._asked

    @property
    def _paths(self) -> list[Path]:
        return [path for path in (self._settings.ssh, *self._settings.openpgp) if path is not None]

    def _present(self) -> tuple[object, ...]:
        return tuple(_stamp(path) if path.exists() else None for path in self._paths)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _is_here(address: str) -> bool:
    host = urls.parse(address).host
    return host in ("localhost", "::1") or host.startswith("127.")
