"""HTTP: routes a request to what it means and words the answer. One instance serves all clusters of a process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from agent.sandbox import (
    deletion,
    discovery,
    faults,
    listing,
    openapi,
    patches,
    problems,
    protobuf,
    registry,
    request,
    reviews,
    scaling,
)
from agent.sandbox.cluster import Cluster
from agent.sandbox.problems import ApiError, bad_request
from agent.sandbox.registry import Options
from agent.sandbox.request import Form, Target

log = logging.getLogger(__name__)
Object = dict[str, Any]
Query = dict[str, str]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
BODY_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
)
USER = reviews.USERNAME


def _json(body: bytes | Object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return web.Response(body=raw, status=status, content_type="application/json", headers=headers)


def refused(error: ApiError) -> web.Response:
    """The answer that carries a `Status`."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return _json(error.status(), error.code, headers)


class Api:
    """Answers requests for the clusters in `clusters`. `token` is the bearer token; empty: none is asked for."""

    def __init__(self, clusters: Mapping[str, Cluster], token: str) -> None:
        self._clusters = clusters
        self._token = token

    async def handle(self, req: web.BaseRequest) -> web.StreamResponse:
        """Any request."""
        try:
            return await self._routed(req)
        except ApiError as error:
            return refused(error)
        except request.PageNotFound:
            return web.Response(text="404 page not found\n", status=404)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            log.exception("sandbox request failed", extra={"method": req.method, "path": req.path})
            return refused(ApiError(500, "InternalError", f"Internal error occurred: {error!r}"))

    async def _routed(self, req: web.BaseRequest) -> web.StreamResponse:
        segments = [s for s in req.path.split("/") if s]
        trusted = not self._token or req.headers.get("Authorization") == f"Bearer {self._token}"
        prefix = ""
        if segments[:1] == ["token"]:
            trusted = trusted or segments[1:2] == [self._token]
            prefix, segments = "/" + "/".join(segments[:2]), segments[2:]
        cluster = self._clusters.get(segments[1]) if len(segments) > 1 and segments[0] == "clusters" else None
        if cluster is None:
            raise request.PageNotFound
        rest = segments[2:]
        if rest in (["healthz"], ["readyz"], ["livez"]):
            return web.Response(text="ok")
        if not trusted:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        if rest == ["sandbox", "faults"]:
            return await _set_faults(cluster, req)
        if rest and rest[0] in ("api", "apis") and len(rest) > (1 if rest[0] == "api" else 2):
            return await _resource(cluster, req, rest)
        return _about(cluster, req, rest, prefix + path_of(cluster.name))


async def _set_faults(cluster: Cluster, req: web.BaseRequest) -> web.Response:
    if req.method != "PUT":
        raise ApiError(405, "MethodNotAllowed", "PUT a JSON list of faults")
    try:
        wanted = orjson.loads(await req.read())
    except orjson.JSONDecodeError as error:
        raise bad_request(f"faults must be a JSON list: {error}") from None
    if not isinstance(wanted, list):
        raise bad_request("faults must be a JSON list")
    cluster.faults.set(wanted)
    return _json({"faults": wanted})


def _about(cluster: Cluster, req: web.BaseRequest, rest: list[str], prefix: str) -> web.Response:
    """Everything that is about the server and not about an object."""
    if req.method not in ("GET", "HEAD"):
        raise ApiError(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={}
        )
    if rest == ["version"]:
        return _json(discovery.version(cluster))
    if rest in (["api"], ["apis"]):
        accepted = req.headers.get("Accept", "")
        if "as=APIGroupDiscoveryList" in accepted and "v=v2" in accepted.split(",")[0].replace("v=v2beta1", ""):
            found = orjson.dumps(discovery.aggregated(cluster, core=rest == ["api"]))
            return web.Response(body=found, headers={"Content-Type": AGGREGATED})
        if rest == ["api"]:
            address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": req.host}]
            return _json({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address})
        return _json(discovery.group_list(cluster))
    if len(rest) == 2 and rest[0] == "apis" and rest[1] in discovery.groups(cluster):
        body = discovery.group(rest[1], discovery.groups(cluster)[rest[1]])
        return _json({"kind": "APIGroup", "apiVersion": "v1", **body})
    if rest == ["openapi", "v3"]:
        return _json(openapi.index(cluster, prefix))
    if rest[:2] == ["openapi", "v3"]:
        group, version = (rest[3], rest[4]) if len(rest) == 5 else ("", rest[-1])
        return _json(openapi.document(cluster, group, version))
    raise request.PageNotFound


async def _resource(cluster: Cluster, req: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
    log_of = rest[-1:] == ["log"] and rest[:3:2] == ["api", "namespaces"] and rest[4:5] == ["pods"] and len(rest) == 7
    target = request.target(cluster, rest[:-1] if log_of else rest)
    if isinstance(target, tuple):
        return _json(discovery.resource_list(cluster, *target))
    query = dict(req.query)
    verb = _verb(req.method, target, query)
    fault = cluster.faults.find(verb, target.kind.plural, target.namespace)
    if fault is not None:
        if fault.hang:
            await asyncio.sleep(fault.hang)
        if fault.code:
            raise faults.refusal(
                fault, USER, verb, target.kind.plural, target.kind.group, target.namespace, target.name
            )  # fmt: skip
    if verb not in _verbs(target):
        text = "the server does not allow this method on the requested resource"
        raise ApiError(405, "MethodNotAllowed", text, details={})
    if log_of and verb == "get":
        registry.live(cluster, target.kind, target.namespace, target.name)
        return web.Response(text="sandbox pods run no containers, so there is no log\n")
    form = request.form(req.headers.get("Accept", ""))
    if verb == "watch":
        return await _watch(cluster, req, target, form, query)
    if verb in ("get", "list"):
        return _read(cluster, target, form, query, verb)
    return await _write(cluster, req, target, form, query, verb)


def _verbs(target: Target) -> list[str]:
    if target.subresource:
        verbs: list[str] = target.kind.subresources[target.subresource]["verbs"]
        return verbs
    return target.kind.verbs


def _verb(method: str, target: Target, query: Query) -> str:
    if method in ("GET", "HEAD"):
        if query.get("watch", "") in ("1", "true"):
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    one = {"PUT": "update", "PATCH": "patch"}.get(method, "") if target.name else ""
    if method == "POST" and (not target.name or target.subresource):
        return "create"
    return one


async def _watch(
    cluster: Cluster, req: web.BaseRequest, target: Target, form: Form, query: Query
) -> web.StreamResponse:
    watch = listing.Watch(cluster, target, form, query)
    try:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(req)
        async for chunk in watch.lines():
            if chunk:
                await response.write(chunk)
        await response.write_eof()
    finally:
        watch.close()
    return response


def _read(cluster: Cluster, target: Target, form: Form, query: Query, verb: str) -> web.Response:
    render = listing.Renderer(cluster, target.kind, form, query)
    if verb == "list":
        return _json(render.many(*listing.page(cluster, target, query)))
    record = registry.live(cluster, target.kind, target.namespace, target.name)
    if target.subresource == "scale":
        return _json(scaling.scale_of(target.kind, registry.load(target.kind, record)))
    return _json(render.one(record))


async def _write(
    cluster: Cluster, req: web.BaseRequest, target: Target, form: Form, query: Query, verb: str
) -> web.Response:
    raw = await req.read()
    if len(raw) > request.MAX_BODY:
        text = f"Request entity too large: limit is {request.MAX_BODY}"
        raise ApiError(413, "RequestEntityTooLarge", text, details={})
    content = req.content_type if "Content-Type" in req.headers else "application/json"
    if verb in ("delete", "deletecollection"):
        if content == PROTOBUF and raw:
            raw = orjson.dumps(protobuf.decode(raw, request.DELETE_OPTIONS))
        return _delete(cluster, target, query, raw)
    options = _options(req, target, query)
    _check_content(verb, content)
    if content == PROTOBUF:
        body = request.Body(protobuf.decode(raw, request.definition(target)))
    else:
        # server-side apply only refuses keys that come twice, it does not warn of them
        strict = options.validation == "Strict" or (options.validation == "Warn" and content != APPLY)
        body = request.body(raw, target.kind, applied=content == APPLY, strict=strict)
    options.duplicates = body.duplicates
    status = 200
    if verb == "create":
        obj, status = _create(cluster, target, body.value, options), 201
    elif content == APPLY:
        obj, created = _apply(cluster, target, body.value, options, query)
        status = 201 if created else 200
    else:
        obj = _change(cluster, target, body.value, options, content if verb == "patch" else "")
    return _written(target, obj, status, listing.Renderer(cluster, target.kind, form, query), options)


def _check_content(verb: str, content: str) -> None:
    if verb == "patch" and content not in PATCH_TYPES:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    if verb != "patch" and content not in ("application/json", PROTOBUF):
        text = f"the body of the request was in an unknown format - accepted media types include: {BODY_TYPES}"
        raise ApiError(415, "UnsupportedMediaType", text)


def _written(target: Target, obj: Object, status: int, render: listing.Renderer, options: Options) -> web.Response:
    if target.subresource in ("scale", "eviction", "binding") or reviews.is_review(target.kind):
        answer = orjson.dumps(obj)
    else:
        answer = render.whole(obj, obj["metadata"].get("resourceVersion", ""))
    response = _json(answer, status)
    for text in options.warnings:
        response.headers.add("Warning", f'299 - "{_escaped(text)}"')
    return response


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _options(req: web.BaseRequest, target: Target, query: Query) -> Options:
    manager = query.get("fieldManager", "")
    if len(manager) > 128:
        cause = problems.cause("FieldValueTooLong", "fieldManager", "Too long: may not be more than 128 bytes")
        raise problems.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation", "") or "Warn"
    if dry_run not in ("", "All"):
        cause = problems.unsupported("dryRun", [dry_run], ["All"])
        raise problems.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    if validation not in ("Ignore", "Warn", "Strict"):
        cause = problems.unsupported("fieldValidation", validation, ["Ignore", "Strict", "Warn"])
        raise problems.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    agent = req.headers.get("User-Agent", "").split("/", 1)[0][:128]
    return Options(
        manager or agent or "unknown", target.subresource, dry_run == "All", validation,
        query.get("force", "") in ("1", "true"),
    )  # fmt: skip


def _create(cluster: Cluster, target: Target, body: Any, options: Options) -> Object:
    obj = request.mapping(body, "object")
    if reviews.is_review(target.kind):
        return reviews.answered(target.kind, obj)
    if target.subresource == "eviction":
        deletion.delete(
            cluster, target.kind, target.namespace, target.name, deletion.options(obj.get("deleteOptions") or {}, {})
        )
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if target.subresource == "binding":
        node = (obj.get("target") or {}).get("name", "")

        def bind(pod: Object) -> Object:
            pod["spec"]["nodeName"] = node
            return pod

        registry.update(cluster, target.kind, target.namespace, target.name, bind, Options(options.manager))
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return registry.create(cluster, target.kind, target.namespace, obj, options)


def _apply(cluster: Cluster, target: Target, body: Any, options: Options, query: Query) -> tuple[Object, bool]:
    if not query.get("fieldManager"):
        cause = problems.required("fieldManager", "is required for apply patch")
        raise problems.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    obj = request.mapping(body, "applied configuration")
    if options.duplicates and options.validation == "Strict":
        found = ", ".join(f'duplicate field "{path}"' for path in options.duplicates)
        raise bad_request(f"error decoding YAML: {found}")
    return registry.apply(cluster, target.kind, target.namespace, target.name, obj, options)


def _change(cluster: Cluster, target: Target, body: Any, options: Options, content: str) -> Object:
    kind = target.kind
    if not content and target.subresource != "scale":
        wanted = request.mapping(body, "object")
        place = (target.namespace, target.name)
        return registry.update(cluster, kind, *place, lambda _: _with_type(wanted, kind), options)
    if options.force and content != APPLY:
        cause = problems.cause("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch")
        raise problems.invalid("PatchOptions", "meta.k8s.io", "", [cause])

    def patched(live: Object) -> Object:
        if content == "application/json-patch+json":
            return request.mapping(patches.json_patch(live, body), "patched object")
        if content == "application/merge-patch+json":
            return request.mapping(patches.merge_patch(live, request.mapping(body, "patch")), "patched object")
        if kind.custom:
            raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
        merged: Object = patches.strategic_merge(live, request.mapping(body, "patch"), kind.node)
        return merged

    if target.subresource != "scale":
        return registry.update(cluster, kind, target.namespace, target.name, patched, options)

    def rescaled(live: Object) -> Object:
        scale = request.mapping(body, "scale") if not content else patched(scaling.scale_of(kind, live))
        return scaling.scaled(kind, scale)(live)

    obj = registry.update(cluster, kind, target.namespace, target.name, rescaled, options)
    return scaling.scale_of(kind, obj)


def _with_type(obj: Object, kind: Any) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **obj}


def _delete(cluster: Cluster, target: Target, query: Query, raw: bytes) -> web.Response:
    body = request.mapping(request.body(raw, target.kind, applied=False, strict=False).value or {}, "DeleteOptions")
    how = deletion.options(body, query)
    kind = target.kind
    if not target.name:
        records, metadata = listing.page(cluster, target, query)
        for record in records:
            if cluster.store.get(kind.storage, record.key) is not None:
                deletion.delete(cluster, kind, *record.key, how)
        return _json(listing.Renderer(cluster, kind, Form(), query).many(records, metadata))
    obj, gone = deletion.delete(cluster, kind, target.namespace, target.name, how)
    if not gone or kind.storage in registry.RETURNS_DELETED:
        return _json(obj)
    details = {"name": target.name, "group": kind.group, "kind": kind.plural, "uid": obj["metadata"]["uid"]}
    return _json(
        {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {k: v for k, v in details.items() if v},
        }
    )  # fmt: skip


def access_path(token: str) -> str:
    """The path prefix that stands for the bearer token, for clients that send none over plain HTTP."""
    return f"/token/{quote(token)}" if token else ""


def path_of(name: str) -> str:
    """The path under which a cluster is served."""
    return f"/clusters/{quote(name)}"
