"""What is asked of chart repositories, and what they answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.errors import DocumentError
from shared.model import Value

OCI = "oci"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class Wanted(Value, frozen=True, order=True):
    """A chart in a repository, in a version or range. An empty version is the newest that is released.

    `repo` is an http(s) address that `index.yaml` is below, that of one archive (`….tgz`), or `oci://host/path`; of a
    registry `chart` may be empty when `repo` is the chart itself.
    """

    repo: str
    chart: str
    version: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.chart, self.version, f"from {self.repo}") if part)


class ResolvedChart(Value, frozen=True):
    """The chart that is meant now. `digest` (`sha256:…`) is that of its archive; `url` is where that can be had."""

    repo: str
    chart: str
    version: str
    digest: str
    url: str

    @property
    def file(self) -> str:
        """What messages call its archive."""
        return f"{(self.chart or self.repo).rpartition('/')[2]}-{self.version}.tgz"


@dataclass(frozen=True, slots=True)
class Repository:
    """A parsed `repo`. `base` is the address without a slash at its end; `host` has the port when one is written."""

    scheme: str
    host: str
    base: str

    @property
    def is_oci(self) -> bool:
        """Whether it is a registry."""
        return self.scheme == OCI


def repository(wanted: Wanted) -> Repository:
    """Where a chart is looked for.

    Raises:
        DocumentError: the address or the chart's name cannot be one.
    """
    text = wanted.repo.strip()
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        port = parts.port
    except ValueError as error:
        raise DocumentError(f"{text!r} is not the address of a chart repository: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https", OCI) or not host:
        raise DocumentError(f"{text!r} is not the address of a chart repository", hint="give https://… or oci://…")
    if parts.username or parts.password:
        raise DocumentError(
            f"the address of the chart repository at {host} holds credentials",
            hint="an operator sets them for the hub: charts.access",
        )
    if wanted.chart and not _NAME.fullmatch(wanted.chart):
        raise DocumentError(f"{wanted.chart!r} cannot be the name of a chart")
    if not wanted.chart and (scheme != OCI or not parts.path.strip("/")):
        raise DocumentError(f"which chart of {text}?", hint="set `chart`")
    place = f"[{host}]" if ":" in host else host
    place = f"{place}:{port}" if port else place
    query = f"?{parts.query}" if parts.query else ""
    return Repository(scheme, place, f"{scheme}://{place}{parts.path.rstrip('/')}{query}")


def is_digest(text: str) -> bool:
    """Whether `text` is a digest as indexes and manifests give it."""
    return _DIGEST.fullmatch(text) is not None
