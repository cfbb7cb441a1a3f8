"""Files parsed once for all variants of an application: they differ in variables, and parsing is most of a render.

Decoded values are never changed, so renders may share them. What is kept is bounded by the size of the files.
"""

from __future__ import annotations

from collections import OrderedDict

from hub.domain.yamldoc import Document, scan_documents
from shared.errors import DocumentError

Items = tuple[Document | DocumentError, ...]


class ParsedFiles:
    """Remembers the files used last, at most `limit` bytes of YAML (decoded they take about twenty times as much)."""

    def __init__(self, limit: int = 8 * 1024**2) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, bytes], Items] = OrderedDict()
        self._size = 0

    def parse(self, data: bytes, name: str) -> Items:
        """The documents of a file, and what is wrong with others."""
        key = (name, data)
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return known
        items = tuple(scan_documents(data, file=name))
        if len(data) <= self._limit // 8 and not any(isinstance(item, DocumentError) for item in items):
            self._kept[key] = items
            self._size += len(data)
            while self._size > self._limit:
                (_, dropped), _ = self._kept.popitem(last=False)
                self._size -= len(dropped)
        return items
