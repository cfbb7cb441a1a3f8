"""What a cluster serves: (apiVersion, kind) → resource path, from aggregated discovery or, failing that, the old way.

Two requests with an ETag each; a server without aggregated discovery costs one per group and version. A group whose
backend is down keeps what it was last seen to serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from agent.kube.errors import ApiError, NotFound, UnknownKind, Unreachable

ACCEPT = ",".join(
    (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/json",
    )
)

MIN_INTERVAL = 3.0
"""Seconds between two refreshes that only an unknown kind asked for."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as served. `group` is empty for the core group."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        """`apps/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> str:
        """`Deployment.apps`; core kinds have no dot."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def watchable(self) -> bool:
        """Whether it can be listed and watched."""
        return {"list", "watch"} <= self.verbs

    def path(self, namespace: str = "", name: str = "") -> str:
        """URL path of the collection, or of one object; without a namespace the collection of all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{middle}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


@dataclass(frozen=True)
class Answer:
    """A decoded response. `body` is None when the server said that what we have is still true (304)."""

    body: Any
    etag: str = ""


class Fetch(Protocol):
    """How discovery asks; the client gives it."""

    async def __call__(self, path: str, *, accept: str, etag: str = "") -> Answer:
        """GET `path`."""
        ...


class Discovery:
    """The resources of one cluster as of the last `refresh`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self._etags: dict[str, str] = {}
        self._parts: dict[str, dict[tuple[str, str], Resource]] = {"/api": {}, "/apis": {}}
        self.stale: tuple[str, ...] = ()
        """Group versions whose backend does not answer at present: what is known of them may be old."""

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Everything served, in no particular order."""
        return tuple(self._by_kind.values())

    def find(self, api_version: str, kind: str) -> Resource:
        """The resource.

        Raises:
            UnknownKind: names the versions in which the kind is served, if any.
        """
        found = self._by_kind.get((api_version, kind))
        if found is None:
            group, slash, _ = api_version.partition("/")
            wanted = group if slash else ""
            others = sorted(v for v, k in self._by_kind if k == kind and _group(v) == wanted)
            raise UnknownKind(api_version, kind, tuple(others))
        return found

    async def refresh(self) -> bool:
        """Asks the cluster again; returns whether anything changed.

        Raises:
            ApiError: the cluster did not answer; what was known stays.
        """
        stale: list[str] = []
        before = self._by_kind
        for root in ("/api", "/apis"):
            answer = await self._fetch(root, accept=ACCEPT, etag=self._etags.get(root, ""))
            if answer.body is None:
                stale += [version for version in self.stale if (root == "/apis") == ("/" in version)]
                continue
            if answer.body.get("kind") == "APIGroupDiscoveryList":
                part, old = _aggregated(answer.body, self._parts[root])
                self._etags[root] = "" if old else answer.etag
            else:
                part, old = await self._legacy(root, answer.body)
            self._parts[root] = part
            stale += old
        self._by_kind = {**self._parts["/api"], **self._parts["/apis"]}
        self.stale = tuple(stale)
        return self._by_kind != before

    async def _legacy(self, root: str, body: Mapping[str, Any]) -> tuple[dict[tuple[str, str], Resource], list[str]]:
        known = self._parts[root]
        served: dict[tuple[str, str], Resource] = {}
        stale: list[str] = []
        for api_version in _legacy_versions(root, body):
            try:
                answer = await self._fetch(f"{root}/{api_version}", accept="application/json")
            except NotFound:
                continue
            except ApiError as error:
                if root == "/api" or not isinstance(error, Unreachable):
                    raise
                stale.append(api_version)
                served.update({key: value for key, value in known.items() if key[0] == api_version})
                continue
            for resource in _legacy_resources(api_version, answer.body.get("resources") or ()):
                served.setdefault((api_version, resource.kind), resource)
        return served, stale


def _group(api_version: str) -> str:
    group, slash, _ = api_version.partition("/")
    return group if slash else ""


def _aggregated(
    body: Mapping[str, Any], known: Mapping[tuple[str, str], Resource]
) -> tuple[dict[tuple[str, str], Resource], list[str]]:
    served: dict[tuple[str, str], Resource] = {}
    stale: list[str] = []
    for group in body.get("items") or ():
        name = (group.get("metadata") or {}).get("name") or ""
        for version in group.get("versions") or ():
            api_version = f"{name}/{version['version']}" if name else version["version"]
            if version.get("freshness") == "Stale":
                stale.append(api_version)
                served.update({key: value for key, value in known.items() if key[0] == api_version})
            for item in version.get("resources") or ():
                kind = (item.get("responseKind") or {}).get("kind") or ""
                resource = _resource(api_version, kind, item["resource"], item)
                served[api_version, kind] = resource
    return served, stale


def _resource(api_version: str, kind: str, plural: str, item: Mapping[str, Any]) -> Resource:
    group, slash, version = api_version.partition("/")
    if not slash:
        group, version = "", api_version
    namespaced = item["scope"] == "Namespaced" if "scope" in item else bool(item.get("namespaced"))
    return Resource(group, version, kind, plural, namespaced, frozenset(item.get("verbs") or ()))


def _legacy_versions(root: str, body: Mapping[str, Any]) -> Iterable[str]:
    if root == "/api":
        yield from body.get("versions") or ()
        return
    for group in body.get("groups") or ():
        for version in group.get("versions") or ():
            yield version["groupVersion"]


def _legacy_resources(api_version: str, items: Iterable[Mapping[str, Any]]) -> Iterable[Resource]:
    for item in items:
        if "/" not in item["name"]:
            yield _resource(api_version, item["kind"], item["name"], item)
