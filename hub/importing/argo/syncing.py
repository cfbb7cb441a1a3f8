"""How an Argo CD Application is kept: syncPolicy, ignoreDifferences, finalizers."""

from __future__ import annotations

import re
from typing import Any

from hub.importing.fields import Fields, Foreign
from hub.importing.words import compact

FINALIZER = "resources-finalizer.argocd.argoproj.io"

_NEEDLESS = {
    "ApplyOutOfSyncOnly",  # only what differs is applied anyway
    "ClientSideApplyMigration",  # what kubectl wrote is taken over
    "RespectIgnoreDifferences",  # what is ignored is never written
    "ServerSideApply",
    "SkipDryRunOnMissingResource",
    "Validate",
    "PruneLast",  # nothing is pruned before everything is applied
    "FailOnSharedResource",  # an object belongs to one application only
    "DisableClientSideApplyMigration",
}
_ON_OBJECTS = {"Replace": "Replace=true", "Force": "Force=true"}


def sync_of(spec: Fields, application: Foreign) -> dict[str, Any]:
    """`sync` of an Application."""
    policy = spec.map("syncPolicy")
    automated = policy.map("automated")
    options = _options(policy)
    automatic = "automated" in policy and automated.flag("enabled", default=True)
    made: dict[str, Any] = {}
    if not automatic:
        policy.left(
            "automated",
            "it is synced by hand only; here every commit is applied",
            "hold it back with a rollout that asks for approval: rollout.stages[].approve",
        )
    if not automated.flag("selfHeal") or not automatic:
        made["drift"] = "report"
    if not automated.flag("prune") or not automatic or options.get("Prune") == "false":
        made["prune"] = False
    automated.differs_if("allowEmpty", "removing everything waits for `yardarm confirm`")
    automated.finish()
    if options.get("CreateNamespace") != "true":
        made["createNamespace"] = False
    if _orphaned(application, options):
        made["deletion"] = {"onDelete": "orphan"}
    policy.left_if("managedNamespaceMetadata", "the namespace is made without it", "add a Namespace manifest")
    policy.needless("retry")
    policy.finish()
    ignore = [rule for each in spec.items("ignoreDifferences") for rule in _ignore(each)]
    if ignore:
        made["ignore"] = ignore
    return made


def _orphaned(application: Foreign, options: dict[str, str]) -> bool:
    """Whether the objects stay when the Application goes: they do unless its finalizer says otherwise."""
    finalizers = application.metadata.get("finalizers")
    cascades = isinstance(finalizers, list) and any(str(each).startswith(FINALIZER) for each in finalizers)
    return not cascades or options.get("Delete") == "false"


def _options(policy: Fields) -> dict[str, str]:
    options = dict(text.partition("=")[::2] for text in policy.texts("syncOptions"))
    for name, value in options.items():
        if name in _NEEDLESS:
            if name == "ServerSideApply" and value == "false":
                policy.differs("syncOptions", "objects are always applied server-side")
        elif name in _ON_OBJECTS:
            if value == "true":
                policy.left(
                    "syncOptions",
                    f"{name}=true for all objects",
                    f"annotate those that need it: argocd.argoproj.io/sync-options: {_ON_OBJECTS[name]}",
                )
        elif name == "PrunePropagationPolicy":
            if value not in ("", "background", "foreground"):
                policy.left("syncOptions", f"{name}={value}", "use sync.prune: false")
        elif value == "confirm":
            policy.differs("syncOptions", f"{name}=confirm: here what exceeds sync.deletion.budget is confirmed")
        elif name not in ("CreateNamespace", "Prune", "Delete"):
            policy.left("syncOptions", f"{name} is not known to this version")
    return options


def _ignore(rule: Fields) -> list[dict[str, Any]]:
    base = compact(
        {
            "kind": _any(rule.text("kind")),
            "group": _any(rule.text("group")),
            "name": rule.text("name"),
            "namespace": rule.text("namespace"),
        }
    )
    fields = rule.texts("jsonPointers")
    for expression in rule.texts("jqPathExpressions"):
        pointer = pointer_of(expression)
        if pointer:
            fields.append(pointer)
        else:
            rule.left("jqPathExpressions", f"{expression!r} chooses more than a path", "write the field as a pointer")
    managers = rule.texts("managedFieldsManagers")
    rule.finish()
    # One rule here means fields changed by these managers; there either was enough.
    made = [{**base, "fields": fields}] if fields else []
    return [*made, {**base, "managers": managers}] if managers else made


def _any(text: str) -> str:
    return "" if text == "*" else text


_STEP = re.compile(
    r"""\.?\[\s*"(?P<quoted>[^"\\]*)"\s*\]|\.?\[(?P<index>\d*)\]|\."(?P<dotted>[^"\\]*)"|\.(?P<name>[A-Za-z_][\w]*)"""
)


def pointer_of(expression: str) -> str:
    """A jq path without conditions as a JSON pointer (`*` for every item); empty for anything else."""
    text, at, steps = expression.strip(), 0, []
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            return ""
        at = match.end()
        if match["index"] is not None:
            steps.append(match["index"] or "*")
        else:
            name = next(part for part in (match["quoted"], match["dotted"], match["name"]) if part is not None)
            steps.append(name.replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in steps)
