"""Flux sources: GitRepository, HelmRepository, OCIRepository, HelmChart, and ArtifactGenerators over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hub.importing.fields import Fields, Foreign
from hub.importing.files import join
from hub.importing.home import Origins
from hub.importing.notes import Notes
from hub.importing.words import compact

BOOTSTRAP = "flux-system"
"""What `flux bootstrap` calls the repository that it is told to follow."""

Find = Callable[[str, str, str], Foreign | None]
"""An object of Flux by (kind, namespace, name)."""

_ACCESS = "access is given per host, in the hub's settings (git.access)"
_COMMON = ("interval", "timeout")


@dataclass(frozen=True, slots=True)
class Where:
    """A directory as ours: `source` without its path, and the path. `local` says that it is in this repository."""

    source: dict[str, str]
    path: str = ""
    local: bool = False

    def spec(self) -> dict[str, Any]:
        """`spec.source`."""
        return compact({**self.source, "path": self.path})


class Unknown(ValueError):
    """A source that nothing here stands for, and why."""


@dataclass(slots=True)
class Index:
    """Objects that definitions refer to, by (kind, namespace, name); the first of a name counts."""

    objects: dict[tuple[str, str, str], Foreign] = field(default_factory=dict)

    def learn(self, found: Iterable[Foreign]) -> None:
        """Takes objects in. An ArtifactGenerator is known by its artifacts as well."""
        for each in found:
            names = artifacts_of(each, Notes()) if each.kind == "ArtifactGenerator" else []
            for name in (each.name, *names):
                self.objects.setdefault((each.kind, each.namespace, name), each)

    def find(self, kind: str, namespace: str, name: str) -> Foreign | None:
        """An object; one that is written without a namespace may get it from a kustomization."""
        return self.objects.get((kind, namespace, name)) or self.objects.get((kind, "", name))


@dataclass(slots=True)
class Sources:
    """Resolves references to sources. `find` looks an object up, `origins` knows this repository's addresses."""

    find: Find
    origins: Origins
    notes: Notes
    told: set[str] = field(default_factory=set)

    def directory(self, kind: str, namespace: str, name: str, path: str) -> Where:
        """The directory `path` of a source.

        Raises:
            Unknown: nothing stands for it.
        """
        if kind == "ExternalArtifact":
            return self._artifact(namespace, name, path)
        if kind != "GitRepository":
            raise Unknown(f"a {kind} holds files of its own: only Git repositories are read")
        inside = join("", path)
        if inside is None:
            raise Unknown(f"the path {path!r} leads out of the repository")
        found = self.find(kind, namespace, name)
        if found is None:
            # The bootstrap repository is often defined by a file that is not there yet, or is not in a sub-path.
            if name == BOOTSTRAP:
                return Where({}, inside, local=True)
            raise Unknown(f"there is no GitRepository {namespace}/{name} among what is read")
        source = self._git(found)
        return Where(source, inside, local="repo" not in source and "ref" not in source)

    def chart(
        self, kind: str, namespace: str, name: str, chart: str, version: str
    ) -> tuple[dict[str, Any], str | None]:
        """`spec.source` of a chart, and its directory when it is in this repository.

        Raises:
            Unknown: nothing stands for it.
        """
        if kind in ("GitRepository", "ExternalArtifact"):
            where = self.directory(kind, namespace, name, chart)
            return where.spec(), where.path if where.local else None
        found = self.find(kind, namespace, name)
        if found is None:
            raise Unknown(f"there is no {kind} {namespace}/{name} among what is read")
        spec = self._fields(found)
        match kind:
            case "HelmRepository":
                return self._helm(spec, chart, version), None
            case "OCIRepository":
                return self._oci(spec), None
            case "HelmChart":
                inner = spec.map("sourceRef")
                return self.chart(
                    inner.text("kind"), found.namespace, inner.text("name"), spec.text("chart"), spec.text("version")
                )
            case _:
                raise Unknown(f"a {kind} is no source of charts here")

    def _fields(self, found: Foreign) -> Fields:
        return Fields(found.document.value.get("spec"), "spec", found, self.notes)

    def _git(self, found: Foreign) -> dict[str, str]:
        spec = self._fields(found)
        ref = spec.map("ref")
        spec.left_if("secretRef", _ACCESS)
        spec.left_if("verify", "signatures are asked for per repository, in the hub's settings")
        for name in ("ignore", "sparseCheckout", "include"):
            spec.left_if(name, "the repository is read as it is")
        for name in ("proxySecretRef", "serviceAccountName"):
            spec.left_if(name, _ACCESS)
        spec.needless(*_COMMON, "suspend", "provider", "recurseSubmodules")
        name = ref.text("name").removeprefix("refs/heads/").removeprefix("refs/tags/")
        chosen = ref.text("commit") or name or ref.text("semver") or ref.text("tag") or ref.text("branch")
        for each in ("branch", "tag", "semver", "name"):
            ref.needless(each)
        ref.finish()
        url = spec.text("url")
        spec.finish()
        if url in self.origins.taken:
            spec.differs("url", f"{url} is taken as this repository: what is named in it exists here")
        return self.origins.source(url, chosen)

    def _helm(self, spec: Fields, chart: str, version: str) -> dict[str, Any]:
        for name in ("secretRef", "certSecretRef", "passCredentials"):
            spec.left_if(name, _ACCESS)
        spec.needless(*_COMMON, "suspend", "provider", "type", "accessFrom", "insecure")
        above, _, name = chart.rpartition("/")
        url = spec.text("url").rstrip("/")
        spec.finish()
        repo = f"{url}/{above}" if above else url
        return compact({"repo": repo, "chart": name, "version": "" if version == "*" else version})

    def _oci(self, spec: Fields) -> dict[str, Any]:
        ref = spec.map("ref")
        for name in ("secretRef", "certSecretRef", "serviceAccountName", "proxySecretRef"):
            spec.left_if(name, _ACCESS)
        spec.left_if("verify", "signatures of charts are not checked")
        spec.needless(*_COMMON, "suspend", "provider", "layerSelector", "insecure", "ignore")
        ref.left_if("digest", "charts are named by version", "pin the version")
        ref.left_if("semverFilter", "every version in the range counts")
        repo, _, chart = spec.text("url").rstrip("/").rpartition("/")
        made = compact({"repo": repo, "chart": chart, "version": ref.text("semver") or ref.text("tag")})
        ref.needless("tag")
        ref.finish()
        spec.finish()
        return made

    def _artifact(self, namespace: str, name: str, path: str) -> Where:
        """An artifact that an ArtifactGenerator copies out of one repository, leaving directories where they are."""
        generator, artifact = self._generator(namespace, name)
        spec = self._fields(generator)
        copies = artifact.items("copy")
        if not copies:
            raise Unknown(f"the artifact {name} copies nothing")
        roots = {_root(each, name) for each in copies}
        for each in copies:
            each.left_if("exclude", "nothing is left out")
            each.needless("strategy")
        if len(roots) > 1:
            raise Unknown(f"the artifact {name} puts directories of several places together")
        alias, root = next(iter(roots))
        inside = join(root, path)
        origin = next((each for each in spec.items("sources") if each.text("alias") == alias), None)
        if origin is None or inside is None:
            raise Unknown(f"the artifact {name} has no source @{alias}")
        return self.directory(origin.text("kind"), generator.namespace, origin.text("name"), inside)

    def _generator(self, namespace: str, name: str) -> tuple[Foreign, Fields]:
        found = self.find("ArtifactGenerator", namespace, name)
        if found is None:
            raise Unknown(f"there is no ArtifactGenerator of {namespace}/{name} among what is read")
        artifacts: Iterable[Fields] = self._fields(found).items("artifacts")
        return found, next(each for each in artifacts if each.text("name") == name)


def _root(copy: Fields, name: str) -> tuple[str, str]:
    """(alias, directory) such that the artifact's paths are the repository's below that directory."""
    alias, _, source = copy.text("from").removeprefix("@").partition("/")
    _, _, target = copy.text("to").removeprefix("@").partition("/")
    source, target = source.removesuffix("**").strip("/"), target.strip("/")
    if source == target:
        return alias, ""
    if not target:
        return alias, source
    if source.endswith(f"/{target}"):
        return alias, source.removesuffix(f"/{target}")
    raise Unknown(f"the artifact {name} puts {source or '.'} at {target}")


def artifacts_of(generator: Foreign, notes: Notes) -> list[str]:
    """The names of the artifacts that an ArtifactGenerator makes."""
    spec = Fields(generator.document.value.get("spec"), "spec", generator, notes)
    return [each.text("name") for each in spec.items("artifacts")]
