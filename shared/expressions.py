"""CEL expressions about one object: `object.status.phase == 'Ready'`. The only place that knows the CEL library.

It is imported when the first expression is used (15 MB resident), so that those who use none do not pay for it, and it
may be missing (no wheel for musl): then every expression fails with a message that says so.

An expression comes from a repository and runs in an agent, so it must not be able to cost much. The library bounds
iterations (about 10,000) and recursion (32), and its regular expressions are RE2. It does not bound memory: a string
doubled thirty times over ends the process. So what can build values from values is refused before: the macros map and
bind, the string functions (which are not loaded), and `+` inside of a macro. Nor does it bound time by more than
steps, and one step may search a long string or compile a large pattern: objects of more than `MAX_OBJECT` bytes are
not looked at, and the agent evaluates in a process of its own (`agent.celworker`) with limits on time and memory.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import orjson

from shared.errors import YardarmError

if TYPE_CHECKING:
    from cel_expr_python import cel

MAX_LENGTH = 1000
"""Characters of an expression."""

MAX_OBJECT = 64 * 1024
"""Bytes of an object as JSON. The worst that an expression can do with one takes minutes."""

MAX_NESTING = 3
"""Macros (all, exists, …) inside of each other."""

_MISSING = re.compile(r'NOT_FOUND: Key not found in map : "?([^"]*)"?|no such key|no such field')
_TOKEN = re.compile(
    r"""//[^\n]*|(?:[rR][bB]?|[bB][rR])(?:'[^'\n]*'|"[^"\n]*")|[bB]?(?:'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|\w+|\S"""
)
"""Comments, raw strings, strings, words, everything else. Strings in three quotes are refused before."""

_MACROS = frozenset({"all", "exists", "exists_one", "filter", "existsOne"})
_REFUSED = frozenset({"map", "bind", "optMap", "optFlatMap", "transformList", "transformMap", "transformMapEntry"})


class ExpressionError(YardarmError):
    """The expression cannot be used, on any object or on this one. The message says why."""


class MissingField(ExpressionError):
    """The object does not have (yet) what the expression asks for: no fault of the expression."""


def problem(expression: str) -> str:
    """What is wrong with an expression, empty when it can be used. Compiles it; nothing is evaluated."""
    try:
        _compiled(expression)
    except ExpressionError as error:
        return str(error)
    return ""


def holds(expression: str, about: dict[str, Any], *, measured: bool = False) -> bool:
    """Whether the expression is true of an object. `measured`: whoever asks has seen to its size.

    Raises:
        MissingField: it asks for a field that is not there; `has(object.a.b)` or `object.?a.?b` would not.
        ExpressionError: it is wrong, does not give true or false, costs too much, or CEL is not installed.
    """
    compiled = _compiled(expression)
    try:
        if not measured and len(orjson.dumps(about)) > MAX_OBJECT:
            raise ExpressionError(f"the object is larger than {MAX_OBJECT // 1024} KB, which no expression may look at")
        result = compiled.eval(data={"object": about})
    except (RuntimeError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ExpressionError(_told(error)) from error
    kind = str(result.type().name())
    if kind == "ERROR":
        raise _failure(str(result.value()))
    if kind != "BOOL":
        raise ExpressionError(f"gives {kind.lower()}, and must give true or false")
    return bool(result.value())


def _failure(message: str) -> ExpressionError:
    missing = _MISSING.search(message)
    if missing is None:
        return ExpressionError(message[:200])
    return MissingField(f"the object has no field {missing[1]!r} (yet)" if missing[1] else "a field is not there (yet)")


@functools.lru_cache(maxsize=512)
def _compiled(expression: str) -> cel.Expression:
    _refuse_costly(expression)
    try:
        compiled = _environment().compile(expression)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExpressionError(_told(error)) from error
    kind = str(compiled.return_type().name())
    if kind not in ("BOOL", "DYN"):
        raise ExpressionError(f"gives {kind.lower()}, and must give true or false")
    return compiled


@functools.lru_cache(maxsize=1)
def _environment() -> cel.Env:
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_math, ext_optional
    except ImportError as error:
        raise ExpressionError(
            "CEL is not installed here: install yardarm[agent] (there is no build for musl)"
        ) from error
    return cel.NewEnv(variables={"object": cel.Type.DYN}, extensions=[ext_optional.ExtOptional(), ext_math.ExtMath()])


def _refuse_costly(expression: str) -> None:
    """Keeps out what could build large values. Works on tokens: too strict rather than too clever."""
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"is longer than {MAX_LENGTH} characters")
    if "'''" in expression or '"""' in expression:
        raise ExpressionError("strings in three quotes are not allowed: use one quote")
    before = ""
    brackets: list[bool] = []
    for word in _TOKEN.findall(expression):
        if word.startswith("//"):
            continue
        if word in "([{":
            brackets.append(word == "(" and before in _MACROS)
        elif word in ")]}" and brackets:
            brackets.pop()
        if word == "(" and before in _REFUSED:
            raise ExpressionError(f"{before}() is not allowed here: it could use any amount of memory")
        if word == "+" and any(brackets):
            raise ExpressionError("'+' is not allowed inside all(), exists() and the like")
        if sum(brackets) > MAX_NESTING:
            raise ExpressionError(f"more than {MAX_NESTING} of all(), exists() and the like inside of each other")
        before = word


def _told(error: BaseException) -> str:
    """The library's message without its drawing of the place, which needs a fixed-width font."""
    text = str(error) or type(error).__name__
    if "Iteration budget" in text:
        return "takes too many steps: more than the 10,000 an expression may"
    found = re.search(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?:\n|$)", text)
    if found is None:
        return text.partition("\n")[0][:200]
    place = f" (at character {found[2]})" if found[1] == "1" else f" (at line {found[1]})" if int(found[1]) > 1 else ""
    return found[3].partition(", expecting")[0].partition(" expecting {")[0][:200] + place
