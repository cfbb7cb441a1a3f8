"""Promotion that is written to Git: which pins have to be written next, and how the document and the commit read. Pure.

An environment gets the commit that the environment before it is done with: only the next one, only forwards, and not
while the application is held. Environments without a cluster of the application are passed over; the first that has
some and follows nobody is not pinned by the hub.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from hub.domain import semver
from hub.domain.documents import API_VERSION
from shared.errors import DocumentError
from shared.model import Place

_SHORT = 7


@dataclass(frozen=True, slots=True)
class Due:
    """A pin to be written: `revision`, a commit or a version, for `environment`.

    `before` is what is pinned there now, empty when nothing is; `after` is the environment that is done with it.
    """

    environment: str
    revision: str
    before: str
    after: str


def due(
    environments: Sequence[str],
    present: Collection[str],
    pins: Mapping[str, str],
    completed: Mapping[str, str],
    newer: Callable[[str, str], bool],
) -> tuple[Due, ...]:
    """The pins that have to be written now, in order; none of a held application, which need not ask.

    Args:
        environments: in order of promotion; the first follows the source.
        present: those in which the application has, or is to have, clusters.
        pins: what is pinned now, by environment.
        completed: what the last completed rollout brought to all clusters of an environment, by environment. One where
            something else is on its way, or failed, is not in it.
        newer: whether the first of two revisions came after the second.
    """
    return tuple(_due(environments, present, pins, completed, newer))


def _due(
    environments: Sequence[str],
    present: Collection[str],
    pins: Mapping[str, str],
    completed: Mapping[str, str],
    newer: Callable[[str, str], bool],
) -> Iterator[Due]:
    before = ""
    for number, environment in enumerate(environments):
        if environment not in present:
            continue
        done, have = completed.get(before, ""), pins.get(environment, "")
        if number and done and done != have and (not have or newer(done, have)):
            yield Due(environment, done, have, before)
        before = environment


def newer_version(one: str, other: str) -> bool:
    """Whether a chart's version is higher than another; false where either is no version."""
    first, second = semver.parse(one), semver.parse(other)
    return first is not None and second is not None and first > second


def message(application: str, pin: Due, subject: str, rollout: str) -> str:
    """What the commit says. `subject` is that of the commit that is promoted, `rollout` the id of what completed it."""
    trailer = f"\n\nYardarm-Rollout: {rollout}" if rollout else ""
    said = f"{short(pin.revision)} {subject}".strip()
    return f"promote {application} to {pin.environment}: {said}{trailer}\n"


def branch(application: str, pin: Due) -> str:
    """The branch for review: one for each change, so that none of them is ever moved."""
    return f"yardarm/promote-{application}-{pin.environment}-{short(pin.revision)}"


def short(revision: str) -> str:
    """A commit as people write it; a version as it is, in letters that a branch may have."""
    if len(revision) == len("f" * 40) and all(each in "0123456789abcdef" for each in revision):
        return revision[:_SHORT]
    return revision.replace("+", "-")


def document(application: str, pins: Mapping[str, str], *, chart: bool = False) -> str:
    """A Promotion document as the hub writes it."""
    lines = [f"apiVersion: {API_VERSION}", "kind: Promotion", f"metadata: {{name: {application}}}", "spec:"]
    lines += ["  environments:", *(f"    {name}: {_pin(revision, chart)}" for name, revision in pins.items())]
    return "\n".join(lines) + "\n"


def pinned_in(text: str, application: str, file: str = "") -> dict[str, str] | None:
    """The pins that a file has for an application; None: it has no Promotion of it.

    Raises:
        DocumentError: the file cannot be read.
    """
    found = _find(text, application, file)
    return _pins(found) if found is not None else None


def changed(text: str, application: str, pin: Due, file: str = "", *, chart: bool = False) -> str:
    """The text of a file with a pin in its Promotion, or with the document added. All else stays as people wrote it.

    Raises:
        DocumentError: it cannot be read, or is written in a way that the hub cannot add to.
    """
    found = _find(text, application, file)
    if found is None:
        between = "" if not text.strip() else "---\n" if text.endswith("\n") else "\n---\n"
        return text + between + document(application, {pin.environment: pin.revision}, chart=chart)
    wanted = {**_pins(found), pin.environment: pin.revision}
    result = _edited(text, found, pin, chart=chart)
    if result is None or pinned_in(result, application, file) != wanted:
        hint = f"write `{pin.environment}: {_pin(pin.revision, chart)}` there, in block style"
        line = found.start_mark.line + 1
        raise DocumentError(f"the pin for {pin.environment} cannot be put in here", Place(file, line), hint)
    return result


def _pin(revision: str, chart: bool) -> str:  # noqa: FBT001 - inside this module
    """In quotes: a commit may look like a number."""
    return f"{{{'version' if chart else 'commit'}: {json.dumps(revision)}}}"


def _find(text: str, application: str, file: str) -> yaml.MappingNode | None:
    try:
        nodes = list(yaml.compose_all(text, yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise DocumentError(f"cannot be read: {error}", Place(file)) from None
    for node in nodes:
        api, kind, name = _text(_at(node, "apiVersion")), _text(_at(node, "kind")), _text(_at(node, "metadata", "name"))
        if isinstance(node, yaml.MappingNode) and (api, kind, name) == (API_VERSION, "Promotion", application):
            return node
    return None


def _pins(node: yaml.Node) -> dict[str, str]:
    environments = _at(node, "spec", "environments")
    if not isinstance(environments, yaml.MappingNode):
        return {}
    pins = ((_text(key), _text(_at(pin, "commit")) or _text(_at(pin, "version"))) for key, pin in environments.value)
    return {name: revision for name, revision in pins if revision}


def _edited(text: str, found: yaml.Node, pin: Due, *, chart: bool) -> str | None:
    """The text with the pin in it; None when there is no place for it."""
    environments = _at(found, "spec", "environments")
    if not isinstance(environments, yaml.MappingNode) or not environments.value:
        return None
    known = _at(environments, pin.environment)
    if known is not None:
        scalar = _at(known, "version" if chart else "commit")
        if not isinstance(scalar, yaml.ScalarNode):
            return None
        return text[: scalar.start_mark.index] + json.dumps(pin.revision) + text[scalar.end_mark.index :]
    key, last = environments.value[-1]
    entry = f"{pin.environment}: {_pin(pin.revision, chart)}"
    if environments.flow_style:
        return text[: last.end_mark.index] + f", {entry}" + text[last.end_mark.index :]
    end = text.find("\n", _end(last))
    end = len(text) if end < 0 else end
    return text[:end] + f"\n{' ' * key.start_mark.column}{entry}" + text[end:]


def _end(node: yaml.Node) -> int:
    """Where the last character of a node is. The end of a block collection is only where the next thing begins."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    end: int = node.end_mark.index
    return end


def _at(node: yaml.Node | None, *keys: str) -> yaml.Node | None:
    for wanted in keys:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for key, value in node.value if _text(key) == wanted), None)
    return node


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
