"""YAML and JSON as Kubernetes reads them: `load_documents` gives what `kubectl apply` would send.

The rules are those of sigs.k8s.io/yaml (go-yaml v2, then JSON): `yes` and `n` are booleans, `0777` is octal, `1e3` and
`1.0` are integers, `12:30:45` and `2024-01-01` are strings, map keys are strings, `<<` merges in the order written.
Where kubectl is silent and a person would want to know, this reader is strict: a duplicate key, a custom tag and a
number that JSON does not have are errors.

It is built on libyaml's events rather than on PyYAML's composer, which crashes the process on deep nesting, shares
aliases without counting them and knows other scalars. Nothing here recurses; size, depth and the number of nodes
(aliases counted as often as they are used) have limits. Encodings are UTF-8, with or without a byte order mark, and
UTF-16 with one. It is not a schema: what a document means is somebody else's business.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from hub.domain.encoding import decode
from hub.domain.scalars import Unquoted, map_key, resolve
from shared.errors import DocumentError
from shared.model import Place


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost. `size` is in bytes, `depth` in nested brackets, `nodes` in values after aliases."""

    size: int = 8 * 1024 * 1024
    depth: int = 100
    nodes: int = 500_000
    errors: int = 20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file. `value` is shared by aliases: treat it as immutable.

    `line` is where its content starts, from 1. `lines` maps field paths (`spec.stages[0].name`) to lines; it is empty
    unless positions were asked for.
    """

    file: str
    line: int
    value: Any
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def place(self, path: str = "") -> Place:
        """Where a field is; a field that is not in the file is at its nearest parent that is."""
        nearest = path
        while nearest and nearest not in self.lines:
            nearest = parent_path(nearest)
        return Place(self.file, self.lines.get(nearest, self.line), path)


_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LAST_STEP = re.compile(r"(\.[A-Za-z0-9_-]+|\[[^\[\]]*\]|^[A-Za-z0-9_-]+)$")


def child_path(path: str, step: str | int) -> str:
    """The path of a field: `a.b`, `a[0]`, and `a[x.y/z]` for keys that are not plain words."""
    if isinstance(step, int) or not _PLAIN_KEY.fullmatch(step):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def parent_path(path: str) -> str:
    """The path without its last step; empty at the top."""
    shorter = _LAST_STEP.sub("", path)
    return shorter if shorter != path else ""


def load_documents(
    data: bytes | str, *, file: str, limits: Limits = DEFAULT_LIMITS, positions: bool = False
) -> list[Document]:
    """All documents of a YAML or JSON file that are not empty.

    Args:
        data: the file; bytes are decoded here.
        file: its name, for messages.
        limits: what it may cost.
        positions: fill `Document.lines`; costs about half as much time again.

    Raises:
        DocumentError: the first thing that is wrong, with file and line.
    """
    documents = []
    for found in scan_documents(data, file=file, limits=limits, positions=positions):
        if isinstance(found, DocumentError):
            raise found
        documents.append(found)
    return documents


def scan_documents(
    data: bytes | str, *, file: str, limits: Limits = DEFAULT_LIMITS, positions: bool = False
) -> Iterator[Document | DocumentError]:
    """As `load_documents`, but goes on at the next `---` after an error, so that one bad document stays one."""
    try:
        text = decode(data, file=file, limit=limits.size)
    except DocumentError as error:
        yield error
        return
    start, errors, nodes = 0, 0, limits.nodes
    while True:
        builder = _Builder(file, text.count("\n", 0, start), Limits(limits.size, limits.depth, nodes), positions)
        try:
            yield from builder.documents(text[start:] if start else text)
            return
        except DocumentError as error:
            yield error
        errors, nodes = errors + 1, builder.nodes
        resume = _SEPARATOR.search(text, max(start + builder.offset, start + 1))
        if resume is None or nodes <= 0:
            return
        if errors >= limits.errors:
            yield DocumentError(f"more than {limits.errors} errors in this file: the rest is not read", Place(file))
            return
        start = resume.start()


_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_TAG = "tag:yaml.org,2002:"
_STRING_TAGS = frozenset({f"{_TAG}str", "!"})
_RESOLVED_TAGS = frozenset(_TAG + name for name in ("int", "float", "bool", "null", "timestamp"))
_COLLECTION_TAGS = frozenset({None, "!", f"{_TAG}map", f"{_TAG}seq"})
_MERGE = "<<"
_TEMPLATE_HINT = "a Helm template? exclude it, or let it be rendered as part of its chart; else quote the braces"


class _Frame:
    """A mapping or sequence that is still open. `keys` is None for a sequence, else the line of each explicit key."""

    __slots__ = ("anchor", "key", "keys", "merging", "nodes", "path", "value")

    def __init__(self, value: Any, keys: dict[str, int] | None, anchor: str | None, nodes: int, path: str) -> None:
        self.value = value
        self.keys = keys
        self.anchor = anchor
        self.nodes = nodes
        self.path = path
        self.key: str | None = None
        self.merging = False


class _Builder:
    """Turns the events of one stream into documents. `offset` is where in the text it stopped, in characters."""

    def __init__(self, file: str, first_line: int, limits: Limits, positions: bool) -> None:  # noqa: FBT001
        self.nodes = limits.nodes
        self.offset = 0
        self._file = file
        self._first_line = first_line
        self._limits = limits
        self._positions = positions
        self._begin()

    def _begin(self) -> None:
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._stack: list[_Frame] = []
        self._root: Any = None
        self._line = 0
        self._lines: dict[str, int] = {}

    def documents(self, text: str) -> Iterator[Document]:
        """Every document that is not empty.

        Raises:
            DocumentError: with file and line.
        """
        loader = yaml.CSafeLoader(text)
        event: Any = None
        try:
            while not isinstance(event, StreamEndEvent):
                event = loader.get_event()
                if isinstance(event, DocumentEndEvent) and self._root is not None:
                    yield Document(self._file, self._line, self._root, self._lines)
                self._feed(event)
        except DocumentError:
            self.offset = event.start_mark.index
            raise
        except yaml.YAMLError as error:
            raise self._syntax_error(error, text) from None
        finally:
            loader.dispose()

    def _feed(self, event: Any) -> None:
        kind = type(event)
        if kind is ScalarEvent:
            self._spend(event)
            self._scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._spend(event)
            self._open(event, is_map=kind is MappingStartEvent)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._close(event)
        elif kind is AliasEvent:
            self._spend(event)
            self._alias(event)
        elif kind is DocumentStartEvent or kind is StreamStartEvent:
            self._begin()

    def _spend(self, event: Any, count: int = 1) -> None:
        self.nodes -= count
        if self.nodes < 0:
            raise self._error(event, f"more than {self._limits.nodes:,} values once aliases are followed: refused", "")
        if not self._line:
            self._line = self._line_of(event)

    def _scalar(self, event: ScalarEvent) -> None:
        keys = self._awaited()
        if keys is not None and event.value == _MERGE and (event.implicit[0] or event.tag == f"{_TAG}merge"):
            self._stack[-1].key, self._stack[-1].merging = _MERGE, True
            return
        value = self._scalar_value(event)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        if keys is not None:
            self._key(value, keys, event)
        else:
            self._put(value, event)

    def _scalar_value(self, event: ScalarEvent) -> Any:
        text, tag = event.value, event.tag
        try:
            if event.implicit[0]:
                return Unquoted(text) if text.startswith("${") and text.endswith("}") else resolve(text)
            if event.implicit[1] or tag is None or tag in _STRING_TAGS:
                return text
            if tag in _RESOLVED_TAGS:
                return resolve(text)
            if tag == f"{_TAG}binary":
                return base64.b64decode("".join(text.split()), validate=True).decode()
        except binascii.Error as error:
            raise self._error(event, f"not base64: {error}") from None
        except ValueError as error:
            raise self._error(event, str(error)) from None
        raise self._error(event, f"the tag {_short_tag(tag)} means nothing to Kubernetes", "remove the tag")

    def _alias(self, event: AliasEvent) -> None:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            raise self._error(event, f"the alias *{event.anchor} has no anchor before it, or contains itself")
        value, size = known
        self._spend(event, size - 1)
        keys = self._awaited()
        if keys is not None:
            self._key(value, keys, event)
        else:
            self._put(value, event)

    def _open(self, event: Any, *, is_map: bool) -> None:
        if event.tag not in _COLLECTION_TAGS:
            raise self._error(event, f"the tag {_short_tag(event.tag)} means nothing to Kubernetes", "remove the tag")
        if len(self._stack) >= self._limits.depth:
            raise self._error(event, f"nested deeper than {self._limits.depth} levels: refused")
        path = ""
        if self._stack:
            if self._awaited() is not None:
                raise self._error(event, "a map key must be a plain value, not a map or a list", _TEMPLATE_HINT)
            path = self._slot(self._stack[-1], event)
        self._stack.append(_Frame({} if is_map else [], {} if is_map else None, event.anchor, self.nodes + 1, path))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.value, frame.nodes - self.nodes)
        self._put(frame.value, event, opened=True)

    def _awaited(self) -> dict[str, int] | None:
        """The keys so far of the mapping that now needs a key; None when a value comes next."""
        frame = self._stack[-1] if self._stack else None
        return frame.keys if frame is not None and frame.key is None else None

    def _key(self, value: Any, keys: dict[str, int], event: Any) -> None:
        try:
            key = map_key(value)
        except ValueError as error:
            raise self._error(event, str(error)) from None
        line = self._line_of(event)
        if key in keys:
            raise self._error(event, f"duplicate key {key!r}: first on line {keys[key]}", "keep one of the two")
        keys[key] = line
        self._stack[-1].key = key

    def _put(self, value: Any, event: Any, *, opened: bool = False) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if self._positions and not opened:
            self._slot(frame, event)
        if frame.keys is None:
            frame.value.append(value)
        elif frame.merging:
            self._merge(frame.value, value, event)
        else:
            frame.value[frame.key] = value
        frame.key, frame.merging = None, False

    def _merge(self, into: dict[str, Any], value: Any, event: Any) -> None:
        for source in reversed(value) if isinstance(value, list) else (value,):
            if not isinstance(source, dict):
                raise self._error(event, "<< merges a map or a list of maps only")
            into.update(source)

    def _slot(self, frame: _Frame, event: Any) -> str:
        """The path of the value that comes next in `frame`, remembered with its line."""
        if not self._positions:
            return ""
        if frame.keys is None:
            path = child_path(frame.path, len(frame.value))
            self._lines[path] = self._line_of(event)
        else:
            key = frame.key or ""
            path = child_path(frame.path, key)
            self._lines[path] = frame.keys.get(key) or self._line_of(event)
        return path

    def _line_of(self, event: Any) -> int:
        line: int = event.start_mark.line
        return self._first_line + line + 1

    def _error(self, event: Any, message: str, hint: str = "") -> DocumentError:
        return DocumentError(message, Place(self._file, self._line_of(event)), hint)

    def _syntax_error(self, error: yaml.YAMLError, text: str) -> DocumentError:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None:  # a character that YAML does not allow at all
            position = getattr(error, "position", 0) or 0
            before = text.encode()[:position]
            self.offset, line = len(before.decode(errors="ignore")), before.count(b"\n")
            message = f"character {getattr(error, 'character', 0):#04x} is not allowed in YAML"
            return DocumentError(message, Place(self._file, self._first_line + line + 1), "is this a text file?")
        self.offset = mark.index
        context, mark_of_context = getattr(error, "context", None), getattr(error, "context_mark", None)
        message = f"not valid YAML: {getattr(error, 'problem', error)}"
        if context and mark_of_context is not None and mark_of_context.line != mark.line:
            message += f", {context} that starts on line {self._first_line + mark_of_context.line + 1}"
        return DocumentError(
            message, Place(self._file, self._first_line + mark.line + 1), _syntax_hint(text, mark.index)
        )


def _short_tag(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag


def _syntax_hint(text: str, index: int) -> str:
    start = text.rfind("\n", 0, index) + 1
    line = text[start : text.find("\n", index) if "\n" in text[index:] else None]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "YAML does not allow tabs for indentation: use spaces"
    if "{{" in line:
        return _TEMPLATE_HINT
    if "${" in line:
        return "inside [ ] and { } a variable needs quotes"
    return ""
