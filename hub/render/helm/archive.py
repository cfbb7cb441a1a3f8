"""Chart archives (.tgz): read within limits whatever they hold, and written so that equal files are equal bytes. Pure.

An archive comes from somewhere else. It may pretend to be larger than memory, lead out of its directory, or be no
archive. Nothing of it is ever written to disk under the names it gives.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.errors import DocumentError

_OPEN = 0o644
_NESTING = 8
"""Archives within archives: charts that depend on charts."""
_DRIVE = re.compile(r"[A-Za-z]:")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What one chart may hold when it is unpacked. Those of sizes are Helm's own."""

    files: int = 10_000
    file_bytes: int = 5 * 1024**2
    bytes: int = 100 * 1024**2


def unpack(data: bytes, limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    """The files of a chart by their path below its directory (`Chart.yaml`, `templates/deploy.yaml`).

    Raises:
        DocumentError: it is no gzipped tar, is too large, or holds what a chart may not: links, devices, names that
            lead elsewhere or come twice.
    """
    limits = limits or ArchiveLimits()
    return _unpack(_Counted(data, limits.bytes), limits)


def unpack_deep(data: bytes, limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    """As `unpack`, with the archives in `charts/` unpacked too, within the same limits in sum."""
    limits = limits or ArchiveLimits()
    return dict(_deep(data, limits, [limits.bytes], "", _NESTING))


def pack(root: str, files: Mapping[str, bytes]) -> bytes:
    """A chart's archive, its files below the directory `root`. It is not compressed: it goes to a process next door."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in sorted(files.items()):
            member = tarfile.TarInfo(f"{root}/{path}")
            member.size, member.mode = len(data), _OPEN
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(held.getvalue(), compresslevel=0, mtime=0)


def _deep(
    data: bytes, limits: ArchiveLimits, left: list[int], prefix: str, nesting: int
) -> Iterator[tuple[str, bytes]]:
    if nesting == 0:
        raise DocumentError(f"{prefix} holds archives within archives, more than {_NESTING} deep")
    reader = _Counted(data, left[0])
    files = _unpack(reader, limits)
    left[0] -= reader.count
    for path, content in files.items():
        if is_packed(path):
            inner = path.removesuffix(".tgz")
            yield from _deep(content, limits, left, f"{prefix}{inner}/", nesting - 1)
        else:
            yield prefix + path, content


def is_packed(path: str) -> bool:
    """Whether the file at `path` in a chart is another chart's archive."""
    directories, _, name = path.rpartition("/")
    within = directories == "charts" or directories.endswith("/charts")
    return within and name.endswith(".tgz") and name[0] not in "._"


def _unpack(reader: _Counted, limits: ArchiveLimits) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            for member in archive:
                if member.isdir():
                    continue
                path = _path(member)
                if path in files:
                    raise DocumentError(f"the archive holds {path} twice")
                files[path] = _content(archive, member, path, limits)
                if len(files) > limits.files:
                    raise DocumentError(f"the archive holds more than {limits.files:,} files")
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        raise DocumentError(f"it is not a chart archive (.tgz): {error}") from None
    if "Chart.yaml" not in files:
        raise DocumentError("it is not a chart archive: no Chart.yaml in its directory")
    return files


def _path(member: tarfile.TarInfo) -> str:
    """Its path below the chart's directory."""
    name = member.name
    if not member.isreg() or member.issparse():
        raise DocumentError(f"the archive holds {name[:200]!r}, which is a link or a device and not a file")
    if "\\" in name:  # packed on Windows
        name = name.replace("\\", "/")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name or _DRIVE.match(name):
        raise DocumentError(f"the archive holds {name[:200]!r}, which leads out of it")
    path = "/".join(part for part in parts[1:] if part not in ("", "."))
    if not path:
        raise DocumentError(f"the archive holds {name[:200]!r}, which is not below the chart's directory")
    return path


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, limits: ArchiveLimits) -> bytes:
    if member.size > limits.file_bytes:
        raise DocumentError(f"{path} is larger than the {limits.file_bytes // 1024**2} MiB a file of a chart may have")
    opened = archive.extractfile(member)
    data = opened.read() if opened is not None else b""
    if len(data) != member.size:
        raise EOFError(f"{path} is cut short")
    return data.removeprefix(_BOM)


class _Counted(io.RawIOBase):
    """What a gzipped stream holds, up to a limit."""

    def __init__(self, data: bytes, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._stream = gzip.GzipFile(fileobj=io.BytesIO(data))
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase`."""
        most = self._limit - self.count + 1
        data = self._stream.read(most if size < 0 else min(size, most))
        self.count += len(data)
        if self.count > self._limit:
            raise DocumentError(f"the archive holds more than {self._limit / 1024**2:.0f} MiB")
        return data
