"""Reviews: questions that are created, answered and not kept. The sandbox has one user, who may do everything."""

from __future__ import annotations

from typing import Any

from agent.sandbox.kinds import Kind

Object = dict[str, Any]
USERNAME = "sandbox-admin"
USER: Object = {"username": USERNAME, "groups": ["system:masters", "system:authenticated"]}


def is_review(kind: Kind) -> bool:
    """Whether objects of this kind are questions."""
    return kind.group in ("authentication.k8s.io", "authorization.k8s.io")


def answered(kind: Kind, obj: Object) -> Object:
    """The question with its answer."""
    status: Object = {"allowed": True}
    if kind.kind == "SelfSubjectReview":
        status = {"userInfo": USER}
    elif kind.kind == "SelfSubjectRulesReview":
        every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        status = {"resourceRules": [every], "nonResourceRules": [], "incomplete": False}
    elif kind.kind == "TokenReview":
        status = {"authenticated": False}
    metadata = obj.get("metadata") or {}
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "status": status}
