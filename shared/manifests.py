"""What can be known of a Kubernetes object without a cluster: its reference and whether its kind has a namespace."""

from __future__ import annotations

import hashlib

import orjson

from shared.errors import DocumentError
from shared.model import Manifest, ObjectRef

CLUSTER_SCOPED = frozenset(
    {
        "Namespace", "Node", "PersistentVolume", "ComponentStatus",
        "CustomResourceDefinition.apiextensions.k8s.io", "APIService.apiregistration.k8s.io",
        "ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
        "StorageClass.storage.k8s.io", "CSIDriver.storage.k8s.io", "CSINode.storage.k8s.io",
        "VolumeAttachment.storage.k8s.io", "VolumeAttributesClass.storage.k8s.io",
        "PriorityClass.scheduling.k8s.io", "RuntimeClass.node.k8s.io", "IngressClass.networking.k8s.io",
        "IPAddress.networking.k8s.io", "ServiceCIDR.networking.k8s.io", "GatewayClass.gateway.networking.k8s.io",
        "MutatingWebhookConfiguration.admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
        "MutatingAdmissionPolicy.admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
        "CertificateSigningRequest.certificates.k8s.io", "ClusterTrustBundle.certificates.k8s.io",
        "FlowSchema.flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io",
        "ClusterIssuer.cert-manager.io",
    }
)  # fmt: skip
"""Built-in kinds without a namespace, as `Kind.group`. Only for what happens before a cluster is asked; the agent
goes by discovery."""


_UPWARDS = frozenset({".", ".."})
"""Names are parts of addresses, and these lead to something else: the `..` of a namespace's Jobs is the namespace.
Kubernetes refuses them (IsValidPathSegmentName), but what they lead to could be deleted before it is asked to."""


def ref_of(manifest: Manifest, default_namespace: str = "") -> ObjectRef:
    """The reference of a manifest; a namespaced object without a namespace gets `default_namespace`.

    Raises:
        DocumentError: apiVersion, kind or metadata.name is missing or not a string, or a name would lead elsewhere in
            the address of an object.
    """
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    parts = {
        "apiVersion": manifest.get("apiVersion"),
        "kind": manifest.get("kind"),
        "metadata.name": metadata.get("name"),
    }
    for field, value in parts.items():
        if not isinstance(value, str) or not value:
            raise DocumentError(_missing(field, value, manifest))
    namespace = metadata.get("namespace") or ""
    if not isinstance(namespace, str):
        raise DocumentError(f"metadata.namespace must be a string, not {namespace!r}")
    ref = ObjectRef(parts["apiVersion"], parts["kind"], namespace, parts["metadata.name"])  # type: ignore[arg-type]
    for field, text in (("metadata.name", ref.name), ("metadata.namespace", namespace)):
        if text in _UPWARDS or "/" in text or "%" in text:
            raise DocumentError(f"{field} {text[:100]!r} cannot be a name: neither '.' nor '..', no '/' and no '%'")
    if ref.group_kind in CLUSTER_SCOPED:
        return ObjectRef(ref.api_version, ref.kind, "", ref.name)
    if not ref.namespace:
        return ObjectRef(ref.api_version, ref.kind, default_namespace, ref.name)
    return ref


def notes(manifest: Manifest) -> dict[str, str]:
    """The annotations, empty when there are none."""
    found = (manifest.get("metadata") or {}).get("annotations")
    return found if isinstance(found, dict) else {}


HOOK_ANNOTATIONS = ("argocd.argoproj.io/hook", "helm.sh/hook")
"""What marks an object as a step that is run rather than a state that is kept."""

_LONGEST_PREFIX = 54


def with_name(manifest: Manifest) -> Manifest:
    """A hook that only has a generateName, with a name made of it and its content; anything else as it is.

    A hook is made anew for each run, so that any name will do; one from its content is the same on all clusters, and
    in every preview.
    """
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name"):
        return manifest
    prefix, noted = metadata.get("generateName"), metadata.get("annotations")
    if not isinstance(prefix, str) or not isinstance(noted, dict) or not any(map(noted.get, HOOK_ANNOTATIONS)):
        return manifest
    digest = hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()[:8]
    rest = {key: value for key, value in metadata.items() if key != "generateName"}
    return {**manifest, "metadata": {**rest, "name": prefix[:_LONGEST_PREFIX] + digest}}


def _missing(field: str, value: object, manifest: Manifest) -> str:
    metadata = manifest.get("metadata")
    if field == "metadata.name" and isinstance(metadata, dict) and metadata.get("generateName"):
        return (
            "metadata.generateName cannot be kept in line with Git: give the object a metadata.name "
            "(only hooks may do without)"
        )
    what = "is missing" if value is None else f"must be a non-empty string, not {value!r}"
    kind = manifest.get("kind")
    return f"{field} {what}" + (f" in this {kind}" if isinstance(kind, str) and kind else "")
