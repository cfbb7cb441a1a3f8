"""A HelmRelease, read: which chart, under which name, with which values."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.yamldoc import load_documents
from hub.importing.fields import Fields, Foreign
from hub.importing.flux.sources import Sources
from hub.importing.kustomizing import images_of, patches_of
from hub.importing.notes import Notes
from hub.importing.scene import mapping
from hub.importing.values import literal_into, merged, set_into
from hub.importing.words import compact, duration
from shared.errors import DocumentError

LONGEST_RELEASE = 53

Data = Callable[[str, str, str], Mapping[str, str] | None]
"""The data of a ConfigMap or Secret by (kind, namespace, name); None when it is not at hand."""


@dataclass(slots=True)
class Release:
    """A HelmRelease as ours. `missing` says what cannot be read before there is a cluster: its values are incomplete.

    `local` is the chart's directory when it is in this repository, `needs` are (namespace, name) of other releases.
    """

    source: dict[str, Any]
    local: str | None
    release: str
    namespace: str
    values: dict[str, Any] = field(default_factory=dict)
    value_files: list[str] = field(default_factory=list)
    ignore_missing: bool = False
    crds: bool = True
    create_namespace: bool = False
    sync: dict[str, Any] = field(default_factory=dict)
    patches: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    needs: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def release_of(definition: Foreign, sources: Sources, data: Data, notes: Notes) -> Release:
    """A HelmRelease; what is not carried over is noted.

    Raises:
        Unknown: its chart cannot be told.
    """
    spec = Fields(definition.document.value.get("spec"), "spec", definition, notes)
    made_of, local, files = _chart(spec, definition, sources)
    target = spec.text("targetNamespace")
    made = Release(
        source=made_of,
        local=local,
        release=spec.text("releaseName") or release_name(target, definition.name),
        namespace=target or definition.namespace or "default",
        value_files=files,
    )
    chart = spec.map("chart").map("spec")
    made.ignore_missing = chart.flag("ignoreMissingValuesFiles")
    _values(spec, definition, data, made)
    _lifecycle(spec, made)
    made.sync = _sync(spec, made)
    _post_renderers(spec, made)
    made.needs = [
        (each.text("namespace") or definition.namespace, each.text("name")) for each in spec.items("dependsOn")
    ]
    for each in spec.items("dependsOn"):
        each.left_if("readyExpr", "an application is ready when it is applied and healthy")
    spec.left_if("kubeConfig", "the cluster's own agent applies here")
    spec.left_if("serviceAccountName", "the account is that of the Project", "write a Project with serviceAccount")
    spec.needless("interval", "maxHistory", "storageNamespace", "persistentClient", "suspend")
    spec.left_if("waitStrategy", "an application is healthy when all of its objects are")
    spec.finish()
    return made


def release_name(target: str, name: str) -> str:
    """What Flux calls a release that has no name: namespace and name, shortened as Flux does."""
    full = f"{target}-{name}" if target else name
    if len(full) <= LONGEST_RELEASE:
        return full
    return f"{full[: LONGEST_RELEASE - 13]}-{hashlib.sha256(full.encode()).hexdigest()[:12]}"


def _chart(spec: Fields, definition: Foreign, sources: Sources) -> tuple[dict[str, Any], str | None, list[str]]:
    if "chartRef" in spec:
        ref = spec.map("chartRef")
        source, local = sources.chart(
            ref.text("kind"), ref.text("namespace") or definition.namespace, ref.text("name"), "", ""
        )
        ref.needless("apiVersion")
        ref.finish()
        return source, local, []
    chart = spec.map("chart").map("spec")
    spec.map("chart").needless("metadata")
    ref = chart.map("sourceRef")
    source, local = sources.chart(
        ref.text("kind", "HelmRepository"),
        ref.text("namespace") or definition.namespace,
        ref.text("name"),
        chart.text("chart"),
        chart.text("version"),
    )
    files = [*chart.texts("valuesFiles"), *([chart.text("valuesFile")] if "valuesFile" in chart else [])]
    chart.left_if("verify", "signatures of charts are not checked")
    chart.needless("interval", "reconcileStrategy", "ignoreMissingValuesFiles")
    chart.finish()
    if ref.text("kind") == "GitRepository":
        files = [f"/{name.lstrip('./')}" for name in files]
    return source, local, files


def _values(spec: Fields, definition: Foreign, data: Data, made: Release) -> None:
    for reference in spec.items("valuesFrom"):
        made.values = _from(reference, definition, data, made)
        reference.finish()
    made.values = merged(made.values, spec.map("values").value)


def _from(reference: Fields, definition: Foreign, data: Data, made: Release) -> dict[str, Any]:
    kind, name = reference.text("kind"), reference.text("name")
    key, path = reference.text("valuesKey", "values.yaml"), reference.text("targetPath")
    optional, literal = reference.flag("optional"), reference.flag("literal")
    found = data(kind, definition.namespace, name)
    if found is None or key not in found:
        what = f"{kind} {definition.namespace}/{name}" + (f" with {key}" if found is not None else "")
        if not optional:
            made.missing.append(what)
        reference.left(
            "", f"there is no {what} among what is read", "write its values into render.helm.values, or into overrides"
        )
        return made.values
    if any(text.startswith("ENC[") for text in found.values()):
        made.missing.append(f"{kind} {name}, which is encrypted")
        reference.left("", "it is encrypted, and only the cluster can decrypt it")
        return made.values
    try:
        if path:
            return _set(made.values, path, found[key], literal=literal)
        return merged(made.values, _map(found[key], f"{kind} {name}"))
    except (DocumentError, ValueError) as error:
        message = error.message if isinstance(error, DocumentError) else str(error)
        made.missing.append(f"{kind} {name}: {message}")
        reference.left("", f"{key} of {name} cannot be used: {message}")
        return made.values
    finally:
        reference.differs("", f"the content of {kind} {name} is copied: later changes of it do not reach it")


def _map(text: str, name: str) -> dict[str, Any]:
    documents = load_documents(text, file=name)
    value = documents[0].value if documents else {}
    if not isinstance(value, dict):
        raise DocumentError("it is not a map")
    return value


def _set(values: Mapping[str, Any], path: str, text: str, *, literal: bool) -> dict[str, Any]:
    """As Flux: `--set path=text`, as a string when the text stands in quotes, untouched when it is `literal`."""
    if literal:
        return literal_into(values, path, text)
    stripped = text.rstrip("\n")
    for quote in ("'", '"'):
        if len(stripped) > 1 and stripped.startswith(quote) and stripped.endswith(quote):
            return set_into(values, f"{path}={stripped.strip(quote)}", strings=True)
    return set_into(values, f"{path}={stripped}")


def _lifecycle(spec: Fields, made: Release) -> None:
    install, upgrade = spec.map("install"), spec.map("upgrade")
    made.crds = install.text("crds", "Create") != "Skip" and not install.flag("skipCRDs")
    made.create_namespace = install.flag("createNamespace")
    upgrade.needless("crds", "cleanupOnFail", "preserveValues")
    for each in (install, upgrade):
        each.left_if("disableHooks", "hooks run as the chart says")
        each.left_if("disableSchemaValidation", "values are always checked against the chart's schema")
        each.needless("timeout", "disableWait", "disableWaitForJobs", "disableOpenAPIValidation", "replace", "strategy")
        each.needless("disableTakeOwnership", "serverSideApply")
        remediation = each.map("remediation")
        if each is upgrade and remediation.text("strategy", "rollback") == "rollback" and "retries" in remediation:
            each.differs("remediation", "a failed upgrade is not rolled back by itself", "rollout.onFailure: rollback")
        remediation.needless("retries", "remediateLastFailure", "ignoreTestFailures", "strategy")
        remediation.finish()
    upgrade.left_if("force", "an object is replaced only where it is annotated: kustomize.toolkit.fluxcd.io/force")
    install.finish()
    upgrade.finish()
    if spec.map("test").flag("enable"):
        spec.left("test", "test hooks of charts are not run")
    spec.needless("rollback", "uninstall")


def _sync(spec: Fields, made: Release) -> dict[str, Any]:
    drift = spec.map("driftDetection")
    ignore = []
    for each in drift.items("ignore"):
        target = each.map("target")
        for name in ("labelSelector", "annotationSelector", "version"):
            target.left_if(name, "objects are chosen by kind and name")
        rule: dict[str, Any] = compact({name: target.text(name) for name in ("kind", "group", "name", "namespace")})
        paths = each.texts("paths")
        if all(paths):  # an empty path is the whole object
            rule["fields"] = paths
        ignore.append(rule)
        target.finish()
        each.finish()
    mode = drift.text("mode", "disabled")
    drift.finish()
    sync: dict[str, Any] = {}
    if mode != "enabled":  # Flux leaves alone what somebody changed by hand, unless it is told to detect drift
        sync["drift"] = "report"
    if not made.create_namespace:
        sync["createNamespace"] = False
    return {**sync, **compact({"ignore": ignore, "timeout": duration(spec.text("timeout"))})}


def _post_renderers(spec: Fields, made: Release) -> None:
    for each in spec.items("postRenderers"):
        kustomize = each.map("kustomize")
        made.patches += patches_of(kustomize)
        made.images += images_of(kustomize)
        kustomize.finish()
        each.finish()
    common = spec.map("commonMetadata")
    metadata = compact({"labels": common.strings("labels"), "annotations": common.strings("annotations")})
    if metadata:
        made.patches.append({"target": {"kind": ".*"}, "patch": {"metadata": metadata}})


def decoded(kind: str, value: Mapping[str, Any]) -> dict[str, str]:
    """The data of a ConfigMap or Secret object as text; what is not text is left out."""
    found = {name: text for name, text in mapping(value.get("data")).items() if isinstance(text, str)}
    if kind == "Secret":
        plain = {}
        for name, text in found.items():
            try:
                plain[name] = text if text.startswith("ENC[") else base64.b64decode(text, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                continue
        found = plain
    strings = {name: text for name, text in mapping(value.get("stringData")).items() if isinstance(text, str)}
    return {**found, **strings}
