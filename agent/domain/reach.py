"""What an agent that is limited to namespaces leaves alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.domain.desired import Desired, Refused


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


def account_user(account: str, namespace: str) -> str:
    """The user name of a service account `name` (in `namespace`) or `namespace/name`; empty for none."""
    if not account:
        return ""
    home, slash, name = account.partition("/")
    return f"system:serviceaccount:{home}:{name}" if slash else f"system:serviceaccount:{namespace}:{account}"
