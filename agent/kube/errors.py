"""What a Kubernetes API can answer other than yes, as exceptions.

    ApiError                 any refusal without a class of its own (400, 405, 413, 415, …)
    ├── NotFound             404: the object, or the namespace it should be in
    ├── UnknownKind          the cluster does not serve this kind
    ├── Conflict             409: fields owned by others, an object that exists, a version or uid that moved on
    ├── Unauthorized         401: who we are was not believed
    ├── Forbidden            403: RBAC, quota, an admission webhook, a namespace that is being deleted
    ├── Invalid              422, and unknown fields in a server-side apply: names each field
    ├── Gone                 410: the resource version or continue token is too old; list again
    ├── Throttled            429, or 503 with Retry-After (also Unavailable)
    └── Unreachable          no usable answer: refused, reset, TLS, 5xx (also Unavailable)
        └── ServerTimeout    no answer in time
    AccessError              no credentials could be had: nothing was sent

Every one carries `status` (HTTP code, 0 when there was no answer), `reason` (the server's word) and `message`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Unavailable, YardarmError


class AccessError(YardarmError):
    """The way to the cluster is not usable as configured: file, context or credential plugin. Says what to mend."""


class ApiError(YardarmError):
    """The server refused. `details` is the `details` of its Status, empty when it sent none."""

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        YardarmError.__init__(self, message)
        self.message = message
        self.status = status
        self.reason = reason
        self.details: Mapping[str, Any] = details or {}


class NotFound(ApiError):
    """Not there. `kind` is the plural the server names: `namespaces` when it is the namespace that is missing."""

    @property
    def kind(self) -> str:
        """Plural of what is missing, e.g. `configmaps`."""
        return str(self.details.get("kind") or "")

    @property
    def name(self) -> str:
        """Name of what is missing."""
        return str(self.details.get("name") or "")


class UnknownKind(ApiError):
    """The cluster serves no such kind, or not any more. `api_version` and `kind` are what was asked for."""

    def __init__(self, api_version: str, kind: str, served: tuple[str, ...] = ()) -> None:
        hint = (
            f"; it serves {kind} as {', '.join(served)}" if served else "; is its CustomResourceDefinition installed?"
        )
        super().__init__(f"the cluster does not serve {kind} of {api_version}{hint}", status=404, reason="UnknownKind")
        self.api_version = api_version
        self.kind = kind
        self.served = served


class ConflictKind(enum.StrEnum):
    """What stands in the way."""

    FIELDS = "fields"
    """Other managers own fields that we want to set: `Conflict.causes`."""
    EXISTS = "exists"
    """The object is there already."""
    STALE = "stale"
    """resourceVersion or uid are not those of the object any more."""


@dataclass(frozen=True)
class FieldConflict:
    """One field that another manager owns. `field` is as the server writes it: `.spec.replicas`."""

    manager: str
    field: str
    message: str


class Conflict(ApiError):
    """409. `kind_of_conflict` says which; `causes` is filled for field conflicts."""

    kind_of_conflict: ConflictKind = ConflictKind.STALE
    causes: tuple[FieldConflict, ...] = ()


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403. Who may not do what, as far as the server said so; all four are empty for quota and webhooks."""

    user: str = ""
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    terminating: bool = False
    """The namespace is being deleted: waiting helps, a grant does not."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field. `field` is dotted, empty when it is about the whole object."""

    field: str
    message: str


class Invalid(ApiError):
    """The object is not acceptable. `causes` names every field the server complained of."""

    causes: tuple[FieldError, ...] = ()


class Gone(ApiError):
    """410: too old a resource version or continue token. List again."""


class Unreachable(ApiError, Unavailable):
    """No usable answer; trying again later makes sense."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        ApiError.__init__(self, message, status=status, reason=reason, details=details)
        self.retry_after = retry_after


class ServerTimeout(Unreachable):
    """No answer within the deadline. The request may or may not have taken effect."""


class Throttled(Unreachable):
    """The server asks for patience: `retry_after` seconds, None when it did not say."""


_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_MANAGER = re.compile(r'conflict with "(?P<manager>[^"]*)"')
_TYPED_PATCH = "failed to create typed patch object"
_FIELD_LINE = re.compile(r"^\s*(?P<field>\.\S.*?): (?P<message>.+)$", re.MULTILINE)


def api_error(status: int, body: Mapping[str, Any], retry_after: float | None = None) -> ApiError:
    """The exception for an HTTP status and a decoded `Status` (empty when the server sent something else)."""
    message = str(body.get("message") or f"the server answered HTTP {status} without saying why")
    reason = str(body.get("reason") or "")
    details = body.get("details")
    about: dict[str, Any] = {
        "status": status,
        "reason": reason,
        "details": details if isinstance(details, Mapping) else {},
    }
    if status == 409:
        return _conflict(message, about)
    if status == 403:
        return _forbidden(message, about)
    if status == 422 or _TYPED_PATCH in message:
        return _invalid(message, about)
    if status == 429 or (status == 503 and retry_after is not None):
        return Throttled(message, **about, retry_after=retry_after)
    if status == 504 or reason == "Timeout":
        return ServerTimeout(message, **about, retry_after=retry_after)
    if status >= 500:
        return Unreachable(message, **about, retry_after=retry_after)
    if status == 401:
        message = f"{message}: the cluster does not accept our credentials (expired, revoked, or of another cluster)"
    plain: dict[int, type[ApiError]] = {401: Unauthorized, 404: NotFound, 410: Gone}
    return plain.get(status, ApiError)(message, **about)


def _causes(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    causes = about["details"].get("causes")
    return [cause for cause in causes if isinstance(cause, Mapping)] if isinstance(causes, list) else []


def _conflict(message: str, about: dict[str, Any]) -> Conflict:
    error = Conflict(message, **about)
    fields = [cause for cause in _causes(about) if cause.get("reason") == "FieldManagerConflict"]
    if fields:
        error.kind_of_conflict = ConflictKind.FIELDS
        error.causes = tuple(_field_conflict(cause) for cause in fields)
    elif about["reason"] == "AlreadyExists":
        error.kind_of_conflict = ConflictKind.EXISTS
    return error


def _field_conflict(cause: Mapping[str, Any]) -> FieldConflict:
    text = str(cause.get("message") or "")
    found = _MANAGER.search(text)
    return FieldConflict(found["manager"] if found else "", str(cause.get("field") or ""), text)


def _forbidden(message: str, about: dict[str, Any]) -> Forbidden:
    error = Forbidden(message, **about)
    if found := _FORBIDDEN.search(message):
        error.user, error.verb = found["user"], found["verb"]
        error.resource = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
        error.namespace = found["namespace"] or ""
    error.terminating = any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(about))
    return error


def _invalid(message: str, about: dict[str, Any]) -> Invalid:
    error = Invalid(message, **about)
    error.causes = tuple(
        FieldError(str(cause.get("field") or ""), str(cause.get("message") or "")) for cause in _causes(about)
    )
    if not error.causes and _TYPED_PATCH in message:
        # Built-in kinds answer an unknown or ill-typed field with a bare 500, which would pass for an outage.
        _, _, rest = message.partition("): ")
        lines = rest.removeprefix("errors:")
        error.causes = tuple(
            FieldError(found["field"].lstrip("."), found["message"]) for found in _FIELD_LINE.finditer(lines)
        )
    return error
