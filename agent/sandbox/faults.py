"""Faults on purpose: answers that a cluster gives instead of doing what it is asked.

A fault is a JSON object: `verb` (get, list, watch, create, update, patch, delete, or `*`), `resource` (plural, or
`*`), `namespace` (or left out), and what happens: `code` 403, 429 (with `retryAfter` seconds), 500, 503 …, or
`hang`: seconds the request waits before it goes on. `times` ends the fault after so many hits; left out: it stays.
Set with `Sandbox.set_faults`, or `PUT /clusters/<name>/sandbox/faults` with a list of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.sandbox.problems import ApiError, bad_request, forbidden


@dataclass(slots=True)
class Fault:
    """One fault, as the module describes it. `left` is None for ever."""

    verb: str = "*"
    resource: str = "*"
    namespace: str = ""
    code: int = 0
    retry_after: int = 0
    hang: float = 0.0
    left: int | None = None

    def hits(self, verb: str, resource: str, namespace: str) -> bool:
        """Whether this request is meant."""
        return (
            self.left != 0
            and self.verb in ("*", verb)
            and self.resource in ("*", resource)
            and self.namespace in ("", namespace)
        )


class Faults:
    """The faults of one cluster."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def set(self, raw: list[dict[str, Any]]) -> None:
        """Replaces all faults.

        Raises:
            ApiError: 400, a fault is not as described.
        """
        known = {"verb", "resource", "namespace", "code", "retryAfter", "hang", "times"}
        faults = []
        for item in raw:
            if item.keys() - known:
                raise bad_request(f"a fault has the fields {', '.join(sorted(known))}; got {item!r}")
            faults.append(_fault(item))
        self._faults = faults

    def find(self, verb: str, resource: str, namespace: str) -> Fault | None:
        """The first fault that hits, counted."""
        for fault in self._faults:
            if fault.hits(verb, resource, namespace):
                if fault.left is not None:
                    fault.left -= 1
                return fault
        return None


def _fault(item: dict[str, Any]) -> Fault:
    return Fault(
        verb=item.get("verb", "*"),
        resource=item.get("resource", "*"),
        namespace=item.get("namespace", ""),
        code=item.get("code", 0),
        retry_after=item.get("retryAfter", 0),
        hang=item.get("hang", 0.0),
        left=item.get("times"),
    )


def refusal(fault: Fault, user: str, verb: str, resource: str, group: str, namespace: str, name: str) -> ApiError:
    """The answer a fault gives."""
    if fault.code == 403:
        where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        kind = f"{resource}.{group}" if group else resource
        which = f'{kind} "{name}"' if name else kind
        message = (
            f'{which} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "{group}"{where}'
        )
        return forbidden(message, resource, group, name)
    if fault.code == 429:
        wait = fault.retry_after or 1
        return ApiError(
            429, "TooManyRequests", "too many requests, please try again later",
            details={"retryAfterSeconds": wait}, retry_after=wait,
        )  # fmt: skip
    reasons = {500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout", 409: "Conflict"}
    return ApiError(
        fault.code, reasons.get(fault.code, ""), "an error on the server, made on purpose (sandbox fault)",
        retry_after=fault.retry_after,
    )  # fmt: skip
