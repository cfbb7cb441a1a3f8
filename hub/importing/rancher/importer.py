"""All bundles of a repository: those its GitRepos name, and every directory with a fleet.yaml."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hub.domain.reading import problem_of
from hub.domain.yamldoc import Document
from hub.importing.drafts import Draft, Key
from hub.importing.fields import Fields, Foreign
from hub.importing.files import MANIFESTS, below, inside, last, parent, shown
from hub.importing.home import Origins, origins
from hub.importing.names import token
from hub.importing.notes import Note
from hub.importing.rancher.bundles import (
    Bundle,
    bundle_name,
    draft_of,
    fleet_file,
    key_of,
    options_of,
    rendering,
    sync_of,
)
from hub.importing.rancher.customizing import changes_of, kustomized, overrides_of, placement_of
from hub.importing.rancher.targets import Groups, groups_of, targets_of
from hub.importing.scene import Scene
from hub.importing.selecting import Target, selector
from hub.importing.survey import parsed
from hub.importing.words import compact
from shared.errors import DocumentError
from shared.model import Place

_NOT_HERE = {
    "Bundle": "bundles are made from Git here: point at the repository they came from",
    "HelmOp": "write an Application with a chart as its source",
    "GitRepoRestriction": "write a Project with sources and namespaces",
    "Policy": "write a Project with sources and namespaces",
    "ClusterRegistrationToken": "agents get their credentials from `yardarm keys agent`",
    "ClusterRegistration": "agents get their credentials from `yardarm keys agent`",
    "Schedule": "windows belong to environments here",
    "ImageScan": "images are not updated in Git",
}


@dataclass(slots=True)
class Settings:
    """What a GitRepo says of all its bundles."""

    name: str = ""
    definition: Foreign | None = None
    source: dict[str, str] = field(default_factory=dict)
    targets: list[Target] | None = None
    namespace: str = ""
    account: str = ""
    correct: bool = False
    keep: bool = False


def fleet_drafts(scene: Scene) -> tuple[list[Draft], dict[Key, tuple[Key, ...]]]:
    """Drafts for everything of Rancher Fleet that the survey found."""
    definitions = scene.survey.of("fleet")
    if not definitions and not scene.survey.fleet:
        return [], {}
    groups = groups_of(definitions, scene.notes)
    named = [(url, path) for each in definitions if each.kind == "GitRepo" for url, path in _named(each, scene)]
    places = origins(scene.home, named, scene.tree)
    drafts = [_environment(each, groups) for each in definitions if each.kind == "ClusterGroup"]
    drafts += [_cluster(each, scene) for each in definitions if each.kind == "Cluster"]
    for each in definitions:
        if each.kind in _NOT_HERE:
            scene.left(each, _NOT_HERE[each.kind])
    bundles: list[tuple[Bundle, Settings]] = []
    for each in definitions:
        if each.kind == "GitRepo":
            bundles += _repository(each, groups, places, scene)
    covered = {bundle.directory for bundle, _ in bundles}
    rest = [parent(path) for path in scene.survey.fleet if parent(path) not in covered]
    bundles += [(_bundle(directory, "", scene, rest), Settings()) for directory in rest]
    if rest:
        _left_over([*covered, *rest], scene)
    by_labels: list[tuple[Key, dict[str, str]]] = []
    for bundle, settings in bundles:
        draft = _draft(bundle, settings, groups, scene)
        if draft is not None:
            drafts.append(draft)
            by_labels.append((draft.key, dict(draft.labels)))
    return drafts, _aliases(bundles, by_labels)


def _aliases(
    bundles: Iterable[tuple[Bundle, Settings]], by_labels: Iterable[tuple[Key, dict[str, str]]]
) -> dict[Key, tuple[Key, ...]]:
    """Bundles by every name that somebody may wait for: with and without their GitRepo's."""
    made: dict[Key, tuple[Key, ...]] = {}
    known = {key for key, _ in by_labels}
    for bundle, _ in bundles:
        key = key_of(bundle_name(bundle))
        if key not in known:
            made[key] = ()
        for alias in (token(bundle.directory.replace("/", "-"), "bundle"), token(last(bundle.directory), "bundle")):
            made.setdefault(key_of(alias), (key,))
        name = str(bundle.about.document.value.get("name") or "")
        if name:
            made.setdefault(key_of(token(name)), (key,))
    return made


def _named(definition: Foreign, scene: Scene) -> list[tuple[str, str]]:
    spec = Fields(definition.document.value.get("spec"), "spec", definition, scene.notes)
    return [(spec.text("repo"), path if "*" not in path else "") for path in spec.texts("paths") or ["/"]]


def _environment(definition: Foreign, groups: Groups) -> Draft:
    where = selector([Target(groups.requirements[definition.name])]) or {}
    return Draft(
        "Environment",
        (definition.name,),
        where,
        definition,
        definition.labels(),
        key=("fleet", "group", definition.name),
    )


def _cluster(definition: Foreign, scene: Scene) -> Draft:
    spec = scene.fields(definition)
    spec.left_if(
        "kubeConfigSecret", "the cluster's own agent applies here", f"yardarm keys agent {token(definition.name)}"
    )
    values = spec.map("templateValues")
    variables = {}
    for key, value in values.value.items():
        if isinstance(value, str | int | float) and key.isidentifier():
            variables[key] = value
        else:
            values.left(key, "a variable is a word, and its value a string, a number or a boolean")
    made = compact({"variables": variables, "paused": spec.flag("paused") or None})
    spec.needless(
        "clientID",
        "agentEnvVars",
        "agentNamespace",
        "privateRepoURL",
        "redeployAgentGeneration",
        "kubeConfigSecretNamespace",
    )
    return Draft(
        "Cluster", (definition.name,), made, definition, definition.labels(), key=("fleet", "Cluster", definition.name)
    )


def _repository(definition: Foreign, groups: Groups, places: Origins, scene: Scene) -> list[tuple[Bundle, Settings]]:
    spec = scene.fields(definition)
    if spec.flag("paused"):
        scene.left(definition, "paused: it is not imported, what it has made stays", "spec.paused")
        return []
    url = spec.text("repo")
    source = places.source(url, spec.text("revision") or spec.text("branch"))
    spec.needless("branch", "revision", "pollingInterval", "forceSyncGeneration", "disablePolling", "imageScanInterval")
    for name in ("clientSecretName", "helmSecretName", "helmSecretNameForPaths", "caBundle", "insecureSkipTLSVerify"):
        spec.left_if(name, "access is given per host, in the hub's settings (git.access)")
    spec.needless("helmRepoURLRegex", "imageScanCommit", "ociRegistry", "ociRegistrySecret", "deleteNamespace")
    correct = spec.map("correctDrift")
    settings = Settings(
        definition.name,
        definition,
        source,
        _all_targets(spec, groups),
        spec.text("targetNamespace"),
        spec.text("serviceAccount"),
        correct.flag("enabled"),
        spec.flag("keepResources"),
    )
    if settings.account:
        spec.left("serviceAccount", "the account is that of the Project", "write a Project with serviceAccount")
    paths = spec.texts("paths") or ["/"]
    if "repo" in source or "ref" in source:
        spec.left(
            "repo", f"{url} is another repository: what bundles it holds cannot be seen from here", "import it there"
        )
        return []
    if url in places.taken:
        spec.differs("repo", f"{url} is taken as this repository: what it names exists here")
    spec.finish()
    return [found for path in paths for found in _below(path, settings, spec, scene)]


def _all_targets(spec: Fields, groups: Groups) -> list[Target] | None:
    """None for every cluster: that is what a GitRepo without targets means, in the group `default`."""
    entries = spec.items("targets")
    if not entries:
        return None
    found = [target for each in entries for target in targets_of(each, groups)]
    for each in entries:
        each.needless("name")
        each.finish()
    return found


def _below(path: str, settings: Settings, spec: Fields, scene: Scene) -> list[tuple[Bundle, Settings]]:
    """The bundles of one path of a GitRepo, as Fleet finds them: each fleet.yaml below, and the rest as one."""
    made = []
    for root in _matching(path.strip("/"), scene):
        survey = scene.look(root)
        inner = [parent(each) for each in survey.fleet if parent(each) != root]
        if fleet_file(scene, root) or _has_rest(root, inner, survey.files):
            made.append((_bundle(root, settings.name, scene, inner), settings))
        made += [(_bundle(each, settings.name, scene, inner), settings) for each in inner]
    if not made:
        spec.left("paths", f"there is nothing at {path}")
    return made


def _matching(pattern: str, scene: Scene) -> list[str]:
    if "*" not in pattern:
        return [pattern] if scene.tree.kind(pattern) == "directory" else []
    found = [""]
    for part in pattern.split("/"):
        found = [
            joined
            for each in found
            for name in (fnmatch.filter(scene.tree.names(each), part) if "*" in part else [part])
            if scene.tree.kind(joined := f"{each}/{name}" if each else name) == "directory"
        ]
    return found


def _has_rest(root: str, inner: list[str], files: Iterable[str]) -> bool:
    """Whether there are YAML files below that belong to no directory with a fleet.yaml."""
    return any(
        path.endswith((".yaml", ".yml")) and inside(path, root) and not any(inside(path, each) for each in inner)
        for path in files
    )


def _bundle(directory: str, repo: str, scene: Scene, others: Iterable[str]) -> Bundle:
    path = fleet_file(scene, directory)
    document = Document(path or shown(directory), 1 if path else 0, {})
    if path:
        try:
            found = parsed(scene.tree, path, scene.memo)
        except DocumentError as error:
            found = (error,)
        for each in found:
            if isinstance(each, DocumentError):
                problem = problem_of(each)
                place = problem.place or Place(path)
                scene.notes.add(Note("left", path, problem.message, place, problem.hint))
            elif isinstance(each.value, dict):
                document = each
    inner = tuple(each for each in others if each != directory and inside(each, directory))
    return Bundle(directory, Foreign(document, "", "fleet.yaml of", shown(directory)), repo, inner)


def _draft(bundle: Bundle, settings: Settings, groups: Groups, scene: Scene) -> Draft | None:
    options = options_of(bundle, scene)
    if options.flag("paused"):
        scene.left(bundle.about, "paused: it is not imported, what it has made stays", "paused")
        return None
    source, render, way = rendering(options, bundle, scene)
    namespace = settings.namespace or options.text("namespace") or options.text("defaultNamespace") or "default"
    forced = bool(settings.namespace or options.text("namespace"))
    targets = settings.targets
    if way == "plain" and (dirs := kustomized(options, groups)):
        # The directory itself is no kustomization: what Fleet would make of it is not what anybody wants.
        render, way, targets = {}, "kustomize", targets or dirs
        scene.differs(bundle.about, "clusters that none of its targetCustomizations means get nothing: it has no base")
    overrides = overrides_of(options, bundle, groups, scene, way)
    placement, excluded = placement_of(options, bundle, groups, targets, scene)
    spec = compact(
        {
            "source": source,
            "render": render,
            "namespace": token(namespace),
            "placement": placement,
            "overrides": [*_always(options, bundle, scene, way), *overrides],
            "sync": sync_of(options, correct=settings.correct, keep=settings.keep),
            "rollout": _rollout(options.map("rolloutStrategy"), groups),
        }
    )
    if excluded is None:
        return None
    if way == "kustomize" and forced:
        spec["render"] = {"kustomize": {"namespace": namespace}}
    labels = options.strings("labels")
    draft = draft_of(bundle, spec, labels=labels, helm=way == "helm")
    draft.needs = tuple(key_of(token(each.text("name"))) for each in options.items("dependsOn") if each.text("name"))
    for each in options.items("dependsOn"):
        each.left_if("selector", "dependsOn names applications")
        each.needless("name", "acceptedStates")
        each.finish()
    _rest(options)
    if way == "helm" and not settings.name and not options.map("helm").text("releaseName"):
        draft.release = ""
        scene.differs(
            bundle.about,
            "its release was called after its GitRepo, which is not here: now it is called like the application",
            hint="objects named after the release would be new ones: set render.helm.release to what it was",
        )
    return draft


def _always(options: Fields, bundle: Bundle, scene: Scene, way: str) -> list[dict[str, Any]]:
    """What every cluster gets on top: overlays, and a kustomization over a chart."""
    made = changes_of(options, bundle, scene, way)
    return [made] if made else []


def _rollout(strategy: Fields, groups: Groups) -> dict[str, Any]:
    stages = []
    for number, each in enumerate(strategy.items("partitions"), 1):
        chosen = selector(targets_of(each, groups)) or {}
        most = each.raw("maxUnavailable")
        stage = {"name": token(each.text("name") or f"partition-{number}"), **chosen}
        stages.append({**stage, **({"maxConcurrent": most} if most is not None else {})})
        each.finish()
    most = strategy.raw("maxUnavailable")
    if most is not None and not stages:
        stages.append({"name": "all", "maxConcurrent": most})
    strategy.differs_if("maxUnavailablePartitions", "a stage begins when the one before is done")
    strategy.differs_if("autoPartitionSize", "clusters that no stage chooses are the last one")
    strategy.needless("autoPartitionThreshold")
    strategy.finish()
    return {"stages": stages} if stages else {}


def _rest(options: Fields) -> None:
    options.left_if("namespaceLabels", "the namespace is made without them", "add a Namespace manifest")
    options.left_if("namespaceAnnotations", "the namespace is made without them", "add a Namespace manifest")
    options.left_if("serviceAccount", "the account is that of the Project", "write a Project with serviceAccount")
    options.left_if("imageScans", "images are not updated in Git")
    options.left_if("downstreamResources", "nothing is copied from the hub's cluster")
    options.left_if("scheduledOverrides", "windows belong to environments here")
    options.needless("name", "forceSyncGeneration", "helm", "kustomize", "yaml", "targets", "deleteNamespace")
    options.finish()


def _left_over(bundles: list[str], scene: Scene) -> None:
    """Manifests beside bundles that no GitRepo speaks of: Fleet would take them only where a GitRepo names a path."""
    survey = scene.survey
    if survey.path in bundles:
        return
    definitions = {each.file for each in survey.definitions}
    loose = sorted(
        {
            below(path, survey.path).partition("/")[0]
            for path in survey.files
            if path.endswith(MANIFESTS) and path not in definitions and not any(inside(path, each) for each in bundles)
        }
    )
    if loose:
        message = f"no fleet.yaml speaks of {', '.join(loose)}: left out"
        scene.notes.add(
            Note(
                "left",
                f"files below {shown(survey.path)}",
                message,
                Place(shown(survey.path)),
                "point at one of them, or write an Application",
            )
        )
