"""A chart's values as `helm --values a --values b` merges them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hub.domain.yamldoc import load_documents
from hub.render.job import File
from shared.errors import DocumentError
from shared.model import Place


def combined(files: Iterable[File], values: dict[str, Any]) -> dict[str, Any]:
    """The values of each file in order, then `values`. The documents of one file are merged too.

    Raises:
        DocumentError: a file is no YAML, or not a map.
    """
    result: dict[str, Any] = {}
    for file in files:
        for document in load_documents(file.data, file=file.name):
            if not isinstance(document.value, dict):
                raise DocumentError("a file of values is a map", Place(document.file, document.line))
            result = merged(result, document.value)
    return merged(result, values)


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Maps are merged, anything else of `over` wins; null stays null, which takes a chart's default away later."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result
