"""A preview as Markdown, fit for a comment on a pull request: the sum first, each change folded, and never too long."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

from hub.domain.preview import wording
from hub.domain.preview.model import ApplicationChange, FieldChange, Live, LiveField, ObjectChange, Preview
from hub.domain.preview.planning import Plan, PlannedWave

MARKER = "<!-- yardarm preview -->"
"""The first line, by which a script finds the comment that it wrote before."""

LIMIT = 60_000
"""Bytes. A comment on GitHub may have 65,536 characters; GitLab and Gitea allow more."""

_RESERVE = 600
"""Bytes kept for the line that says what was cut."""

_BLOCK = 200
"""Lines of one change; the rest of it is counted."""


def markdown(preview: Preview, plan: Plan | None = None, limit: int = LIMIT) -> str:
    """The comment, at most `limit` bytes long. What does not fit is left out whole, and counted at the end.

    With a plan, applications that do not reach all their clusters at once, and now, have their waves.
    """
    page = _Page(limit - _RESERVE)
    page.add(f"{MARKER}\n### Yardarm: {_code(preview.from_)} → {_code(preview.to)}\n\n**{_plain(_sum(preview))}**\n")
    for block in _blocks(preview, plan):
        page.add(block)
    if page.cut:
        command = f"yardarm diff --from {preview.from_.commit or preview.from_.ref} --to {preview.to.commit or '…'}"
        page.end(f"\n**Cut here: {wording.counted(page.cut, 'part')} more do not fit.** {_code(command)} shows all.\n")
    return page.text


class _Page:
    """Text up to a limit. Once a part does not fit, no later one is taken, so that nothing is missing in between."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._parts: list[str] = []
        self.cut = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def add(self, part: str) -> None:
        size = len(part.encode())
        if self.cut or size > self._left:
            self.cut += 1
            return
        self._left -= size
        self._parts.append(part)

    def end(self, part: str) -> None:
        self._parts.append(part)


def _sum(preview: Preview) -> str:
    told = wording.headline(preview)
    return f"{told[0].upper()}{told[1:]}."


def _blocks(preview: Preview, plan: Plan | None) -> Iterator[str]:
    planned = {each.name: each for each in plan.applications} if plan is not None else {}
    if preview.new:
        yield _list("Problems that it brings", map(wording.finding, preview.new))
    if preview.outdated or preview.outdated_before:
        lines = [*map(wording.outdated, preview.outdated), wording.outdated_before(preview)]
        yield _list("API versions that Kubernetes gives up", filter(None, lines))
    if preview.held:
        held = (
            f"{f'{each.application}: ' if each.application else ''}{each.reason}"
            + (f" ({wording.some(each.clusters)})" if each.clusters else "")
            for each in preview.held
        )
        yield _list("Waits for a person's word (yardarm confirm)", held)
    for application in preview.applications:
        yield from _application(application, preview)
        waves = planned[application.name].waves if application.name in planned else ()
        if len(waves) > 1 or any(wave.before for wave in waves):
            title = f"In {wording.counted(len(waves), 'wave')}"
            yield f"<details><summary>{title}</summary>\n\n{_table(waves)}\n</details>\n"
    for number, live in enumerate(preview.live):
        yield ("\n#### As the clusters say\n" if number == 0 else "") + _live(live)
    if preview.mended:
        yield _list("Problems that it ends", map(wording.finding, preview.mended))


def _application(change: ApplicationChange, preview: Preview) -> Iterator[str]:
    where = wording.by_environment(change.clusters, preview.environments) if change.clusters else "no cluster"
    lines = [f"\n#### {_code(change.name)} {'' if change.action == 'changed' else f'{change.action} '}— {where}\n"]
    lines += [f"- {_plain(line)}\n" for line in wording.moves(change)]
    yield "".join(lines)
    if change.settings:
        yield _folded("How it is kept", _hunks(change.settings), "")
    for each in change.objects:
        yield _object(each, change)


def _table(waves: Iterable[PlannedWave]) -> str:
    rows = ["| wave | clusters | at once | after |\n|---|---|---|---|\n"]
    for wave in waves:
        where = f"{len(wave.clusters)}: {wording.some(wave.clusters)}"
        cells = (wave.name, where, str(wave.at_once), "; ".join(wave.before))
        rows.append(f"| {' | '.join(map(_plain, cells))} |\n")
    return "".join(rows)


def _object(change: ObjectChange, application: ApplicationChange) -> str:
    everywhere = change.clusters == application.clusters
    title = f"{change.action} {change.object}" + (f" — {change.note}" if change.note else "")
    if len(change.clusters) == 1:
        title, where = f"{title} on {change.clusters[0]}", ""
    else:
        title += f", the same on {'all ' if everywhere else ''}{len(change.clusters)} clusters"
        where = wording.some(change.clusters, 50)
    return _folded(title, wording.body(change), where)


def _live(live: Live) -> str:
    where = wording.some(live.clusters)
    if not live.answered:
        return f"- {_code(live.application)}: no answer from {_plain(where)}: {_plain(live.reason)}\n"
    lines: list[str] = []
    for each in live.objects:
        lines.append(f"# {each.action} {each.object}" + (f": {each.reason}" if each.reason else ""))
        lines += _hunks(each.fields)
    title = f"{live.application} on {where}: {live.unchanged} as they are, {len(live.objects)} not"
    return _folded(f"{title}{f'; {live.reason}' if live.reason else ''}", lines, "")


def _hunks(fields: Iterable[FieldChange | LiveField]) -> Iterator[str]:
    for field in fields:
        yield from wording.hunk(field)


def _list(title: str, items: Iterable[str]) -> str:
    return f"\n#### {_plain(title)}\n" + "".join(f"- {_plain(item)}\n" for item in items)


def _folded(title: str, lines: Iterable[str], below: str) -> str:
    shown = list(lines)
    more = len(shown) - _BLOCK
    if more > 0:
        shown = [*shown[:_BLOCK], f"# … {more} more lines"]
    content = "\n".join(shown)
    fence = "`" * max(3, _longest_run(content) + 1)
    where = f"{_plain(below)}\n\n" if below else ""
    summary = html.escape(title, quote=False).replace("@", "@\u200b")
    return f"<details><summary>{summary}</summary>\n\n{where}{fence}diff\n{content}\n{fence}\n\n</details>\n"


def _longest_run(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    return longest


def _plain(text: str) -> str:
    """Text in which nothing is markup, and nobody is mentioned."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    for char in "\\`*_[]|~#":
        escaped = escaped.replace(char, f"\\{char}")
    return escaped.replace("@", "@\u200b")


def _code(text: object) -> str:
    shown = " ".join(str(text).split())
    fence = "`" * (_longest_run(shown) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
