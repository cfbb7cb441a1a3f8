"""What each resource does to an object before it is validated and stored, beyond plain defaults.

Status belongs to the status endpoint, allocated values stay allocated, generation counts changes of intent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.sandbox import admission, defaults
from agent.sandbox.cluster import Cluster
from agent.sandbox.kinds import Kind
from agent.sandbox.problems import bad_request
from agent.sandbox.schema import empty
from agent.sandbox.typed import Decoder, defaulted, pruned
from agent.sandbox.validation.others import undecodable

Object = dict[str, Any]
PROTECTED = {
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
}
"""Finalizers that admission adds; `controllers.claims` takes them off again."""
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
STATUS_KEEPS_LABELS = {
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
}


def decode(kind: Kind, obj: Object) -> tuple[Object, list[str]]:
    """The object as its kind stores it, and the fields that were dropped because the kind has none such.

    Raises:
        ApiError: 400, it cannot be decoded.
    """
    if kind.custom:
        unknown: list[str] = []
        kept = pruned(obj, kind.node, unknown)
        meta = Decoder(kind.kind)
        kept["metadata"] = meta.decoded(kept.get("metadata") or {}, kind.node.fields["metadata"])
        return defaulted(kept, kind.node), unknown + [f"metadata.{path}" for path in meta.unknown]
    decoder = Decoder(kind.kind)
    try:
        out = decoder.decoded(obj, kind.node)
    except Exception as error:
        if hasattr(error, "message"):
            error.message = f'{kind.kind} in version "{kind.version}" {error.message}'
        raise
    if kind.storage == ("", "secrets"):
        problem = undecodable(out.get("data") or {})
        if problem:
            raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}')
    return out, decoder.unknown


def fill(kind: Kind, obj: Object) -> None:
    """Defaults of the kind, in place."""
    function = defaults.BY_RESOURCE.get(kind.storage)
    if function is not None and not kind.custom:
        function(obj)


def base(kind: Kind) -> Object:
    """The object of a kind in which nothing is set."""
    head = {"apiVersion": kind.api_version, "kind": kind.kind}
    return {**head, "metadata": {}} if kind.custom else {**empty(kind.node), **head}


def reset_status(kind: Kind, obj: Object) -> None:
    """Status that a caller cannot give at creation."""
    if "status" in kind.subresources:
        obj.pop("status", None)


def keep_status(kind: Kind, obj: Object, live: Object) -> None:
    """Status that an ordinary update cannot change."""
    if "status" in kind.subresources:
        if "status" in live:
            obj["status"] = live["status"]
        else:
            obj.pop("status", None)


def only_status(kind: Kind, obj: Object, live: Object) -> Object:
    """What an update of the status endpoint changes: status, and for built-in kinds metadata other than labels."""
    out = {**live, "status": obj.get("status", {})}
    if "status" not in obj:
        del out["status"]
    metadata = dict(live["metadata"] if kind.custom else obj["metadata"])
    if kind.storage in STATUS_KEEPS_LABELS:
        metadata.pop("labels", None)
        if "labels" in live["metadata"]:
            metadata["labels"] = live["metadata"]["labels"]
    for name in ("resourceVersion", "uid", "managedFields"):
        if name in obj["metadata"]:
            metadata[name] = obj["metadata"][name]
        else:
            metadata.pop(name, None)
    out["metadata"] = metadata
    return out


def intent_changed(kind: Kind, obj: Object, live: Object) -> bool:
    """Whether what is wanted changed: everything but metadata and (where it has its own endpoint) status."""
    ignored = {"metadata", "apiVersion", "kind"}
    if "status" in kind.subresources or not kind.custom:
        ignored.add("status")
    names = (obj.keys() | live.keys()) - ignored
    return any(obj.get(name) != live.get(name) for name in names)


def allocate(cluster: Cluster, kind: Kind, obj: Object, live: Object | None) -> None:
    """Values that the server chooses: cluster IPs, node ports, selectors of Jobs, finalizers, taints."""
    if live is None and kind.storage in PROTECTED:
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if PROTECTED[kind.storage] not in finalizers:
            finalizers.append(PROTECTED[kind.storage])
    if kind.storage == ("", "services"):
        _service(cluster, obj["spec"], (live or {}).get("spec", {}))
    elif kind.storage == ("apps", "daemonsets") and live is not None:
        _daemon_set(obj, live)
    elif live is None and kind.storage in _AT_BIRTH:
        _AT_BIRTH[kind.storage](cluster, obj)


def _daemon_set(obj: Object, live: Object) -> None:
    number = int((live["metadata"].get("annotations") or {}).get(defaults.TEMPLATE_GENERATION, "1"))
    number += obj["spec"].get("template") != live["spec"].get("template")
    obj["metadata"].setdefault("annotations", {})[defaults.TEMPLATE_GENERATION] = str(number)


def _service(cluster: Cluster, spec: Object, before: Object) -> None:
    if spec.get("type") == "ExternalName":
        return
    if not spec.get("clusterIP"):
        inherited = before.get("clusterIP") if before.get("type") != "ExternalName" else None
        spec["clusterIP"] = inherited or cluster.address()
    if not spec.get("clusterIPs") or spec["clusterIPs"][0] != spec["clusterIP"]:
        spec["clusterIPs"] = [spec["clusterIP"]]
    defaults.fill(spec, {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"})
    if spec["type"] in ("NodePort", "LoadBalancer"):
        known = {(p.get("port"), p.get("protocol")): p.get("nodePort") for p in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if not port.get("nodePort"):
                port["nodePort"] = known.get((port.get("port"), port.get("protocol"))) or cluster.port()


def _job(_: Cluster, obj: Object) -> None:
    if obj["spec"].get("manualSelector"):
        return
    uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
    template = obj["spec"].setdefault("template", {}).setdefault("metadata", {})
    labels = {
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
        "controller-uid": uid, "job-name": name,
    }  # fmt: skip
    template["labels"] = {**(template.get("labels") or {}), **labels}
    obj["spec"].setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
    if not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(template["labels"])


TOLERATIONS = [
    {"effect": "NoExecute", "key": f"node.kubernetes.io/{key}", "operator": "Exists", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]


def _pod(cluster: Cluster, obj: Object) -> None:
    spec = obj["spec"]
    admission.limit(cluster, obj)
    defaults.fill(spec, {"serviceAccountName": "default", "priority": 0, "preemptionPolicy": "PreemptLowerPriority"})
    spec["serviceAccount"] = spec["serviceAccountName"]
    keys = {t.get("key") for t in spec.get("tolerations") or ()}
    spec["tolerations"] = [*(spec.get("tolerations") or []), *(t for t in TOLERATIONS if t["key"] not in keys)]
    obj["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _quality(spec: Object) -> str:
    resources = [c.get("resources") or {} for c in spec.get("containers") or ()]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (r.get("limits") or {}).keys() and r.get("requests") == r["limits"] for r in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _claim(cluster: Cluster, obj: Object) -> None:
    if "storageClassName" in obj["spec"]:
        return
    bucket = cluster.store.bucket(("storage.k8s.io", "storageclasses"))
    for record in bucket.records.values():
        annotations = record.decoded()["metadata"].get("annotations") or {}
        if annotations.get("storageclass.kubernetes.io/is-default-class") == "true":
            obj["spec"]["storageClassName"] = record.key[1]
            return


def _namespace(_: Cluster, obj: Object) -> None:
    obj["spec"]["finalizers"] = ["kubernetes"]


def _volume(cluster: Cluster, obj: Object) -> None:
    obj["status"]["lastPhaseTransitionTime"] = cluster.now()


def _node(_: Cluster, obj: Object) -> None:
    obj["spec"]["taints"] = [*(obj["spec"].get("taints") or []), NOT_READY]


_AT_BIRTH: dict[tuple[str, str], Callable[[Cluster, Object], None]] = {
    ("batch", "jobs"): _job,
    ("", "namespaces"): _namespace,
    ("", "nodes"): _node,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume,
    ("", "pods"): _pod,
}
