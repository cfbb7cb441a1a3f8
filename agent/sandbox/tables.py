"""What `kubectl get` shows: objects as rows of a `Table`."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from agent.sandbox.kinds import Kind

Object = dict[str, Any]
Cells = Callable[[Object], list[Any]]


def column(name: str, kind: str = "string", priority: int = 0) -> Object:
    """A column definition."""
    return {
        "name": name,
        "type": kind,
        "format": "name" if name == "Name" else "",
        "description": "",
        "priority": priority,
    }


def age(obj: Object, now: float, field: str = "creationTimestamp") -> str:
    """`5m`, as kubectl writes how old something is."""
    stamp = obj["metadata"].get(field)
    if not stamp:
        return "<unknown>"
    return span(now - datetime.datetime.fromisoformat(stamp).timestamp())


def span(seconds: float) -> str:
    """A duration as kubectl shortens it."""
    seconds = max(int(seconds), 0)
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{hours // 24}d"


def _deployment(o: Object) -> list[Any]:
    status = o.get("status", {})
    ready = f"{status.get('readyReplicas', 0)}/{o['spec'].get('replicas', 1)}"
    return [ready, status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]


def _replica_set(o: Object) -> list[Any]:
    status = o.get("status", {})
    return [o["spec"].get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0)]


def _stateful_set(o: Object) -> list[Any]:
    return [f"{o.get('status', {}).get('readyReplicas', 0)}/{o['spec'].get('replicas', 1)}"]


def _daemon_set(o: Object) -> list[Any]:
    s = o.get("status", {})
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    selector = o["spec"].get("template", {}).get("spec", {}).get("nodeSelector") or {}
    return [*(s.get(n, 0) for n in names), ",".join(f"{k}={v}" for k, v in selector.items()) or "<none>"]


def _pod(o: Object) -> list[Any]:
    status = o.get("status", {})
    containers = status.get("containerStatuses") or []
    ready = sum(bool(c.get("ready")) for c in containers)
    text = status.get("reason") or status.get("phase", "Unknown")
    for container in containers:
        state = container.get("state") or {}
        for name in ("waiting", "terminated"):
            text = (state.get(name) or {}).get("reason") or text
    if "deletionTimestamp" in o["metadata"]:
        text = "Terminating"
    restarts = sum(c.get("restartCount", 0) for c in containers)
    return [f"{ready}/{len(o['spec'].get('containers') or ())}", text, str(restarts)]


def _service(o: Object) -> list[Any]:
    spec = o["spec"]
    ports = [
        f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}"
        for p in spec.get("ports") or ()
    ]
    ingress = ((o.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    outside = ",".join(i.get("ip") or i.get("hostname", "") for i in ingress) or spec.get("externalName") or "<none>"
    if spec.get("type") == "LoadBalancer" and not ingress:
        outside = "<pending>"
    return [spec.get("type", ""), spec.get("clusterIP") or "<none>", outside, ",".join(ports) or "<none>"]


def _job(o: Object) -> list[Any]:
    status = o.get("status", {})
    met = {c["type"] for c in status.get("conditions") or () if c["status"] == "True"}
    state = next((name for name in ("Complete", "Failed", "Suspended", "FailureTarget") if name in met), "Running")
    return [state, f"{status.get('succeeded', 0)}/{o['spec'].get('completions', 1)}"]


def _cron_job(o: Object) -> list[Any]:
    active = (o.get("status") or {}).get("active") or ()
    return [o["spec"].get("schedule"), str(o["spec"].get("suspend")), len(active)]


def _event(o: Object) -> list[Any]:
    involved = o.get("involvedObject", {})
    what = f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"
    return [o.get("type", ""), o.get("reason", ""), what, o.get("message", "")]


def _conditions(o: Object, kind: str) -> str:
    return next((c["status"] for c in (o.get("status") or {}).get("conditions") or () if c["type"] == kind), "Unknown")


def _claim(o: Object) -> list[Any]:
    spec, status = o["spec"], o.get("status", {})
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    modes = ",".join(short.get(m, m) for m in status.get("accessModes") or ())
    capacity = (status.get("capacity") or {}).get("storage", "")
    return [status.get("phase", ""), spec.get("volumeName", ""), capacity, modes, spec.get("storageClassName", "")]


def _ingress(o: Object) -> list[Any]:
    hosts = ",".join(r.get("host", "*") for r in o["spec"].get("rules") or ()) or "*"
    return [o["spec"].get("ingressClassName") or "<none>", hosts, "", "80, 443" if o["spec"].get("tls") else "80"]


def _node(o: Object) -> list[Any]:
    info = (o.get("status") or {}).get("nodeInfo") or {}
    ready = "Ready" if _conditions(o, "Ready") == "True" else "NotReady"
    if o["spec"].get("unschedulable"):
        ready += ",SchedulingDisabled"
    return [ready, "<none>", info.get("kubeletVersion", "")]


LAYOUT: dict[tuple[str, str], tuple[list[str], Cells, bool]] = {
    ("apps", "deployments"): (["Ready", "Up-to-date", "Available"], _deployment, True),
    ("apps", "replicasets"): (["Desired", "Current", "Ready"], _replica_set, True),
    ("apps", "statefulsets"): (["Ready"], _stateful_set, True),
    ("apps", "daemonsets"): (
        ["Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector"], _daemon_set, True,
    ),
    ("", "pods"): (["Ready", "Status", "Restarts"], _pod, True),
    ("", "services"): (["Type", "Cluster-IP", "External-IP", "Port(s)"], _service, True),
    ("", "configmaps"): (["Data"], lambda o: [len(o.get("data") or {}) + len(o.get("binaryData") or {})], True),
    ("", "secrets"): (["Type", "Data"], lambda o: [o.get("type", ""), len(o.get("data") or {})], True),
    ("", "namespaces"): (["Status"], lambda o: [(o.get("status") or {}).get("phase", "")], True),
    ("", "nodes"): (["Status", "Roles", "Version"], _node, True),
    ("", "persistentvolumeclaims"): (["Status", "Volume", "Capacity", "Access Modes", "StorageClass"], _claim, True),
    ("", "events"): (["Type", "Reason", "Object", "Message"], _event, False),
    ("batch", "jobs"): (["Status", "Completions"], _job, True),
    ("batch", "cronjobs"): (
        ["Schedule", "Suspend", "Active"],
        _cron_job, True,
    ),
    ("networking.k8s.io", "ingresses"): (["Class", "Hosts", "Address", "Ports"], _ingress, True),
}  # fmt: skip
"""(group, plural) -> columns between name and age, their cells, whether the name comes first."""


def table(kind: Kind, objects: list[Object], version: str, now: float, include: str) -> Object:
    """A `Table` of objects; `include` is None, Metadata or Object: what each row carries."""
    names, cells = _layout(kind, now)
    rows = [{"cells": cells(obj), "object": _carried(obj, include)} for obj in objects]
    if include == "None":
        rows = [{"cells": row["cells"]} for row in rows]
    return {
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version},
        "columnDefinitions": names, "rows": rows,
    }  # fmt: skip


def _layout(kind: Kind, now: float) -> tuple[list[Object], Cells]:
    if kind.custom and kind.columns:
        return _custom_layout(kind, now)
    names, cells, first = LAYOUT.get(kind.storage, ([], lambda _: [], True))
    columns = [column(name) for name in names]
    if not first:
        return [column("Last Seen"), *columns], lambda o: [age(o, now), *cells(o)]
    return [column("Name"), *columns, column("Age")], lambda o: [o["metadata"]["name"], *cells(o), age(o, now)]


def _custom_layout(kind: Kind, now: float) -> tuple[list[Object], Cells]:
    columns = [column("Name")]
    columns += [column(c["name"], c.get("type", "string"), c.get("priority", 0)) for c in kind.columns]

    def cells(obj: Object) -> list[Any]:
        out: list[Any] = [obj["metadata"]["name"]]
        for wanted in kind.columns:
            value: Any = obj
            for name in wanted["jsonPath"].lstrip(".").split("."):
                value = value.get(name) if isinstance(value, dict) else None
            if wanted.get("type") == "date" and isinstance(value, str):
                value = span(now - datetime.datetime.fromisoformat(value).timestamp())
            out.append(value)
        return out

    return columns, cells


def partial(obj: Object) -> Object:
    """An object reduced to `PartialObjectMetadata`."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _carried(obj: Object, include: str) -> Object:
    return obj if include == "Object" else partial(obj)
