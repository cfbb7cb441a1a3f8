"""What an agent must still know after a restart without hub and NATS: assignments, bundles, what it applied.

One directory (0700), a few files (0600) per unit: the signed assignment as it came, the body of its bundle, the
digests of what was applied, when the assignment reached each point, and which deletions were confirmed. Files are
replaced as a whole, body before assignment. Nothing here is believed on reading: signature and digest are checked as
for a message, and a file that does not pass is dropped with a warning, since the hub will give it again. Secrets are
kept as the bundle holds them.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson
import zstandard

from agent.domain.desired import Key
from shared.bundle import BODY_LIMIT, Bundle, body_digest, decompress
from shared.errors import DigestMismatch, InvalidMessage, YardarmError
from shared.messages import Assignment, Timeline
from shared.model import UnitKey
from shared.signing import Trust

log = logging.getLogger(__name__)


class InUse(YardarmError):
    """Another agent holds this state directory."""


class Saved(msgspec.Struct, frozen=True):
    """A unit as it was when the agent last ran."""

    assignment: Assignment
    bundle: Bundle
    applied: dict[Key, str]
    timeline: Timeline | None = None
    """When the assignment reached each point; None when it is not known of this generation."""
    granted: frozenset[Key] = frozenset()
    """Objects of this bundle's unit whose deletion was confirmed."""


class State:
    """The files. Methods block; they are called in a thread by `agent.keeper` and directly at start.

    Writing never raises: an agent with a full or read-only disk goes on with what it has in memory, and `problem`
    says so until a write succeeds again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._units = directory / "units"
        self._problems: dict[Path, str] = {}
        self._identity = ""
        self._writing = threading.Lock()  # at the end a last write may meet one that a thread is still making

    @property
    def problem(self) -> str:
        """Why something is not kept; empty when all is. A small file that fits does not speak for a large one."""
        return next(iter(self._problems.copy().values()), "")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process.

        Raises:
            InUse: another process holds it.
        """
        try:
            self._units.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # Without a lock there is no file to fight over either.
            self._failed("cannot be used", error)
            yield
            return
        try:
            self._lock(handle)
            yield
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                self._failed("cannot be locked", error)
                return
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise InUse(
                f"{self._directory} is in use by another agent (process {holder}): only one may act for a cluster. "
                "Stop it, or give this one another --state directory and cluster"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)

    def identity(self) -> str:
        """Names whoever holds this directory, over restarts; a new name when it cannot be kept."""
        path = self._directory / "identity"
        try:
            if (kept := path.read_text(encoding="ascii").strip()).isalnum():
                return kept
        except (OSError, ValueError):
            pass  # the first start, or a file that was damaged: a new one is written
        self._identity = secrets.token_hex(6)
        self._write({path: self._identity.encode()})
        return self._identity

    def moment(self) -> float:
        """The time up to which the last run has spoken; 0 when that is not known."""
        try:
            return float((self._directory / "moment").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0.0

    def save_moment(self, at: float) -> None:
        """Keeps the time, and the identity if that could not be kept yet."""
        path = self._directory / "identity"
        late = {path: self._identity.encode()} if path in self._problems else {}
        self._write({**late, self._directory / "moment": repr(at).encode()})

    def load(self, trust: Trust, cluster: str) -> list[Saved]:
        """All units that can be read and believed."""
        found = []
        try:
            paths = sorted(self._units.glob("*.assignment"))
        except OSError as error:
            self._failed("cannot be read", error)
            return []
        for path in paths:
            try:
                found.append(self._load(path, trust, cluster))
            except (OSError, InvalidMessage) as error:
                log.warning(
                    "saved state is not usable and will be fetched again",
                    extra={"file": str(path), "error": str(error)},
                )
        return found

    def _load(self, path: Path, trust: Trust, cluster: str) -> Saved:
        assignment = trust.open(path.read_bytes(), Assignment)
        if assignment.cluster != cluster or path != self._path(assignment.unit, "assignment"):
            raise InvalidMessage(f"it is for {assignment.unit}")
        stored = path.with_suffix(".body").read_bytes()
        body = decompress(stored, BODY_LIMIT) if stored else b""
        if body_digest(assignment.policy, body) != assignment.digest:
            raise DigestMismatch(f"the bundle is not {assignment.digest[:12]}")
        bundle = Bundle(policy=assignment.policy, lines=tuple(body.split(b"\n")) if body else ())
        timeline = self._load_timeline(path.with_suffix(".timeline"), assignment.generation)
        granted = self._load_granted(path.with_suffix(".granted"), assignment.digest)
        applied = self._load_applied(path.with_suffix(".applied"))
        return Saved(assignment, bundle, applied, timeline, granted)

    def _load_timeline(self, path: Path, generation: int) -> Timeline | None:
        try:
            saved_for, timeline = msgspec.json.decode(path.read_bytes(), type=tuple[int, Timeline])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return timeline if saved_for == generation else None

    def _load_granted(self, path: Path, digest: str) -> frozenset[Key]:
        """Nothing when unreadable: then it has to be confirmed again."""
        try:
            saved_for, keys = msgspec.json.decode(path.read_bytes(), type=tuple[str, list[Key]])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return frozenset()
        return frozenset(keys) if saved_for == digest else frozenset()

    def _load_applied(self, path: Path) -> dict[Key, str]:
        """Digests by object; empty when unreadable: everything is compared anew then."""
        try:
            listed = orjson.loads(path.read_bytes())
            return {(group, kind, namespace, name): digest for group, kind, namespace, name, digest in listed}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            log.warning("saved digests are not usable", extra={"file": str(path), "error": str(error)})
            return {}

    def save(self, unit: UnitKey, signed: bytes, bundle: Bundle) -> None:
        """Keeps an assignment (as it came, signed) and its bundle."""
        body = b"\n".join(bundle.lines)
        packed = zstandard.ZstdCompressor(level=3).compress(body) if body else b""
        self._write({self._path(unit, "body"): packed, self._path(unit, "assignment"): signed})

    def save_applied(self, unit: UnitKey, applied: Mapping[Key, str]) -> None:
        """Keeps the digests of what was applied."""
        self._write({self._path(unit, "applied"): orjson.dumps([[*key, digest] for key, digest in applied.items()])})

    def save_granted(self, unit: UnitKey, digest: str, granted: Collection[Key]) -> None:
        """Keeps which deletions were confirmed for the bundle of this digest."""
        self._write({self._path(unit, "granted"): msgspec.json.encode((digest, sorted(granted)))})

    def save_timeline(self, unit: UnitKey, generation: int, timeline: Timeline) -> None:
        """Keeps when the assignment of this generation reached each point."""
        self._write({self._path(unit, "timeline"): msgspec.json.encode((generation, timeline))})

    def forget(self, unit: UnitKey) -> None:
        """Removes a unit that has left the cluster."""
        try:
            for kind in ("assignment", "body", "applied", "timeline", "granted"):
                self._problems.pop(self._path(unit, kind), None)
                self._path(unit, kind).unlink(missing_ok=True)
        except OSError as error:
            self._failed("cannot be written", error)

    def _path(self, unit: UnitKey, kind: str) -> Path:
        return self._units / f"{unit.namespace}.{unit.application}.{kind}"

    def _write(self, files: Mapping[Path, bytes]) -> None:
        path = self._directory
        try:
            with self._writing:
                for path, content in files.items():
                    _replace(path, content)
                    self._problems.pop(path, None)
        except OSError as error:
            self._failed("cannot be written", error, path)
        else:
            self._problems.pop(self._directory, None)

    def _failed(self, what: str, error: OSError, path: Path | None = None) -> None:
        problem = f"the state directory {self._directory} {what}: {error.strerror or error}"
        if problem not in self._problems.values():
            log.error("state is not kept on disk", extra={"error": problem})
        self._problems[path or self._directory] = problem


def _replace(path: Path, content: bytes) -> None:
    """Writes a file so that after a crash either the old or the new content is there."""
    temporary = path.with_suffix(f"{path.suffix}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
