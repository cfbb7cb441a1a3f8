"""Errors as a Kubernetes API server words them: every refusal is a `Status` object with code, reason and causes.

Only the sandbox's own refusals; what an agent makes of a `Status` is the agent's business.
"""

from __future__ import annotations

from typing import Any

Cause = dict[str, str]


class ApiError(Exception):
    """A request that is answered with a `Status`.

    `details` are the Kubernetes `details` without empty members; `retry_after` is in whole seconds.
    """

    def __init__(
        self, code: int, reason: str, message: str, *, details: dict[str, Any] | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def status(self) -> dict[str, Any]:
        """The `Status` object of the answer."""
        body: dict[str, Any] = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message,
        }  # fmt: skip
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = {k: v for k, v in self.details.items() if v}
        body["code"] = self.code
        return body


def qualified(resource: str, group: str) -> str:
    """`deployments.apps`, as messages name a resource or a kind."""
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, group: str, name: str) -> ApiError:
    """404 for one object."""
    return ApiError(
        404, "NotFound", f'{qualified(resource, group)} "{name}" not found',
        details={"name": name, "group": group, "kind": resource},
    )  # fmt: skip


def no_such_path() -> ApiError:
    """404 for a path that no API serves: kubectl and clients tell it from a missing object by the empty details."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: str, group: str, name: str) -> ApiError:
    """409 on creation."""
    return ApiError(
        409, "AlreadyExists", f'{qualified(resource, group)} "{name}" already exists',
        details={"name": name, "group": group, "kind": resource},
    )  # fmt: skip


def conflict(resource: str, group: str, name: str, why: str) -> ApiError:
    """409 because the caller's view of the object is old."""
    return ApiError(
        409, "Conflict", f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}',
        details={"name": name, "group": group, "kind": resource},
    )  # fmt: skip


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def forbidden(message: str, resource: str = "", group: str = "", name: str = "") -> ApiError:
    """403, by authorization or admission."""
    return ApiError(403, "Forbidden", message, details={"name": name, "group": group, "kind": resource})


def gone(message: str) -> ApiError:
    """410: the asked resourceVersion is out of the history, or a continue token is."""
    return ApiError(410, "Expired", message)


def cause(reason: str, field: str, message: str) -> Cause:
    """One line of a validation error, e.g. `cause("FieldValueRequired", "spec.selector", "Required value")`."""
    out = {"reason": reason, "message": message}
    return {**out, "field": field} if field else out


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> ApiError:
    """422 with its causes, worded as one message."""
    lines = [f"{c['field']}: {c['message']}" if "field" in c else c["message"] for c in causes]
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    return ApiError(
        422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {text}',
        details={"name": name, "group": group, "kind": kind, "causes": causes},
    )  # fmt: skip


def required(field: str, detail: str = "") -> Cause:
    """A field that must be there."""
    return cause("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def bad_value(field: str, value: object, detail: str) -> Cause:
    """A field whose value cannot be."""
    return cause("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {detail}")


def unsupported(field: str, value: object, allowed: list[str]) -> Cause:
    """A field that must have one of a few values."""
    choice = ", ".join(f'"{a}"' for a in sorted(allowed))
    return cause("FieldValueNotSupported", field, f"Unsupported value: {shown(value)}: supported values: {choice}")


def shown(value: object) -> str:
    """A value as Go's field errors print it: strings quoted, structures as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict | list):
        import orjson

        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return str(value)
