"""What an agent must be allowed to do on its cluster, as RBAC objects for `kubectl apply -f -`.

Which kinds an application holds is not known beforehand, so the rules cover all of them; what is left out is `update`,
`deletecollection`, `proxy`, `exec` and the like, which the agent never uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.model import Manifest

NAME = "yardarm-agent"
READ = ["get", "list", "watch"]
WRITE = ["create", "patch", "delete"]


class Grantee(msgspec.Struct, frozen=True):
    """Who gets the rights: a service account, or a user when `namespace` is empty."""

    name: str
    namespace: str = ""


def role_objects(
    grantee: Grantee, namespaces: Sequence[str], inventory_namespace: str, accounts: Sequence[tuple[str, str]] = ()
) -> list[Manifest]:
    """The objects. No `namespaces`: the whole cluster.

    With `accounts` (namespace, name) everything is written as one of these, and only what is the agent's own as itself.
    """
    everything = ["*"]
    verbs = READ if accounts else [*READ, *WRITE]
    all_kinds = {"apiGroups": everything, "resources": everything, "verbs": verbs}
    own = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": [*READ, *WRITE]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", *WRITE]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch"]},
    ]
    objects: list[Manifest] = []
    if namespaces:
        for namespace in namespaces:
            rules = [all_kinds, *(own if accounts and namespace == inventory_namespace else ())]
            objects += _grant("Role", rules, grantee, namespace)
    else:
        # Applying Roles asks for the rights in them, or for these verbs.
        roles = {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["roles", "clusterroles"],
            "verbs": ["bind", "escalate"],
        }
        make = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", "patch"]}
        objects += _grant("ClusterRole", [all_kinds, make] if accounts else [all_kinds, roles], grantee)
        if accounts:
            objects += _grant("Role", own, grantee, inventory_namespace)
    for namespace in sorted({home for home, _ in accounts}):
        names = sorted(name for home, name in accounts if home == namespace)
        rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": names, "verbs": ["impersonate"]}
        objects += _grant("Role", [rule], grantee, namespace, f"{NAME}-acts-as")
    return objects


def _grant(
    kind: str, rules: Sequence[Manifest], grantee: Grantee, namespace: str = "", name: str = NAME
) -> list[Manifest]:
    """A role and its binding."""
    api = "rbac.authorization.k8s.io"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    if grantee.namespace:
        subject = {"kind": "ServiceAccount", "name": grantee.name, "namespace": grantee.namespace}
    else:
        subject = {"kind": "User", "name": grantee.name, "apiGroup": api}
    return [
        {"apiVersion": f"{api}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)},
        {
            "apiVersion": f"{api}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": kind, "name": name},
            "subjects": [subject],
        },
    ]
