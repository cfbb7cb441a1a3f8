"""The process that renders: `python -m hub.render.worker`, one job at a time from stdin, results to stdout.

Hostile input ends at worst here: memory is limited, the pool limits time and replaces what dies. The worker uses no
network and reads no file but those in its job. A frame is four bytes of length, then MessagePack. What only some jobs
need is loaded with the first of them.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import BinaryIO, overload

import msgspec

from hub.render.confinement import without_network
from hub.render.job import (
    HelmJob,
    Job,
    JsonnetJob,
    Judged,
    KustomizeJob,
    PlainJob,
    Rendered,
    RenderError,
    Result,
    RulesJob,
    Templated,
    TemplateJob,
)
from hub.render.plain import render
from shared.model import Problem, Value

HEADER = 4
READY = b"R"
"""Sent once, when everything is loaded: loading does not count against the first job's time."""


class Reply(Value, frozen=True):
    """What became of a job: a result, or the problems for which there is none."""

    result: Result | None = None
    problems: tuple[Problem, ...] = ()
    out_of_memory: bool = False


def pack(value: Value) -> bytes:
    """A frame."""
    body = msgspec.msgpack.encode(value)
    return len(body).to_bytes(HEADER, "big") + body


def length(header: bytes) -> int:
    """Bytes of the frame that follow its header."""
    return int.from_bytes(header, "big")


@overload
def perform(job: PlainJob) -> Rendered: ...


@overload
def perform(job: TemplateJob) -> Templated: ...


@overload
def perform(job: RulesJob) -> Judged: ...


def perform(job: Job) -> Result:
    """What is asked for.

    Raises:
        RenderError: it cannot be had.
    """
    match job:
        case PlainJob():
            return render(job)
        case HelmJob():
            from hub.render.helm.template import template

            return template(job)
        case KustomizeJob():
            from hub.render.kustomize.build import build

            return build(job)
        case JsonnetJob():
            from hub.render.jsonnet.evaluate import evaluate

            return evaluate(job)
        case RulesJob():
            from hub.render.judging import judge

            return judge(job)


def answer(job: Job) -> Reply:
    """The result; running out of memory is an answer too, as long as Python gets the word."""
    try:
        return Reply(result=perform(job))
    except RenderError as error:
        return Reply(problems=error.problems)
    except MemoryError:
        return Reply(out_of_memory=True)


def serve(requests: BinaryIO, replies: BinaryIO, timeout: float) -> None:
    """Answer jobs until the pool closes the pipe.

    The pool kills what takes longer than `timeout` seconds; should the pool itself have died, an alarm does it.
    """
    decoder = msgspec.msgpack.Decoder(Job)
    replies.write(READY)
    replies.flush()
    while header := requests.read(HEADER):
        job = decoder.decode(requests.read(length(header)))
        signal.setitimer(signal.ITIMER_REAL, timeout * 1.5)
        reply = pack(answer(job))
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(reply)
        replies.flush()


def main(arguments: list[str]) -> None:
    """`worker BYTES SECONDS`: serve with at most that much address space, and time per job, and without network."""
    limit, timeout = int(arguments[0]), float(arguments[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    without_network()
    serve(sys.stdin.buffer, sys.stdout.buffer, timeout)


if __name__ == "__main__":
    main(sys.argv[1:])
