"""Charts made in tests: their archives, as `helm package` lays them out."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping


def chart_yaml(name: str, version: str = "1.0.0", more: str = "") -> str:
    """A Chart.yaml; `more` are further lines."""
    return f"apiVersion: v2\nname: {name}\nversion: {version}\n{more}"


def chart_archive(root: str, files: Mapping[str, str | bytes]) -> bytes:
    """A .tgz of `files` below the directory `root`, the same bytes whenever it is made."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"{root}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(held.getvalue(), 1, mtime=0)
