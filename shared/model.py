"""The vocabulary: frozen values without I/O, shared by hub and agent.

They are msgspec structs rather than pydantic models because the agent carries them too, and pydantic alone would
cost it 7 MB. On the wire and in the API their field names are camelCase.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import Any, Literal

import msgspec

TOKEN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A cluster, namespace or application name: one NATS subject token and one DNS label (RFC 1123)."""


def is_token(text: str) -> bool:
    """Whether `text` can name a cluster, a namespace or an application."""
    return TOKEN.fullmatch(text) is not None


class Value(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    """Base of every shared value: immutable, compared by content, camelCase outside Python."""


@functools.lru_cache(1024)
def _group(api_version: str) -> str:
    """Asked for hundreds of times in each pass over a unit, of a handful of versions."""
    group, slash, _ = api_version.partition("/")
    return group if slash else ""


class ObjectRef(Value, frozen=True):
    """Names one Kubernetes object. `namespace` is empty for cluster-scoped objects.

    Two references name the same object when `key` is equal: the version in `api_version` is only the one
    through which it was written.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """API group, empty for the core group."""
        return _group(self.api_version)

    @property
    def group_kind(self) -> str:
        """`Deployment.apps`, as kubectl and ApplySets write it; core kinds have no dot."""
        group = _group(self.api_version)
        return f"{self.kind}.{group}" if group else self.kind

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identity independent of the API version: (group, kind, namespace, name)."""
        return (_group(self.api_version), self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        kind = f"{self.group}/{self.kind}" if self.group else self.kind
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{kind} {name}"


class UnitKey(Value, frozen=True, order=True):
    """The addressable piece of desired state: one application on one cluster, in its home namespace."""

    cluster: str
    namespace: str
    application: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.application}"


class Health(enum.StrEnum):
    """How an object, or a unit as a whole, is doing. Order of `WORST_FIRST` decides roll-ups."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"
    MISSING = "Missing"
    UNKNOWN = "Unknown"


WORST_FIRST = (
    Health.DEGRADED,
    Health.MISSING,
    Health.UNKNOWN,
    Health.PROGRESSING,
    Health.SUSPENDED,
    Health.HEALTHY,
)


class HealthStatus(Value, frozen=True):
    """A verdict and the reason a person can act on (empty when healthy)."""

    health: Health
    reason: str = ""


class Place(Value, frozen=True):
    """Where in a file something is. `line` counts from 1, 0 when unknown; `field` is a dotted path."""

    file: str
    line: int = 0
    field: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}" if self.line else self.file
        return f"{text}: {self.field}" if self.field else text


class Problem(Value, frozen=True):
    """One finding about what a person wrote: shown by `validate`, the API and the log alike."""

    severity: Literal["error", "warning"]
    message: str
    place: Place | None = None
    hint: str = ""
    application: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        return f"{where}{self.severity}: {self.message}" + (f" ({self.hint})" if self.hint else "")


Manifest = dict[str, Any]
"""A decoded Kubernetes object. Treated as immutable: YAML aliases may share parts between objects."""
