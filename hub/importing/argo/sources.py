"""Where an Argo CD Application's manifests come from and how they are rendered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hub.domain.yamldoc import load_documents
from hub.importing.fields import Fields
from hub.importing.files import has_chart, join, kustomization_in, shown
from hub.importing.home import Origins
from hub.importing.kustomizing import target_of
from hub.importing.names import ITEM, token
from hub.importing.scene import Scene
from hub.importing.values import merged, set_into
from hub.importing.words import compact, image
from shared.errors import DocumentError

_BUILD_VARIABLE = re.compile(r"\$\{?(ARGOCD_(?:APP|ENV)_[A-Z_0-9]+)\}?")


@dataclass(frozen=True, slots=True)
class About:
    """What a source may refer to of its Application."""

    name: str
    namespace: str
    project: str


@dataclass(slots=True)
class Part:
    """One source as ours. `local` is its directory when it is in this repository, `helm` as in `Draft`."""

    source: dict[str, Any]
    render: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    local: str | None = None
    helm: bool | None = None
    usable: bool = True
    rendered: bool = True


def part_of(source: Fields, about: About, origins: Origins, scene: Scene) -> Part:
    """A source of an Application."""
    url, ref = source.text("repoURL"), source.text("targetRevision")
    chart, path, name = source.text("chart"), source.text("path"), source.text("ref")
    source.needless("name")
    if chart:
        part = Part(_chart(url, chart, ref), helm=True)
    elif url.startswith("oci://"):
        part = Part(_chart(*_split(url), ref), helm=True)
        source.differs("repoURL", "an OCI artifact is taken as a chart")
    else:
        part = _git(source, url, ref, path, origins, scene)
    part.name = token(name) if name else ""
    part.rendered = not name or bool(path or chart)
    if "plugin" in source:
        source.left("plugin", "config management plugins have no counterpart", "commit what the plugin makes")
        part.usable = False
    _rendering(source, part, about, scene)
    source.finish()
    return part


def _chart(url: str, chart: str, version: str) -> dict[str, Any]:
    repo = url if "://" in url else f"oci://{url}"
    above, _, name = chart.rpartition("/")
    return compact({"repo": f"{repo.rstrip('/')}/{above}" if above else repo, "chart": name, "version": version})


def _split(url: str) -> tuple[str, str]:
    repo, _, chart = url.rstrip("/").rpartition("/")
    return repo, chart


def _git(source: Fields, url: str, ref: str, path: str, origins: Origins, scene: Scene) -> Part:
    made: dict[str, Any] = origins.source(url, ref)
    if url in origins.taken:
        source.differs("repoURL", f"{url} is taken as this repository: what it names exists here")
    inside = join("", path)
    if inside is None:
        source.left("path", f"{path!r} leads out of the repository")
        return Part(made, usable=False)
    if inside:
        made["path"] = inside
    if "repo" in made or "ref" in made or ITEM in inside:
        return Part(made)
    if not scene.tree.kind(inside):
        source.left("path", f"there is no {shown(inside)} in this repository")
        return Part(made, usable=False)
    return Part(made, local=inside, helm=has_chart(scene.tree, inside))


def _rendering(source: Fields, part: Part, about: About, scene: Scene) -> None:
    if "helm" in source:
        part.render = {"helm": _helm(source.map("helm"), part, about, scene)}
        part.helm = True
    elif "kustomize" in source:
        part.render = {"kustomize": _kustomize(source.map("kustomize"), part, scene)}
        part.helm = False
    elif "directory" in source:
        part.render = {"plain": _directory(source.map("directory"))}
        part.helm = False
    elif part.local is not None and part.rendered and not part.helm and not kustomization_in(scene.tree, part.local):
        if _has_directories(scene, part.local):
            part.render = {"plain": {"recurse": False}}
    elif part.local is None and part.rendered and not part.helm:
        source.differs(
            "path",
            "whether it is a chart, a kustomization or plain YAML cannot be seen from here: it is detected, and plain "
            "YAML is read with all directories below",
            "if only the files beside each other are meant, write render.plain: {recurse: false}",
        )
    part.render = {way: value for way, value in part.render.items() if value or way != "kustomize"}


def _has_directories(scene: Scene, path: str) -> bool:
    return any(
        scene.tree.kind(f"{path}/{name}" if path else name) == "directory"
        for name in scene.tree.names(path)
        if not name.startswith(".")
    )


def _helm(helm: Fields, part: Part, about: About, scene: Scene) -> dict[str, Any]:
    values = _values(helm, about)
    values = _parameters(helm, values, about)
    values = _files(helm, values, part, scene)
    namespace = helm.text("namespace")
    if namespace not in ("", about.namespace):
        helm.left("namespace", f"a release is in its application's namespace {about.namespace!r}, not in {namespace!r}")
    helm.left_if("passCredentials", "credentials are given per host, in the hub's settings")
    helm.left_if("skipSchemaValidation", "values are always checked against the chart's schema")
    helm.needless("version", "skipTests")
    made = {
        "release": helm.text("releaseName"),
        "values": values,
        "valueFiles": _value_files(helm, about),
        "ignoreMissingValueFiles": helm.flag("ignoreMissingValueFiles") or None,
        "skipCRDs": helm.flag("skipCrds") or None,
        "kubeVersion": helm.text("kubeVersion"),
        "apiVersions": helm.texts("apiVersions"),
    }
    helm.finish()
    return compact(made)


def _values(helm: Fields, about: About) -> dict[str, Any]:
    written = helm.raw("values")
    if "valuesObject" in helm:
        if written:
            helm.needless("values")
        return dict(helm.map("valuesObject").value)
    if isinstance(written, dict):
        return dict(written)
    text = _built(helm, "values", helm.text("values"), about)
    try:
        documents = load_documents(text, file="helm.values")
    except DocumentError as error:
        helm.left("values", f"it is not YAML: {error.message}")
        return {}
    value = documents[0].value if documents else {}
    if not isinstance(value, dict):
        helm.left("values", "it is not a map")
        return {}
    return value


def _parameters(helm: Fields, values: dict[str, Any], about: About) -> dict[str, Any]:
    indexed = False
    for parameter in helm.items("parameters"):
        name, value = parameter.text("name"), _built(parameter, "value", parameter.text("value"), about)
        # As Argo CD hands it to Helm: commas belong to the value, unless it is a list in braces.
        escaped = value if value.startswith("{") and value.endswith("}") else re.sub(r"(?<!\\),", r"\,", value)
        indexed = indexed or "[" in name
        try:
            values = set_into(values, f"{name}={escaped}", strings=parameter.flag("forceString"))
        except ValueError as error:
            parameter.left("", f"it is not what --set takes: {error}")
        parameter.finish()
    if indexed and "valueFiles" in helm:
        helm.differs(
            "parameters",
            "a parameter sets an item of a list: where the list comes from a value file, all of it is replaced",
            "write the whole list into render.helm.values",
        )
    return values


def _files(helm: Fields, values: dict[str, Any], part: Part, scene: Scene) -> dict[str, Any]:
    for parameter in helm.items("fileParameters"):
        name, path = parameter.text("name"), parameter.text("path")
        inside = join(part.local, path) if part.local is not None else None
        try:
            if inside is None:
                raise DocumentError("it is in another repository")
            content = scene.tree.read(inside).decode()
            nested = set_into({}, f"{name}=x")
            values = merged(values, _in_place(nested, content))
            parameter.differs("", f"the content of {inside} is copied: later changes of the file do not reach it")
        except (DocumentError, ValueError) as error:
            message = error.message if isinstance(error, DocumentError) else str(error)
            parameter.left("", f"the file {path!r} cannot be taken: {message}")
        parameter.finish()
    return values


def _in_place(nested: Any, content: str) -> Any:
    if isinstance(nested, dict):
        return {key: _in_place(value, content) for key, value in nested.items()}
    return [_in_place(value, content) for value in nested] if isinstance(nested, list) else content


def _value_files(helm: Fields, about: About) -> list[str]:
    found = []
    for number, written in enumerate(helm.texts("valueFiles")):
        text = _built(helm, "valueFiles", written, about)
        if "://" in text:
            helm.left("valueFiles", f"{text} is an address: put the file into the repository")
        elif "*" in text:
            helm.left("valueFiles", f"{text} (number {number + 1}) is a pattern: name the files")
        elif text.startswith("$"):
            name, _, path = text[1:].partition("/")
            found.append(f"${token(name)}/{path}")
        else:
            found.append(text)
    return found


def _built(fields: Fields, key: str, text: str, about: About) -> str:
    """Argo CD's build environment, put in as far as it does not change with each commit."""
    known = {
        "ARGOCD_APP_NAME": about.name,
        "ARGOCD_APP_NAMESPACE": about.namespace,
        "ARGOCD_APP_PROJECT_NAME": about.project,
    }
    for name in {match[1] for match in _BUILD_VARIABLE.finditer(text)} - set(known):
        fields.left(key, f"${name} is not known here and stays as it is")
    return _BUILD_VARIABLE.sub(lambda match: known.get(match[1], match[0]), text)


def _kustomize(kustomize: Fields, part: Part, scene: Scene) -> dict[str, Any]:
    images = []
    for text in kustomize.texts("images"):
        found = image(text)
        if found is None:
            kustomize.left("images", f"{text!r} is not an image to set")
        else:
            images.append(found)
    if kustomize.flag("labelWithoutSelector") or kustomize.flag("labelIncludeTemplates"):
        kustomize.differs("labelWithoutSelector", "labels are set on objects, templates and selectors alike")
    kustomize.left_if("kubeVersion", "the cluster's own version counts")
    kustomize.left_if("apiVersions", "what the cluster itself serves counts")
    kustomize.differs_if("version", "the kustomize that the hub is configured with is used")
    kustomize.left_if("ignoreMissingComponents", "a component that is not there is an error")
    kustomize.needless("forceCommonLabels", "forceCommonAnnotations", "commonAnnotationsEnvsubst", "forceNamespace")
    made = compact(
        {
            "images": images,
            "replicas": _replicas(kustomize.items("replicas")),
            "namePrefix": kustomize.text("namePrefix"),
            "nameSuffix": kustomize.text("nameSuffix"),
            "namespace": kustomize.text("namespace"),
            "labels": kustomize.strings("commonLabels"),
            "annotations": kustomize.strings("commonAnnotations"),
            "components": kustomize.texts("components"),
            "patches": [made for each in kustomize.items("patches") if (made := _patch(each, part, scene))],
        }
    )
    kustomize.finish()
    return made


def _replicas(items: Iterable[Fields]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in items:
        count = each.text("count")
        if count.isdigit():
            found.append({"name": each.text("name"), "count": int(count)})
        else:
            each.left("count", f"{count!r} is not a number")
        each.finish()
    return found


def _patch(patch: Fields, part: Part, scene: Scene) -> dict[str, Any] | None:
    text = patch.text("patch")
    if not text and "path" in patch:
        inside = join(part.local, patch.text("path")) if part.local is not None else None
        try:
            if inside is None:
                raise DocumentError("it is in another repository")
            text = scene.tree.read(inside).decode()
            patch.differs("path", f"the content of {inside} is copied: later changes of the file do not reach it")
        except DocumentError as error:
            patch.left("path", f"the patch cannot be read: {error.message}")
            return None
    patch.left_if("options", "a patch changes neither names nor kinds")
    target = patch.map("target")
    made = compact({"target": target_of(target), "patch": text})
    patch.finish()
    return made if text else None


def _directory(directory: Fields) -> dict[str, Any]:
    made = {
        # Argo CD does not look below the directory unless told to; here it is the other way round.
        "recurse": directory.flag("recurse"),
        "include": patterns(directory.text("include")),
        "exclude": patterns(directory.text("exclude")),
        "jsonnet": _jsonnet(directory.map("jsonnet")),
    }
    directory.finish()
    return {key: value for key, value in made.items() if value not in ([], {})}


def patterns(glob: str) -> list[str]:
    """Argo CD's one pattern as ours: `{a,b}` is a list, and its `*` crosses directories."""
    if not glob:
        return []
    parts = glob[1:-1].split(",") if glob.startswith("{") and glob.endswith("}") else [glob]
    return [re.sub(r"/\*$", "/**", part.strip()) for part in parts if part.strip()]


def _jsonnet(jsonnet: Fields) -> dict[str, Any]:
    made = {
        "tlas": [_argument(each) for each in jsonnet.items("tlas")],
        "extVars": [_argument(each) for each in jsonnet.items("extVars")],
        "libs": jsonnet.texts("libs"),
    }
    jsonnet.finish()
    return compact(made)


def _argument(argument: Fields) -> dict[str, Any]:
    made: dict[str, Any] = {"name": argument.text("name"), "value": argument.text("value")}
    if argument.flag("code"):
        made["code"] = True
    argument.finish()
    return made
