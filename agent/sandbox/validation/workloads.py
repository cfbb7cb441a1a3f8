"""Workloads: selectors that match, fields that must not change."""

from __future__ import annotations

from typing import Any

from agent.sandbox import selectors
from agent.sandbox.problems import Cause, bad_value, cause, required, unsupported
from agent.sandbox.validation import names
from agent.sandbox.validation.pods import pod_spec

Object = dict[str, Any]
IMMUTABLE = "field is immutable"


def _immutable(new: Object, old: Object | None, *fields: str) -> list[Cause]:
    if old is None:
        return []
    return [
        bad_value(f"spec.{name}", new["spec"].get(name), IMMUTABLE)
        for name in fields
        if new["spec"].get(name) != old["spec"].get(name)
    ]


def _template(spec: Object, *, restart: tuple[str, ...] = ("Always",)) -> list[Cause]:
    template = spec.get("template") or {}
    out = names.labels(template.get("metadata", {}).get("labels") or {}, "spec.template.labels")
    out += pod_spec(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy in ("Always", "OnFailure", "Never") and policy not in restart:
        out.append(unsupported("spec.template.spec.restartPolicy", policy, list(restart)))
    return out


def _selector(spec: Object) -> list[Cause]:
    selector = spec.get("selector")
    if selector is None:
        out = [required("spec.selector")]
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        out = [bad_value("spec.selector", selector, "empty selector is invalid for deployment")]
    else:
        out = []
    for index, term in enumerate((selector or {}).get("matchExpressions") or ()):
        if term.get("operator") not in ("In", "NotIn", "Exists", "DoesNotExist"):
            here = f"spec.selector.matchExpressions[{index}].operator"
            out.append(bad_value(here, term.get("operator", ""), "not a valid selector operator"))
    given = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if selector is None or not selectors.matches(selector, given or {}):
        out.append(bad_value("spec.template.metadata.labels", given, "`selector` does not match template `labels`"))
    return out


def _not_negative(spec: Object, *names: str) -> list[Cause]:
    return [
        bad_value(f"spec.{name}", spec[name], "must be greater than or equal to 0")
        for name in names
        if isinstance(spec.get(name), int) and spec[name] < 0
    ]


def deployment(new: Object, old: Object | None) -> list[Cause]:
    """A Deployment."""
    spec = new["spec"]
    out = _not_negative(spec, "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    out += _selector(spec)
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        text = "may not be specified when strategy `type` is 'Recreate'"
        out.append(cause("FieldValueForbidden", "spec.strategy.rollingUpdate", f"Forbidden: {text}"))
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        out.append(unsupported("spec.strategy.type", strategy.get("type"), ["Recreate", "RollingUpdate"]))
    return out + _template(spec) + _immutable(new, old, "selector")


def replica_set(new: Object, old: Object | None) -> list[Cause]:
    """A ReplicaSet."""
    return (
        _not_negative(new["spec"], "replicas")
        + _selector(new["spec"])
        + _template(new["spec"])
        + _immutable(new, old, "selector")
    )


def daemon_set(new: Object, old: Object | None) -> list[Cause]:
    """A DaemonSet."""
    return _selector(new["spec"]) + _template(new["spec"]) + _immutable(new, old, "selector")


STATEFUL_MUTABLE = {
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
}  # fmt: skip


def stateful_set(new: Object, old: Object | None) -> list[Cause]:
    """A StatefulSet."""
    out = _not_negative(new["spec"], "replicas") + _selector(new["spec"]) + _template(new["spec"])
    if old is not None and _frozen(new) != _frozen(old):
        text = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        out.append(cause("FieldValueForbidden", "spec", f"Forbidden: {text}"))
    return out


def _frozen(obj: Object) -> Object:
    kept = {k: v for k, v in obj["spec"].items() if k not in STATEFUL_MUTABLE}
    if kept.get("volumeClaimTemplates"):
        kept["volumeClaimTemplates"] = [
            {k: v for k, v in claim.items() if k != "status"} for claim in kept["volumeClaimTemplates"]
        ]
    return kept


def job(new: Object, old: Object | None) -> list[Cause]:
    """A Job."""
    spec = new["spec"]
    out = _not_negative(spec, "parallelism", "completions", "backoffLimit")
    out += _template(spec, restart=("OnFailure", "Never"))
    if (spec.get("template", {}).get("spec") or {}).get("restartPolicy") == "Always":
        text = 'Required value: valid values: "OnFailure", "Never"'
        out = [c for c in out if c.get("field") != "spec.template.spec.restartPolicy"]
        out.append(cause("FieldValueRequired", "spec.template.spec.restartPolicy", text))
    if old is not None:
        out += _immutable(new, old, "selector", "completionMode")
        if not old["spec"].get("suspend"):
            out += _immutable(new, old, "template")
        if spec.get("completionMode") != "Indexed":
            out += _immutable(new, old, "completions")
    return out


def cron_job(new: Object, _: Object | None) -> list[Cause]:
    """A CronJob."""
    spec = new["spec"]
    out = []
    if not spec.get("schedule"):
        out.append(required("spec.schedule"))
    elif not spec["schedule"].startswith("@") and len(spec["schedule"].split()) != 5:
        count = len(spec["schedule"].split())
        text = f"expected exactly 5 fields, found {count}: [{' '.join(spec['schedule'].split())}]"
        out.append(bad_value("spec.schedule", spec["schedule"], text))
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        allowed = ["Allow", "Forbid", "Replace"]
        out.append(unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), allowed))
    inner = spec.get("jobTemplate", {}).get("spec", {}).get("template", {}).get("spec") or {}
    place = "spec.jobTemplate.spec.template.spec"
    out += pod_spec(inner, place)
    if inner.get("restartPolicy") == "Always":
        text = 'Required value: valid values: "OnFailure", "Never"'
        out.append(cause("FieldValueRequired", f"{place}.restartPolicy", text))
    return out


def pod(new: Object, old: Object | None) -> list[Cause]:
    """A Pod."""
    out = pod_spec(new["spec"], "spec")
    if old is not None and _pod_frozen(new) != _pod_frozen(old):
        text = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        out.append(cause("FieldValueForbidden", "spec", f"Forbidden: {text}"))
    return out


def _pod_frozen(obj: Object) -> Object:
    spec = {k: v for k, v in obj["spec"].items() if k not in ("activeDeadlineSeconds", "tolerations", "nodeName")}
    for group in ("containers", "initContainers"):
        if group in spec:
            spec[group] = [{k: v for k, v in c.items() if k != "image"} for c in spec[group]]
    return spec


def pod_template(new: Object, _: Object | None) -> list[Cause]:
    """A PodTemplate."""
    return pod_spec(new["template"].get("spec") or {}, "template.spec")


def replication_controller(new: Object, _: Object | None) -> list[Cause]:
    """A ReplicationController."""
    spec = new["spec"]
    out = _not_negative(spec, "replicas")
    if not spec.get("selector"):
        out.append(required("spec.selector"))
    return out + _template(spec)
