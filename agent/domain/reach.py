"""What an agent leaves alone: beyond the namespaces it is limited to, or beyond the project of an application. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from agent.domain.desired import Desired, Refused
from shared.limits import beyond
from shared.messages import Policy


def within(desired: Iterable[Desired], namespaces: Sequence[str]) -> tuple[list[Desired], list[Refused]]:
    """The objects that may be kept, and those that are out of reach with the reason. No namespaces: all may."""
    kept: list[Desired] = []
    refused: list[Refused] = []
    listed = ", ".join(namespaces)
    for each in desired:
        if not namespaces or each.ref.namespace in namespaces:
            kept.append(each)
            continue
        what = f"it is in namespace {each.ref.namespace}" if each.ref.namespace else "it is cluster-scoped"
        reason = f"{what}, and this agent is limited to {listed}: take it out, or start the agent with a wider scope"
        refused.append(Refused(each.ref, reason))
    return kept, refused


def allowed(desired: Iterable[Desired], policy: Policy) -> tuple[list[Desired], list[Refused]]:
    """The objects that the project of an application may have here, and those that it may not, with the reason.

    The hub goes by the same rule before it publishes anything. But it does not know which of a cluster's own kinds are
    without a namespace; and should it ever lose its way, nothing of what comes of it is applied.
    """
    kept: list[Desired] = []
    refused: list[Refused] = []
    if isinstance(policy.limits, msgspec.UnsetType):
        return list(desired), refused
    for each in desired:
        reason = beyond(policy.limits, each.ref)
        if reason:
            refused.append(Refused(each.ref, f"{reason}: take it out, or have the Project allow it"))
        else:
            kept.append(each)
    return kept, refused


def account_user(account: str, namespace: str) -> str:
    """The user name of a service account `name` (in `namespace`) or `namespace/name`; empty for none."""
    if not account:
        return ""
    home, slash, name = account.partition("/")
    return f"system:serviceaccount:{home}:{name}" if slash else f"system:serviceaccount:{namespace}:{account}"
