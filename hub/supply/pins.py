"""Which commit of each repository counts now, and its trace: one trace per commit, from when it was made or seen."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import msgspec

from hub.domain.records import Commit, PathTimes, RepositoryInfo, Signature
from hub.domain.urls import redact
from hub.repositories import Repositories
from hub.sources.mirror import Mirror
from hub.supply.pinned import Key
from shared import telemetry
from shared.errors import DocumentError, Unavailable, YardarmError
from shared.model import Problem
from shared.tasks import Clock

log = logging.getLogger(__name__)

FLEET = "."
"""What applications call the fleet repository."""


@dataclass(frozen=True)
class Origin:
    """A commit of a repository that applications come from. `problem` says why a newer one is not acted upon."""

    mirror: Mirror
    commit: Commit
    traceparent: str
    times: PathTimes
    problem: Problem | None = None


class Pins:
    """Asks for commits of watched repositories; whatever it was asked for is watched from then on."""

    def __init__(self, repositories: Repositories, clock: Clock) -> None:
        self._repositories = repositories
        self._clock = clock
        self._seen: dict[str, tuple[str, PathTimes]] = {}

    async def origin(self, repo: str, ref: str) -> Origin | Problem:
        """The commit of a repository that counts now, or why there is none."""
        found = await self.peek(repo, ref)
        if isinstance(found, Problem):
            return found
        traceparent, times = self._trace(found.commit, found.mirror.name, found.times.detected or 0.0)
        return replace(found, traceparent=traceparent, times=times)

    async def peek(self, repo: str, ref: str) -> Origin | Problem:
        """As `origin`, without a trace: for somebody who only looks."""
        try:
            watched = await self._repositories.watch(repo)
            if not watched.available:
                return Problem("warning", f"{watched.mirror.name} has not been fetched yet")
            accepted = await watched.mirror.accept(ref)
            info = await watched.mirror.commit_info(accepted.commit)
            await self._repositories.complete(watched.mirror, accepted.commit)
        except DocumentError as error:
            return Problem("error", error.message, error.place, error.hint)
        except Unavailable as error:
            return Problem("error", str(error))
        signed, problem = accepted.signed, accepted.problem
        commit = Commit(
            info.sha,
            info.subject,
            info.author,
            info.time,
            Signature(signed.by, signed.key, signed.method) if signed is not None else None,
            info.email,
        )
        if problem is not None:
            problem = msgspec.structs.replace(problem, message=f"{watched.mirror.name}: {problem.message}")
        times = PathTimes(committed=commit.at, detected=watched.moved_at)
        return Origin(watched.mirror, commit, "", times, problem)

    async def refresh(self, repo: str) -> None:
        """Fetches now, for somebody who has just pushed. What is here stays as it is when that fails."""
        try:
            await (await self._repositories.watch(repo)).mirror.fetch()
        except YardarmError as error:
            log.info("a repository cannot be fetched now", extra={"repo": redact(repo), "error": str(error)})

    def keep(self, repos: Collection[str]) -> None:
        """Others than these are not watched any more."""
        self._repositories.keep(repos)

    def problems(self) -> list[Problem]:
        """What is wrong with repositories."""
        return self._repositories.problems()

    def repositories(self) -> tuple[RepositoryInfo, ...]:
        """Every repository that is watched, by name."""
        return self._repositories.infos()

    def _trace(self, commit: Commit, repo: str, detected: float) -> tuple[str, PathTimes]:
        known = self._seen.get(commit.sha)
        if known is None:
            times = PathTimes(committed=commit.at, detected=detected)
            attributes = {"yardarm.commit": commit.sha, "yardarm.repo": repo, "yardarm.subject": commit.subject}
            known = telemetry.begin_trace("commit", detected, self._clock.now(), attributes), times
            self._seen[commit.sha] = known
            log.info("commit", extra={"commit": commit.sha, "repo": repo, "trace": telemetry.trace_id(known[0])})
        return known


class Moment:
    """The commits of all repositories for one look at the fleet.

    Each is the one that counted when it was first asked for, whatever moves meanwhile.
    """

    def __init__(self, pins: Pins, repo: str, fleet: Origin) -> None:
        """`fleet` is the commit of the fleet repository, whose address is `repo`."""
        self._pins = pins
        self._repo = repo
        self.fleet = fleet
        self._origins: dict[Key, Origin | Problem] = {(repo, ""): fleet, (FLEET, ""): fleet}
        self._needed: set[Key] = set(self._origins)

    def only(self, keys: Collection[Key]) -> Moment:
        """The same moment, of which nothing is remembered but these repositories and the fleet's."""
        narrow = Moment(self._pins, self._repo, self.fleet)
        narrow._origins |= {key: self._origins[key] for key in keys if key in self._origins}
        return narrow

    async def origin(self, key: Key) -> Origin | Problem:
        """The commit of a repository and ref, or why there is none. It is needed, and so goes on being watched."""
        self._needed.add(key)
        return await self.glance(key)

    async def glance(self, key: Key) -> Origin | Problem:
        """As `origin`, for somebody who may find that it is not needed any more."""
        if key not in self._origins:
            repo, ref = key
            self._origins[key] = await self._pins.origin(self._repo if repo == FLEET else repo, ref)
        return self._origins[key]

    @property
    def repos(self) -> set[str]:
        """The addresses of all repositories that are needed."""
        return {self._repo if repo == FLEET else repo for repo, _ in self._needed}

    def problems(self) -> list[Problem]:
        """Why commits that are newer than those that count are not acted upon."""
        needed = (self._origins.get(key) for key in self._needed)
        found = (each.problem for each in needed if isinstance(each, Origin))
        return list(dict.fromkeys(problem for problem in found if problem is not None))

    @property
    def origins(self) -> Mapping[Key, Origin | Problem]:
        """Those that were asked for."""
        return self._origins
