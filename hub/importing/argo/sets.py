"""An ApplicationSet as ours, or, where its items are clusters only, as one Application with a placement.

An ApplicationSet over clusters makes an Application per cluster because Argo CD knows no other way to reach several.
One Application that is placed on these clusters says the same, unless the cluster's name or labels go into what is
rendered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hub.domain.selectors import parse_requirement
from hub.domain.yamldoc import Document
from hub.importing.argo.applications import Translated, translate
from hub.importing.argo.clusters import IN_CLUSTER
from hub.importing.argo.generators import Generated, generated
from hub.importing.argo.templates import Untranslatable, converted, item, used, without
from hub.importing.drafts import Draft
from hub.importing.fields import Fields, Foreign
from hub.importing.home import Origins
from hub.importing.names import token
from hub.importing.scene import Scene, mapping
from hub.importing.selecting import Target, requirements_of, selector

CLUSTER = item("cluster")


def set_of(definition: Foreign, origins: Origins, servers: Mapping[str, str], scene: Scene) -> Draft | None:
    """An ApplicationSet; None when it cannot be carried over, which is noted."""
    spec = scene.fields(definition)
    go = spec.flag("goTemplate")
    spec.needless("goTemplateOptions", "syncPolicy", "revisionHistoryLimit")
    try:
        generators = [each for one in spec.items("generators") for each in generated(one, origins, go=go)]
        if not generators or len(spec.items("generators")) > 1:
            raise Untranslatable("generators: several of them are several sets here; write one document for each")
        if "templatePatch" in spec:
            raise Untranslatable("templatePatch: it computes parts of the template")
        template = _template(definition, spec, generators, servers, go=go)
    except Untranslatable as reason:
        scene.left(definition, str(reason), "spec", "write an ApplicationSet, or one Application with a placement")
        return None
    made = translate(template, origins, servers, scene)
    if made is None:
        return None
    _policy(spec, made.draft)
    draft = _one(definition, made, generators, spec, scene) or _many(definition, made, generators, spec)
    spec.finish()
    return draft


def _template(
    definition: Foreign, spec: Fields, generators: list[Generated], servers: Mapping[str, str], *, go: bool
) -> Foreign:
    """The template as an Application with `${item.…}` in it."""
    template = spec.map("template")
    metadata, body = dict(template.map("metadata").value), dict(template.map("spec").value)
    body["destination"] = _destination(mapping(body.get("destination")), generators, servers)

    def rename(name: str) -> str:
        return next((found for each in generators if (found := each.rename(name))), "")

    metadata = {"namespace": definition.namespace, **metadata}
    made = converted({"metadata": metadata, "spec": body}, rename, go=go)
    value: dict[str, Any] = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **made}
    lines = {
        path.removeprefix("spec.template."): line
        for path, line in definition.document.lines.items()
        if path.startswith("spec.template.")
    }
    document = Document(definition.file, definition.document.line, value, lines)
    name = str(value["metadata"].get("name") or definition.name)
    return replace(definition, document=document, name=name)


def _destination(
    destination: Mapping[str, Any], generators: list[Generated], servers: Mapping[str, str]
) -> dict[str, Any]:
    """Clusters by name: a generator's `server` is the address of what `name` is called."""
    server = str(destination.get("server", "")).replace(" ", "").replace(".", "")
    rest = {key: value for key, value in destination.items() if key != "server"}
    if server == "{{server}}" and any(each.clusters is not None for each in generators):
        return {**rest, "name": "{{name}}" if destination["server"].find(".") < 0 else "{{ .name }}"}
    name = server.removeprefix("{{").removesuffix("}}")
    for each in generators:
        if server.startswith("{{") and each.items is not None and name in each.renames:
            return {**rest, **_listed(each, name, servers, str(destination["server"]))}
    return dict(destination)


def _listed(made: Generated, name: str, servers: Mapping[str, str], template: str) -> dict[str, Any]:
    """The cluster that each item's address means: one for all, or a value of its own in each item."""
    addresses = [str(each.get(name, "")).rstrip("/") for each in made.items or ()]
    if all(address == IN_CLUSTER for address in addresses):
        return {"server": IN_CLUSTER}
    known = [servers.get(address, "") for address in addresses]
    own = "cluster" if all(each.get("cluster") for each in made.items or ()) else "name"
    if not all(known) and not all(each.get(own) for each in made.items or ()):
        raise Untranslatable(f"destination.server {template}: addresses, and no cluster is known by them")
    for each, cluster in zip(made.items or (), known, strict=True):
        each["cluster"] = token(cluster or str(each.get(own)))
    made.renames["cluster"] = CLUSTER
    return {"name": "{{ .cluster }}" if "." in template else "{{cluster}}"}


def _policy(spec: Fields, draft: Draft) -> None:
    policy = spec.map("syncPolicy")
    if policy.flag("preserveResourcesOnDeletion"):
        draft.spec.setdefault("sync", {})["deletion"] = {"onDelete": "orphan"}
    if policy.text("applicationsSync", "sync") not in ("sync", "create-update", "create-delete", "create-only"):
        policy.left("applicationsSync", "it is not known to this version")
    elif policy.text("applicationsSync", "sync") != "sync":
        policy.left("applicationsSync", "applications follow their set")
    policy.finish()
    spec.left_if("preservedFields", "applications are not edited beside their set")
    spec.left_if("ignoreApplicationDifferences", "applications are not edited beside their set")


def _one(
    definition: Foreign, made: Translated, generators: list[Generated], spec: Fields, scene: Scene
) -> Draft | None:
    """One Application in place of one per cluster; None where the cluster goes into what is rendered."""
    over_clusters = next((each for each in generators if each.clusters is not None), None)
    draft = made.draft
    named = without(draft.candidates[0], "cluster")
    rest = {key: value for key, value in draft.spec.items() if key != "placement"}
    if over_clusters is None or not _only_placed(draft, rest, named):
        return None
    labels = {key: text for key, text in draft.labels.items() if not _by_cluster(used(text))}
    placement = selector([Target(over_clusters.clusters or ())]) or {}
    spec_of_one = {**rest, **({"placement": placement} if placement else {})}
    others = [each for each in generators if each is not over_clusters]
    candidates = (named or definition.name, f"{definition.namespace}-{named or definition.name}")
    one = replace(draft, candidates=candidates, spec=spec_of_one, labels=labels)
    if others:
        return _many(definition, replace(made, draft=one), others, spec)
    rollout = _rollout(spec, draft.labels, scene, definition)
    if rollout:
        one.spec["rollout"] = rollout
    key = ("argocd", "ApplicationSet", definition.namespace, definition.name)
    return replace(one, origin=definition, key=key, release="")


def _only_placed(draft: Draft, rest: Mapping[str, Any], named: str) -> bool:
    """Whether the cluster only says where an Application goes.

    Where nobody says what a release is called it is called like its Application: one name for all would be other
    objects than those that are there.
    """
    if draft.spec.get("placement") != {"clusters": [CLUSTER]} or draft.helm is None:
        return False
    release = mapping(mapping(draft.spec.get("render")).get("helm")).get("release")
    return not (draft.helm and not release) and not _by_cluster(used(rest) | used(named))


def _by_cluster(names: set[str]) -> bool:
    return any(name == "cluster" or name.startswith("labels.") for name in names)


def _many(definition: Foreign, made: Translated, generators: list[Generated], spec: Fields) -> Draft:
    if spec.map("strategy").value:
        spec.left(
            "strategy",
            "applications of a set are not rolled out one after the other",
            "dependsOn orders them on one cluster; a rollout moves one application over its clusters",
        )
    draft = made.draft
    metadata: dict[str, Any] = {"name": draft.candidates[0]}
    if draft.labels:
        metadata["labels"] = dict(draft.labels)
    if draft.annotations:
        metadata["annotations"] = dict(draft.annotations)
    return Draft(
        "ApplicationSet",
        (definition.name, f"{definition.namespace}-{definition.name}"),
        {"forEach": [each.entry for each in generators], "template": {"metadata": metadata, "spec": draft.spec}},
        definition,
        {key: text for key, text in definition.labels().items() if "argocd.argoproj.io/" not in key},
        key=("argocd", "ApplicationSet", definition.namespace, definition.name),
    )


_CLUSTER_LABEL = re.compile(r"\$\{item\.labels\.([^}]+)\}")


def _rollout(spec: Fields, labels: Mapping[str, str], scene: Scene, definition: Foreign) -> dict[str, Any]:
    """`strategy.rollingSync` over Applications that were one per cluster, as stages over their clusters.

    Its steps choose by labels of the Applications, which stand for clusters where the template takes them from there.
    """
    strategy = spec.map("strategy")
    steps = strategy.map("rollingSync").items("steps") if strategy.text("type") == "RollingSync" else []
    strategy.needless("rollingSync", "deletionOrder", "type")
    strategy.finish()
    stages = []
    for number, step in enumerate(steps, 1):
        requirements = []
        most = step.raw("maxUpdate")
        for text in requirements_of(step):
            key = parse_requirement(text).key
            label = _CLUSTER_LABEL.fullmatch(labels.get(key, ""))
            if label is None:
                scene.left(definition, f"strategy: no cluster label stands behind the label {key!r}", "spec.strategy")
                return {}
            requirements.append(text.replace(key, label[1], 1))
        stage = {"name": f"step-{number}", **(selector([Target(tuple(requirements))]) or {})}
        stages.append({**stage, **({"maxConcurrent": most} if most is not None else {})})
    return {"stages": stages} if stages else {}
