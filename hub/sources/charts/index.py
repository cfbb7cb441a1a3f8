"""`index.yaml` of a chart repository: the versions of one chart, without decoding the thousands of others. Pure.

An index can have tens of megabytes. As tools write it, each chart is a key of its own below `entries:`, so its lines
can be cut out; only an index in some other form is read as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from hub.domain import semver
from hub.domain.charts import ResolvedChart, Wanted, is_digest
from hub.domain.yamldoc import Limits, load_documents
from shared.errors import DocumentError
from shared.model import Place

FILE = "index.yaml"

_WHOLE = 8 * 1024**2
"""Bytes of an index in an unusual form that is still read: decoded it takes twenty times as much memory."""
_PART = Limits(size=32 * 1024**2, nodes=5_000_000)
_ENTRIES = re.compile(rb"^entries:[ \t]*\r?\n(?:[ \t]*(?:#.*)?\r?\n)*(?P<indent> +)(?=[^\s-])", re.MULTILINE)
_SHOWN = 5


class _Json(msgspec.Struct):
    """An index that is JSON. Charts stay undecoded."""

    entries: dict[str, msgspec.Raw] = {}


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a chart in an index. Where that gives no `digest`, a new `created` tells that it has changed."""

    version: str
    url: str
    digest: str
    created: str = ""


def releases(index: bytes, chart: str, file: str = FILE) -> tuple[Release, ...]:
    """The versions of a chart, none when the index does not have it. What has no version or address is left out.

    Raises:
        DocumentError: it is no index.
    """
    listed = _listed(index, chart, file)
    if not isinstance(listed, list):
        raise DocumentError(f"{chart} is not a list of versions in the index", Place(file))
    return tuple(found for each in listed if (found := _release(each)) is not None)


def choose(found: Iterable[Release], wanted: Wanted) -> Release:
    """The release that is meant: the one called exactly so, else the highest in the range.

    Raises:
        DocumentError: there is none, or the range cannot be read.
    """
    found = tuple(found)
    exact = next((each for each in found if each.version == wanted.version), None)
    if exact is not None:
        return exact
    by_version = {each.version: each for each in reversed(found)}
    best = semver.best(wanted.version or "*", by_version)
    if best is None:
        raise none_fits(wanted, by_version)
    return by_version[best]


def none_fits(wanted: Wanted, versions: Iterable[str]) -> DocumentError:
    """What to say when no version is the one that is meant."""
    known = sorted((parsed, text) for text in versions if (parsed := semver.parse(text)) is not None)
    newest = ", ".join(text for _, text in reversed(known[-_SHOWN:]))
    if not known:
        return DocumentError(f"there is no chart {wanted.chart} in {wanted.repo}")
    hint = "a version before release is only taken when the range names one, as >=1.0.0-0 does"
    return DocumentError(f"{wanted.chart} has no version {wanted.version or '*'}; there are {newest}", hint=hint)


def resolved(release: Release, wanted: Wanted, base: str) -> ResolvedChart:
    """A release with the address of its archive; relative ones are below `base`, the address of the repository.

    Raises:
        DocumentError: the address or the digest is none.
    """
    address = urlsplit(base)
    directory = f"{base.partition('?')[0].rstrip('/')}/"
    url = urljoin(directory, release.url)
    if address.query and urlsplit(url).netloc == address.netloc and not urlsplit(url).query:
        url = f"{url}?{address.query}"
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise DocumentError(f"{wanted.chart} {release.version} is at {release.url!r}, which is not the web")
    digest = release.digest.lower().removeprefix("sha256:")
    digest = f"sha256:{digest}" if digest else ""
    if digest and not is_digest(digest):
        raise DocumentError(f"{wanted.chart} {release.version} has a digest that is none: {release.digest[:80]!r}")
    return ResolvedChart(wanted.repo, wanted.chart, release.version, digest, url)


def _listed(index: bytes, chart: str, file: str) -> Any:
    if index.lstrip()[:1] == b"{":
        try:
            raw = msgspec.json.decode(index, type=_Json).entries.get(chart)
            return msgspec.json.decode(raw) if raw is not None else []
        except msgspec.DecodeError as error:
            raise DocumentError(f"it is no index: {error}", Place(file)) from None
    part = _part(index, chart)
    if part == b"":
        return []
    if part is not None:
        try:
            return _entries(part, file).get(chart)
        except DocumentError:
            part = None  # it refers to something outside of the part
    if len(index) > _WHOLE:
        raise DocumentError("an index of this size has to be written as `helm repo index` does", Place(file))
    return _entries(index, file).get(chart) or []


def _part(index: bytes, chart: str) -> bytes | None:
    """The index with this chart alone, empty when it has no such chart, None when it is written in another form."""
    start = _ENTRIES.search(index)
    if start is None:
        return None
    indent, name = start["indent"], chart.encode()
    for key in (name, b'"' + name + b'"', b"'" + name + b"'"):
        at = index.find(b"\n" + indent + key + b":", start.end() - len(indent) - 1)
        if at >= 0:
            break
    else:
        return b""
    depth = len(indent)
    end = re.compile(rb"^(?: {0,%d}[^ #\r\n]| {%d}[^ #\r\n-])" % (depth - 1, depth), re.MULTILINE)
    line = index.find(b"\n", at + 1)
    following = end.search(index, line + 1) if line >= 0 else None
    return b"entries:" + index[at : following.start() if following is not None else len(index)]


def _entries(text: bytes, file: str) -> Mapping[str, Any]:
    documents = load_documents(text, file=file, limits=_PART)
    value = documents[0].value if documents else None
    entries = value.get("entries") if isinstance(value, dict) else None
    if not isinstance(entries, dict):
        raise DocumentError("it is no index of a chart repository: it has no `entries`", Place(file))
    return entries


def _release(value: Any) -> Release | None:
    if not isinstance(value, dict):
        return None
    version, urls = value.get("version"), value.get("urls")
    if not isinstance(version, str) or not isinstance(urls, list) or not urls or not isinstance(urls[0], str):
        return None
    return Release(version, urls[0], str(value.get("digest") or ""), str(value.get("created") or ""))
