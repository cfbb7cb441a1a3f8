"""What every cluster has before anybody touches it: namespaces, nodes, a storage class, the kubernetes service."""

from __future__ import annotations

from typing import Any

from agent.sandbox.controllers.loop import Context

Object = dict[str, Any]
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def fill(context: Context, nodes: int) -> None:
    """Makes it all."""
    for name in NAMESPACES:
        context.create(("", "namespaces"), {"metadata": {"name": name}})
    for number in range(nodes):
        node = context.create(("", "nodes"), _node(context, number))
        node["spec"].pop("taints", None)
        context.write(("", "nodes"), {**node, "status": _node_status(context, number)}, manager="kubelet")
    context.create(
        ("storage.k8s.io", "storageclasses"),
        {
            "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "sandbox.yardarm.dev/memory",
        },
    )
    context.create(
        ("", "services"),
        {
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}],
            },
        },
    )  # fmt: skip


def _node(context: Context, number: int) -> Object:
    name = f"{context.cluster.name}-node-{number + 1}"
    labels = {
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
    }  # fmt: skip
    return {"metadata": {"name": name, "labels": labels}, "spec": {"podCIDR": f"10.244.{number & 255}.0/24"}}


def _node_status(context: Context, number: int) -> Object:
    now = context.cluster.now()
    size = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    quiet = [("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False"), ("Ready", "True")]
    conditions = [
        {"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": now,
         "reason": "KubeletReady" if kind == "Ready" else "KubeletHasNoPressure", "message": "simulated"}
        for kind, status in quiet
    ]  # fmt: skip
    info = {
        "kubeletVersion": context.cluster.kubernetes, "operatingSystem": "linux", "architecture": "amd64",
        "osImage": "sandbox",
        "containerRuntimeVersion": "sandbox://0", "kernelVersion": "0", "machineID": "", "systemUUID": "", "bootID": "",
        "kubeProxyVersion": "",
    }  # fmt: skip
    address = f"10.0.{number >> 8 & 255}.{number & 255}"
    return {
        "capacity": size, "allocatable": size, "conditions": conditions, "nodeInfo": info,
        "addresses": [{"type": "InternalIP", "address": address}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    }  # fmt: skip
