"""A directory with a fleet.yaml, or one that a GitRepo names, as an Application."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from hub.domain.documents import SUBSTITUTE
from hub.domain.fields import BUILTINS
from hub.domain.variables import names_in
from hub.domain.yamldoc import load_documents
from hub.importing.drafts import Draft, Key
from hub.importing.fields import Fields, Foreign
from hub.importing.files import FLEET, has_chart, inside, join, kustomization_in, last
from hub.importing.names import token
from hub.importing.rancher.overlays import ignored_fields
from hub.importing.scene import Scene, mapping
from hub.importing.values import merged, without
from hub.importing.words import compact, seconds
from shared.errors import DocumentError

RELEASE_LONGEST = 53
_TEMPLATE = re.compile(r"\$\{\s*(?P<inner>[^}]*)\}")


@dataclass(slots=True)
class Bundle:
    """A directory that is one bundle. `about` is its fleet.yaml, an empty document when it has none.

    `repo` is the name of its GitRepo, empty when it is not known; then nobody can say what a release without a name is
    called.
    """

    directory: str
    about: Foreign
    repo: str = ""
    inner: tuple[str, ...] = ()
    """Directories below that are bundles of their own."""


@dataclass(slots=True)
class Chart:
    """The chart of a bundle. `local` is its directory in this repository; `name` is empty when there is no chart."""

    source: dict[str, Any] = field(default_factory=dict)
    local: str | None = None
    there: bool = False


def key_of(name: str) -> Key:
    """What a bundle is known by."""
    return ("fleet", "Bundle", name)


def bundle_name(bundle: Bundle) -> str:
    """What Fleet calls a bundle: GitRepo and path, joined by dashes."""
    parts = [part for part in (bundle.repo, bundle.directory) if part]
    return token(re.sub(r"-+", "-", "-".join(parts).replace("/", "-")), "bundle")


def options_of(bundle: Bundle, scene: Scene) -> Fields:
    """The fleet.yaml of a bundle."""
    return Fields(bundle.about.document.value, "", bundle.about, scene.notes)


def chart_of(helm: Fields, bundle: Bundle, scene: Scene) -> Chart:
    """Where a bundle's chart is."""
    chart, repo, version = helm.text("chart"), helm.text("repo"), helm.text("version")
    if repo.startswith("oci://") or (repo and chart):
        return Chart(compact({"repo": repo.rstrip("/"), "chart": chart, "version": version}), there=True)
    if repo:
        chart, repo = repo, ""
    if chart.startswith("oci://"):
        base, _, name = chart.rstrip("/").rpartition("/")
        return Chart(compact({"repo": base, "chart": name, "version": version}), there=True)
    inside_path = join(bundle.directory, chart) if "://" not in chart and "::" not in chart else None
    if inside_path is not None and has_chart(scene.tree, inside_path):
        return Chart({"path": inside_path} if inside_path else {}, local=inside_path, there=True)
    if not chart:
        return Chart()
    if re.fullmatch(r"https?://\S+\.tgz", chart):
        name, number = _archive(last(chart))
        return Chart(compact({"repo": chart, "chart": name, "version": version or number}), there=True)
    git = re.fullmatch(r"(?:git::)?(?P<url>[^?]+?)(?://(?P<path>[^?]*))?(?:\?ref=(?P<ref>.+))?", chart)
    if chart.startswith("git::") and git is not None:
        url, _, path = git["url"].removeprefix("git::").replace("://", "\0").partition("//")
        source = {"repo": url.replace("\0", "://"), "ref": git["ref"], "path": path or git["path"]}
        return Chart(compact(source), there=True)
    helm.left("chart", f"{chart!r} is neither a chart of this repository nor an address of one")
    return Chart()


def _archive(file: str) -> tuple[str, str]:
    match = re.fullmatch(r"(?P<name>.+?)-(?P<version>v?\d+\.\d+\.\d+.*)\.tgz", file)
    return (match["name"], match["version"]) if match else (file.removesuffix(".tgz"), "")


def rendering(options: Fields, bundle: Bundle, scene: Scene) -> tuple[dict[str, Any], dict[str, Any], str]:
    """(`source`, `render`, way) of a bundle; the way is helm, kustomize or plain."""
    helm = options.map("helm")
    chart = chart_of(helm, bundle, scene)
    kustomize = options.map("kustomize").text("dir")
    directory = join(bundle.directory, kustomize) if kustomize else bundle.directory
    if chart.there:
        told = helm_of(helm, bundle, chart, scene)
        return chart.source, {"helm": told} if told else {}, "helm"
    if "helm" in options:
        helm_of(helm, bundle, chart, scene)
    if directory is not None and kustomization_in(scene.tree, directory):
        return compact({"path": directory}), {}, "kustomize"
    return compact({"path": bundle.directory}), {"plain": {"exclude": _not_manifests(bundle, scene)}}, "plain"


def _not_manifests(bundle: Bundle, scene: Scene) -> list[str]:
    """What Fleet leaves out of a directory of manifests: overlays, bundles and charts below, its own file."""
    root = bundle.directory
    survey = scene.look(root)
    found = [each for each in (*bundle.inner, *survey.charts) if each != root and inside(each, root)]
    files = [each for each in survey.fleet if not any(inside(each, other) for other in found)]
    overlays = join(root, "overlays") or ""
    if scene.tree.kind(overlays) == "directory":
        found.append(overlays)
    return sorted(each[len(root) :].lstrip("/") for each in (*found, *files))


def helm_of(helm: Fields, bundle: Bundle, chart: Chart, scene: Scene) -> dict[str, Any]:
    """`render.helm` of a bundle, or what a target changes of it."""
    values = values_of(helm)
    files = helm.texts("valuesFiles")
    written, value_files = _value_files(files, values, bundle, chart, scene, helm)
    helm.left_if(
        "valuesFrom", "they are read from the cluster", "write the values into render.helm.values, or overrides"
    )
    helm.left_if("skipSchemaValidation", "values are always checked against the chart's schema")
    helm.left_if("force", "an object is replaced only where it is annotated: kustomize.toolkit.fluxcd.io/force")
    helm.differs_if("takeOwnership", "write sync.adopt: always as long as objects move over")
    helm.needless("timeoutSeconds", "maxHistory", "atomic", "waitForJobs", "disableDNS", "disableDependencyUpdate")
    helm.needless("disablePreProcess", "chart", "repo", "version", "releaseName")
    helm.finish()
    release = helm.text("releaseName")
    return compact({"release": release, "values": written, "valueFiles": value_files})


def values_of(helm: Fields) -> dict[str, Any]:
    """`values` with Fleet's templates put into our words."""
    values = dict(helm.map("values").value)
    if helm.flag("disablePreProcess"):
        return values
    if "templateValues" in helm:
        helm.left("templateValues", "values computed from a cluster's labels", "write overrides for these clusters")
    return {key: _template(value, helm) for key, value in values.items()}


def _template(value: Any, helm: Fields) -> Any:
    if isinstance(value, dict):
        return {key: _template(inner, helm) for key, inner in value.items()}
    if isinstance(value, list):
        return [_template(inner, helm) for inner in value]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replaced(match: re.Match[str]) -> str:
        inner = match["inner"].strip()
        if inner == ".ClusterName":
            return "${cluster}"
        variable = re.fullmatch(r"\.ClusterValues\.([A-Za-z_][A-Za-z0-9_]*)", inner)
        if variable:
            return f"${{{variable[1]}}}"
        helm.left("values", f"${{{inner}}} is computed from the cluster", "write overrides, or a variable per cluster")
        return match[0]

    return _TEMPLATE.sub(replaced, value)


def _value_files(
    files: list[str], values: dict[str, Any], bundle: Bundle, chart: Chart, scene: Scene, helm: Fields
) -> tuple[dict[str, Any], list[str]]:
    """Values and value files such that files win over values, as they do in Fleet, where values win here."""
    found = []
    for name in files:
        path = join(bundle.directory, name)
        try:
            if path is None:
                raise DocumentError(f"{name!r} leads out of the repository")
            documents = load_documents(scene.tree.read(path), file=path)
            content = documents[0].value if documents else {}
            if not isinstance(content, dict):
                raise DocumentError("it is not a map")
        except DocumentError as error:
            helm.left("valuesFiles", f"{name}: {error.message}")
            continue
        if chart.local is None:
            # A chart from elsewhere cannot name files here; what they hold counts like values.
            values = merged(values, content)
            helm.differs("valuesFiles", f"the content of {path} is copied: later changes of it do not reach the chart")
        else:
            values = without(values, content)
            found.append(f"/{path}")
    return values, found


def sync_of(options: Fields, *, correct: bool, keep: bool) -> dict[str, Any]:
    """`sync` of a bundle. `correct` and `keep` are what its GitRepo says."""
    drift = options.map("correctDrift")
    corrected = drift.flag("enabled", default=correct)
    drift.needless("force", "keepFailHistory")
    drift.finish()
    timeout = options.map("helm").raw("timeoutSeconds")
    ignore = ignored_fields(options.map("diff"))
    kept = options.flag("keepResources", default=keep)
    options.left_if("deleteCRDResources", "CRDs are pruned like other objects, within sync.deletion.budget")
    conditions = options.map("ignore")
    conditions.left_if("conditions", "write a health rule for the kind")
    conditions.needless("conditions")
    conditions.finish()
    return compact(
        {
            "drift": "" if corrected else "report",
            "ignore": ignore,
            "timeout": seconds(timeout) if isinstance(timeout, int) and timeout > 0 else "",
            "deletion": {"onDelete": "orphan"} if kept else {},
        }
    )


def draft_of(bundle: Bundle, spec: dict[str, Any], *, labels: dict[str, str], helm: bool) -> Draft:
    """The draft of a bundle's application."""
    name = last(bundle.directory) or bundle.repo or "bundle"
    return Draft(
        "Application",
        (name, token("-".join(bundle.directory.split("/")[-2:]) or name), bundle_name(bundle)),
        spec,
        bundle.about,
        labels,
        _substitution(spec) if helm else {SUBSTITUTE: "disabled"},
        key=key_of(bundle_name(bundle)),
        release=bundle_name(bundle)[:RELEASE_LONGEST] if helm else "",
        helm=helm,
    )


def _substitution(spec: dict[str, Any]) -> dict[str, str]:
    """What the annotations say of `${…}`: only names that Fleet's own templates of values became are put in."""
    told = [mapping(mapping(spec.get("render")).get("helm")), *spec.get("overrides", ())]
    names = names_in([each.get("values") for each in told])
    if not names:
        return {SUBSTITUTE: "disabled"}
    return {} if names & BUILTINS else {SUBSTITUTE: "variables"}


def fleet_file(scene: Scene, directory: str) -> str:
    """The fleet.yaml of a directory, empty when it has none."""
    for name in FLEET:
        path = f"{directory}/{name}" if directory else name
        if scene.tree.kind(path) == "file":
            return path
    return ""
