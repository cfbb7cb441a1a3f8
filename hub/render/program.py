"""Runs somebody else's program on files of a job: a limit on everything, and nothing of the hub's around it.

The program has an empty PATH, no home, and a proxy that does not exist, so that it can neither start other programs nor
fetch anything by http; where the system lets an ordinary user have one, it gets a network of its own with nothing in
it. It stays in the worker's process group, which the pool kills as a whole.
"""

from __future__ import annotations

import functools
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = "/usr/bin:/bin"
_BLOCK = 512
_SAID = 64 * 1024
"""Bytes of standard error that are looked at; a crash of Go prints every goroutine."""

# Go reserves address space by the gigabyte and starts, or does not, by how that happens to fall: for Kustomize 750 MB
# are enough, 1200 are not. RLIMIT_DATA counts what is really used; to start takes 80 MB of it.
_LAUNCH = (
    'ulimit -c 0; ulimit -S -v "$(ulimit -H -v)"; ulimit -d "$1"; ulimit -f "$2"; ulimit -t "$3"; shift 3; exec "$@"'
)
_NO_PROXY_IS_HERE = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use: seconds, bytes of memory, bytes of output."""

    seconds: float
    memory: int
    output: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended: what it wrote and what it said on standard error.

    `failure` is empty when it ended well; a limit that it met is told in words, anything else by its exit code.
    `limited` says which of the two it was.
    """

    output: bytes
    said: str
    failure: str = ""
    limited: bool = False


def run(command: tuple[str, ...], folder: Path, limits: Limits) -> Outcome:
    """Run `command` in `folder`.

    Raises:
        OSError: it cannot be started.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as said:
        numbers = limits.memory // 1024, limits.output // _BLOCK + 1, 2 * int(limits.seconds) + 1  # on two cores
        process = subprocess.Popen(  # noqa: S603 - an operator's program, and no shell reads its arguments
            ["/bin/sh", "-c", _LAUNCH, "sh", *map(str, numbers), *_isolation(), *command],
            cwd=folder,
            env=_environment(folder, limits),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=said,
        )
        late = False
        try:
            process.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        words = said.read(_SAID).decode(errors="replace").strip()
        output.seek(0)
        written = output.read(limits.output + 1)
    if overrun := _overrun(process.returncode, words, len(written), limits, late=late):
        return Outcome(b"", words, overrun, limited=True)
    return Outcome(written, words, f"exit code {process.returncode}" if process.returncode else "")


def _overrun(code: int, said: str, written: int, limits: Limits, *, late: bool) -> str:
    """Which limit the program met, in words; '' for none."""
    if late or code == -signal.SIGXCPU:
        return f"took longer than {limits.seconds:g} s and was stopped"
    if written > limits.output or code == -signal.SIGXFSZ or "file too large" in said:
        return f"wrote more than {limits.output // 1024**2} MiB"
    if code and ("out of memory" in said or "cannot allocate memory" in said or "failed to reserve" in said):
        return f"needs more than {limits.memory // 1024**2} MB of memory"
    if code and "stack" in said and "exceeds" in said:
        return "recursed without end and was stopped"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else ""


def _environment(folder: Path, limits: Limits) -> dict[str, str]:
    return {
        "PATH": "/nonexistent",
        "TMPDIR": str(folder),
        "http_proxy": _NO_PROXY_IS_HERE,
        "https_proxy": _NO_PROXY_IS_HERE,
        "GIT_ALLOW_PROTOCOL": "none",
        "GOMEMLIMIT": f"{limits.memory * 3 // 4}B",
        "GOMAXPROCS": "2",
    }


@functools.cache
def _isolation() -> tuple[str, ...]:
    """What to put before a command so that it has no network; nothing where the system does not allow it."""
    unshare = shutil.which("unshare", path=_SYSTEM)
    if unshare is None:
        return ()
    prefix = (unshare, "--map-root-user", "--net", "--")
    tried = subprocess.run(  # noqa: S603 - words of ours
        [*prefix, "/bin/true"], env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False
    )
    return prefix if tried.returncode == 0 else ()
