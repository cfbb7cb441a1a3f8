"""The types that fields of fleet documents have: names, durations, percentages, variables; and their common base."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel

from shared.model import is_token


class Model(BaseModel):
    """Part of a fleet document: strict, immutable, camelCase, and no field that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel)


class Mistake(ValueError):
    """A value that cannot be used. `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _name(text: str) -> str:
    if is_token(text):
        return text
    raise ValueError(f"{text!r} is not a name: at most 63 of a-z, 0-9 and '-', beginning and ending with none of '-'")


Name = Annotated[
    str,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}),
]
"""Names a cluster, an environment, an application, …: one DNS label."""

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNIT_SECONDS = (86_400, 3_600, 60, 1)


def parse_duration(text: Any) -> float:
    """Seconds of `90s`, `5m`, `1h30m` or `2d`.

    Raises:
        ValueError: anything else, a bare number included, because it would not say its unit.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write it like 90s, 5m or 1h30m")
    return float(sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNIT_SECONDS, strict=True)))


def written_duration(seconds: float) -> str:
    """The shortest way to write so many whole seconds: `1h30m`."""
    left, parts = int(seconds), []
    for size, unit in zip(_UNIT_SECONDS, "dhms", strict=True):
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return "".join(parts) or "0s"


Duration = Annotated[
    float,
    PlainValidator(parse_duration),
    PlainSerializer(lambda seconds: f"{seconds:.0f}s", when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"}),
]
"""Written `1h30m`, kept as seconds."""

_PERCENT = re.compile(r"(\d{1,3})%")
_WHOLE = 100


def _count_or_percent(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is not None and int(match[1]) <= _WHOLE and isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is neither a number nor a percentage like 25%")


CountOrPercent = Annotated[
    int | str,
    PlainValidator(_count_or_percent),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d{1,3}%$"}]}),
]
"""A number, or a percentage of what there is: `3` or `25%`. `portion` turns it into a number."""


def portion(value: int | str, total: int) -> int:
    """How many of `total` a `CountOrPercent` means; percentages are rounded down."""
    if isinstance(value, int):
        return value
    return int(value.rstrip("%")) * total // _WHOLE


Scalar = str | int | float | bool
"""What a variable can be. The type matters: an unquoted `${x}` becomes what `x` is."""

BUILTINS = frozenset({"application", "cluster", "environment", "namespace"})
"""Variables that every application has; documents cannot redefine them."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _scalar(value: Any) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise ValueError(
        f"a variable is a string, a number or a boolean, not {'null' if value is None else 'a map or list'}"
    )


def _variables(variables: dict[str, Scalar]) -> dict[str, Scalar]:
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is not a variable name: letters, digits and '_', not beginning with a digit")
        if name in BUILTINS:
            raise ValueError(f"the variable {name!r} is set by Yardarm: choose another name")
    return variables


Variables = Annotated[
    dict[
        str,
        Annotated[Scalar, PlainValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})],
    ],
    AfterValidator(_variables),
]
"""Variables by name, for `${name}` and for render inputs."""
