"""Tells other programs where the demo is: the note for this user's own commands, and the file asked for by --info.

Both hold a token, so only their owner may read them.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from shared.errors import YardarmError


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes the file whole or not at all.

    Raises:
        YardarmError: the place is not writable, or belongs to somebody else.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise YardarmError(f"cannot write {path}: {error.strerror}") from error


def write_own(path: Path, content: dict[str, Any]) -> None:
    """As `write`, in a folder that must be this user's alone: where it is not, there is no note."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.parent.stat(follow_symlinks=False)
    except OSError as error:
        raise YardarmError(f"cannot write {path}: {error.strerror}") from error
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise YardarmError(f"{path.parent} belongs to somebody else: other commands need YARDARM_HUB and YARDARM_TOKEN")
    write(path, content)


def remove(path: Path, content: dict[str, Any]) -> None:
    """Removes the file if it still is this one: a demo started later may have written its own."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text(encoding="utf-8")) == content:
            path.unlink()


def remove_own(path: Path, content: dict[str, Any]) -> None:
    """As `remove`, and the folder with it once nothing is in it."""
    remove(path, content)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
