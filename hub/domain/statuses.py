"""Commit statuses: what a Git host is told of the rollout of a commit, and how each host wants to be told. Pure.

GitHub, GitLab, Gitea (and Forgejo) and Bitbucket Cloud show it beside the commit and in pull requests.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

Provider = Literal["github", "gitlab", "gitea", "bitbucket"]

CONTEXT = "yardarm/"
_LONGEST = 140
"""Characters of a description: GitHub takes no more."""
_LONGEST_KEY = 40
"""Characters of a key at Bitbucket."""
_SHORT = 7


class State(enum.StrEnum):
    """What a host can show. Stopped: it will not be finished, and not because of a failure."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    STOPPED = "stopped"


_STATES: dict[str, State] = {
    "Completed": State.SUCCESS,
    "Failed": State.FAILURE,
    "RolledBack": State.FAILURE,
    "Aborted": State.FAILURE,
    "Superseded": State.STOPPED,
}
"""By the phase of a rollout; in all others it is under way."""

_WORDS: dict[Provider, dict[State, str]] = {
    "github": {State.STOPPED: "failure"},
    "gitea": {State.STOPPED: "failure"},
    "gitlab": {State.PENDING: "running", State.FAILURE: "failed", State.STOPPED: "canceled"},
    "bitbucket": {
        State.PENDING: "INPROGRESS",
        State.SUCCESS: "SUCCESSFUL",
        State.FAILURE: "FAILED",
        State.STOPPED: "STOPPED",
    },
}
"""Where a host's word is another than ours."""


@dataclass(frozen=True, slots=True)
class StageCount:
    """A stage that has begun: how many of its clusters are done, of how many, and how many failed."""

    name: str
    done: int
    total: int
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """A rollout as a commit status tells of it.

    `repo` is the address of the repository that `commit` is in, `phase` the rollout's. `stages` are those that have
    begun. `back_to` is the commit it went back to, or that took its place; `reason` is why it stands still or ended.
    """

    application: str
    repo: str
    commit: str
    phase: str
    stages: tuple[StageCount, ...] = ()
    back_to: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """What is shown."""

    state: State
    description: str


@dataclass(frozen=True, slots=True)
class Request:
    """A POST that sets a status. `body` is JSON; the headers are without secrets."""

    url: str
    body: Mapping[str, str]
    headers: Mapping[str, str]


def status_of(summary: Summary) -> Status:
    """What is to be shown of a rollout."""
    state = _STATES.get(summary.phase, State.PENDING)
    return Status(state, _cut(_description(summary)))


def _description(summary: Summary) -> str:
    progress = ", ".join(f"{stage.name} {stage.done}/{stage.total}" for stage in summary.stages)
    failed = ", ".join(
        f"{stage.failed} {'cluster' if stage.failed == 1 else 'clusters'} failed in {stage.name}"
        for stage in summary.stages
        if stage.failed
    )
    why = failed or summary.reason
    because = f": {why}" if why else ""
    to = f" {'to' if summary.phase == 'RolledBack' else 'by'} {summary.back_to[:_SHORT]}" if summary.back_to else ""
    match summary.phase:
        case "Completed":
            return progress or "done"
        case "RolledBack":
            return f"rolled back{to}{because}"
        case "Superseded":
            return f"superseded{to}"
        case "Failed" | "Aborted":
            return f"{summary.phase.lower()}{because}"
        case "RollingBack":
            return f"rolling back{because}"
        case "Paused":
            return f"paused{because}"
        case _:
            waiting = f"; {summary.reason}" if summary.reason else ""
            return f"{progress or 'not begun'}{waiting}"


def request(provider: Provider, api: str, project: str, summary: Summary, status: Status, link: str) -> Request:
    """How a host is told.

    Args:
        provider: which kind of host.
        api: the address of its API, see `api_of`.
        project: the path of the repository there, as `team/fleet`.
        summary: which application and commit.
        status: what is shown.
        link: where people find more; empty: nowhere.
    """
    context = f"{CONTEXT}{summary.application}"
    body = {"state": _WORDS[provider].get(status.state, status.state.value), "description": status.description}
    base, path, commit = api.rstrip("/"), quote(project), summary.commit
    match provider:
        case "gitlab":
            where = f"{base}/projects/{quote(project, safe='')}/statuses/{commit}"
            named = {"name": context}
        case "bitbucket":
            where = f"{base}/repositories/{path}/commit/{commit}/statuses/build"
            # It wants a link in any case, and takes the last forty characters of a key that is longer.
            named = {"key": context[-_LONGEST_KEY:], "name": context}
            named["url"] = link or f"https://bitbucket.org/{path}/commits/{commit}"
        case _:
            where = f"{base}/repos/{path}/statuses/{commit}"
            named = {"context": context}
    target = {"target_url": link} if link and provider != "bitbucket" else {}
    accept = {"github": "application/vnd.github+json"}.get(provider, "application/json")
    return Request(where, {**body, **named, **target}, {"Accept": accept})


def host_of(prefix: str) -> str:
    """The host that an address prefix begins with: `github.com/team`, `https://git.example.com:8443/`."""
    return prefix.rpartition("://")[2].partition("/")[0].rpartition("@")[2].lower()


def provider_of(host: str) -> Provider | None:
    """Which kind of host it is, as far as its name tells."""
    known: dict[str, Provider] = {
        "github.com": "github",
        "gitlab.com": "gitlab",
        "bitbucket.org": "bitbucket",
        "codeberg.org": "gitea",
    }
    return known.get(host.lower())


def api_of(provider: Provider, host: str) -> str:
    """Where the API of a host is, unless an operator says otherwise."""
    match provider:
        case "github":
            return "https://api.github.com" if host.lower() == "github.com" else f"https://{host}/api/v3"
        case "gitlab":
            return f"https://{host}/api/v4"
        case "gitea":
            return f"https://{host}/api/v1"
        case "bitbucket":
            return "https://api.bitbucket.org/2.0"


def authorization(provider: Provider, token: str) -> str:
    """The value of the header with which a host is shown a token."""
    return f"{'token' if provider == 'gitea' else 'Bearer'} {token}"


def is_known_already(provider: Provider, code: int, answer: str) -> bool:
    """Whether a refusal means that the host shows this state now: GitLab takes no change from a state to itself."""
    return provider == "gitlab" and code == 400 and "Cannot transition status" in answer


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1].rstrip()}…"
