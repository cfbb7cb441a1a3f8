"""A preview as text like that of `diff -u`: a block for each change, with the clusters that it is the same on."""

from __future__ import annotations

from collections.abc import Iterator

from hub.domain.preview import wording
from hub.domain.preview.model import ApplicationChange, Live, ObjectChange, Preview


def unified(preview: Preview) -> str:
    """The whole preview; what is no change of a field stands in lines that begin with `#`."""
    return "".join(f"{line}\n" for line in _lines(preview))


def _lines(preview: Preview) -> Iterator[str]:
    yield f"# {preview.from_} -> {preview.to}: {wording.headline(preview)}"
    yield from (f"# new {wording.finding(each)}" for each in preview.new)
    yield from (f"# outdated {wording.outdated(each)}" for each in preview.outdated)
    if preview.outdated_before:
        yield f"# outdated {wording.outdated_before(preview)}"
    yield from (f"# mended {wording.finding(each)}" for each in preview.mended)
    for held in preview.held:
        about = f"{held.application}: " if held.application else ""
        yield f"# waits for a person's word: {about}{held.reason}" + (
            f" [{wording.on(held.clusters)}]" if held.clusters else ""
        )
    for application in preview.applications:
        yield from _application(application, preview)
    for live in preview.live:
        yield from _live(live)


def _application(change: ApplicationChange, preview: Preview) -> Iterator[str]:
    yield from (f"# {change.name} {line}" for line in wording.moves(change))
    if change.settings:
        yield f"diff {change.name}: how it is kept"
        yield f"--- {preview.from_}"
        yield f"+++ {preview.to}"
        for field in change.settings:
            yield from wording.hunk(field)
    for each in change.objects:
        yield from _object(change.name, each, preview)


def _object(application: str, change: ObjectChange, preview: Preview) -> Iterator[str]:
    yield f"diff {application}: {change.object} {wording.on(change.clusters)}"
    if change.note:
        yield f"# {change.note}"
    yield f"--- {preview.from_ if change.action != 'added' else '/dev/null'}"
    yield f"+++ {preview.to if change.action != 'removed' else '/dev/null'}"
    yield from wording.body(change)


def _live(live: Live) -> Iterator[str]:
    where = wording.on(live.clusters)
    if not live.answered:
        yield f"# live {live.application}: no answer from {wording.some(live.clusters)}: {live.reason}"
        return
    yield f"# live {live.application} {where}: {live.unchanged} objects as they are" + (
        f"; {live.reason}" if live.reason else ""
    )
    for each in live.objects:
        yield f"live {live.application}: {each.object} {each.action} {where}"
        if each.reason:
            yield f"# {each.reason}"
        for field in each.fields:
            yield from wording.hunk(field)
