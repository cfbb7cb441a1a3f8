"""Takes the network away from this process and all that it starts, for good.

Templates are other people's programs, and so are the tools that some of them need. Linux refuses, at our own request
and without any privilege, to open sockets other than local ones (seccomp). Elsewhere, and on processors that this
module does not know, nothing is taken away: it is a second wall, not the first.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
import sys

_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""What the kernel calls the processor, and its number of the call `socket`."""
_IO_URING_SETUP = 425
"""Another way to sockets, on every processor."""
_X32 = 0x40000000
"""Calls from here on are those of a second set on x86_64, with other numbers."""

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def without_network() -> bool:
    """From now on; call it before there are other threads. Whether it could be done."""
    known = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if known is None:
        return False
    instructions = _filter(*known)
    program = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: int, socket_call: int) -> bytes:
    """A BPF program: jumps count the instructions they pass over, when true and when false."""
    steps = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 6, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_AT_LEAST, 4, 0, _X32),
        (_JUMP_IF_EQUAL, 3, 0, _IO_URING_SETUP),
        (_JUMP_IF_EQUAL, 0, 3, socket_call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 1, 0, socket.AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("HBBI", *step) for step in steps)
