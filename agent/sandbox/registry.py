"""What a request does to a cluster: create, read, update, patch, apply and delete, with the server's own rules.

Everything is synchronous, so each request is atomic. HTTP is in `http`, the rules of single kinds in `strategies`,
`validation` and `crd`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.sandbox import admission, crd, managed, problems, strategies, typed
from agent.sandbox.cluster import Cluster
from agent.sandbox.fields import FieldSet
from agent.sandbox.kinds import Kind
from agent.sandbox.managed import Writer
from agent.sandbox.problems import Cause, bad_request, bad_value, cause, required
from agent.sandbox.store import Record
from agent.sandbox.validation import names, rules

Object = dict[str, Any]
Transform = Callable[[Object], Object]

STATUS_RESET: FieldSet = {"f:status": {}}
SPEC_RESET: FieldSet = {"f:spec": {}}
RETURNS_DELETED = {
    ("", "pods"), ("", "services"), ("", "serviceaccounts"), ("", "persistentvolumes"), ("", "persistentvolumeclaims"),
    ("", "resourcequotas"), ("", "podtemplates"),
}  # fmt: skip
ORPHANS_BY_DEFAULT = {("", "replicationcontrollers"), ("batch", "jobs")}


@dataclass(slots=True)
class Options:
    """How a write is meant. `warnings` collects what the answer's Warning headers say."""

    manager: str = "unknown"
    subresource: str = ""
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    duplicates: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load(kind: Kind, record: Record) -> Object:
    """A record's object with its kind and version."""
    return {"kind": kind.kind, "apiVersion": kind.api_version, **record.decoded()}


def live(cluster: Cluster, kind: Kind, namespace: str, name: str) -> Record:
    """The object of that name.

    Raises:
        ApiError: 404.
    """
    record = cluster.store.get(kind.storage, (namespace, name))
    if record is None:
        raise problems.not_found(kind.plural, kind.group, name)
    return record


def _writer(cluster: Cluster, kind: Kind, options: Options) -> Writer:
    ignored: FieldSet = {}
    if options.subresource == "status":
        ignored = {"f:spec": {}, "f:metadata": {}} if kind.custom else SPEC_RESET
    elif "status" in kind.subresources:
        ignored = STATUS_RESET
    return Writer(options.manager, kind.api_version, options.subresource, cluster.now(), ignored)


def decoded(kind: Kind, obj: Object, options: Options) -> Object:
    """The object as its kind stores it.

    Raises:
        ApiError: 400, it cannot be decoded, or has unknown fields and validation is strict.
    """
    out, unknown = strategies.decode(kind, obj)
    found = [f'unknown field "{path}"' for path in unknown]
    found += [f'duplicate field "{path}"' for path in options.duplicates]
    if found and options.validation == "Strict":
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            f"strict decoding error: {', '.join(found)}"
        )
    if options.validation == "Warn":
        options.warnings += [text for text in found if text not in options.warnings]
    return out


def _check_namespace(cluster: Cluster, kind: Kind, namespace: str, name: str) -> None:
    if not kind.namespaced:
        return
    record = cluster.store.get(("", "namespaces"), ("", namespace))
    if record is None:
        raise problems.not_found("namespaces", "", namespace)
    if record.deleting:
        text = f"unable to create new content in namespace {namespace} because it is being terminated"
        error = problems.forbidden(f'{kind.qualified} "{name}" is forbidden: {text}', kind.plural, kind.group, name)
        error.details = {
            **(error.details or {}),
            "causes": [
                cause("NamespaceTerminating", "metadata.namespace", f"namespace {namespace} is being terminated")
            ],
        }
        raise error


def _check_type(kind: Kind, obj: Object) -> None:
    found_version, found_kind = obj.get("apiVersion") or kind.api_version, obj.get("kind") or kind.kind
    for name, value in (("apiVersion", found_version), ("kind", found_kind)):
        if not isinstance(value, str):
            raise bad_request(
                f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; json "
                f"parse error: .{name} must be a string"
            )
    if (found_kind, found_version) != (kind.kind, kind.api_version):
        if kind.custom or found_kind == kind.kind:
            what = "API version" if found_kind == kind.kind else "kind"
            found, wanted = (found_version, kind.api_version) if found_kind == kind.kind else (found_kind, kind.kind)
            raise bad_request(f"the {what} in the data ({found}) does not match the expected {what} ({wanted})")
        version = str(found_version).rsplit("/", 1)[-1]
        raise bad_request(
            f'{found_kind} in version "{version}" cannot be handled as a {kind.kind}: converting '
            f"({version}.{found_kind}) to ({kind.group or 'core'}.{kind.kind}): unknown conversion"
        )


def _metadata(obj: Object) -> Object:
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go struct field ObjectMeta")
    return metadata


def create(cluster: Cluster, kind: Kind, namespace: str, body: Object, options: Options) -> Object:
    """Creates an object.

    Raises:
        ApiError: any refusal of the real server.
    """
    _check_type(kind, body)
    _place(kind, namespace, _metadata(body))
    if _metadata(body).get("resourceVersion"):
        raise problems.ApiError(400, "BadRequest", "resourceVersion should not be set on objects to be created")
    obj = decoded(kind, {**body, "apiVersion": kind.api_version, "kind": kind.kind}, options)
    obj = _identified(cluster, kind, namespace, obj)
    _check_namespace(cluster, kind, namespace, obj["metadata"]["name"])
    strategies.fill(kind, obj)
    # what the server allocates and admission adds comes after: nobody owns it
    obj = managed.update(strategies.base(kind), obj, kind.node, _writer(cluster, kind, options), created=True)
    obj = _prepared_new(cluster, kind, obj)
    return _stored_new(cluster, kind, obj, options)


def _place(kind: Kind, namespace: str, metadata: Object) -> None:
    stated = metadata.get("namespace") or ""
    if kind.namespaced and stated not in ("", namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def _identified(cluster: Cluster, kind: Kind, namespace: str, obj: Object) -> Object:
    metadata = obj["metadata"]
    if not metadata.get("name"):
        prefix = metadata.get("generateName")
        if not prefix:
            text = "name or generateName is required"
            raise problems.invalid(kind.kind, kind.group, "", [required("metadata.name", text)])
        metadata["name"] = prefix[:58] + cluster.suffix()
    if kind.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
        metadata.pop(name, None)
    metadata["uid"] = cluster.uid()
    metadata["creationTimestamp"] = cluster.now()
    if kind.generation:
        metadata["generation"] = 1
    return obj


def _prepared_new(cluster: Cluster, kind: Kind, obj: Object) -> Object:
    strategies.reset_status(kind, obj)
    fresh, _ = strategies.decode(kind, obj)
    strategies.fill(kind, fresh)
    strategies.allocate(cluster, kind, fresh, None)
    return fresh


def _stored_new(cluster: Cluster, kind: Kind, obj: Object, options: Options) -> Object:
    _validate(kind, obj, None)
    metadata = obj["metadata"]
    key = (metadata.get("namespace", ""), metadata["name"])
    if cluster.store.get(kind.storage, key) is not None:
        raise problems.already_exists(kind.plural, kind.group, metadata["name"])
    if kind.storage == admission.PODS:
        admission.check_quota(cluster, obj)
    if not options.dry_run:
        cluster.store.put(kind.storage, obj, None)
    return obj


def _validate(kind: Kind, obj: Object, before: Object | None) -> None:
    causes: list[Cause] = names.metadata(obj, kind.storage)
    if before is not None:
        causes += _finalizers(obj, before)
    if kind.custom:
        causes += crd.resource(obj, kind.node)
    elif kind.storage == ("apiextensions.k8s.io", "customresourcedefinitions"):
        causes += crd.definition(obj, before)
    else:
        rule = rules.RULES.get(kind.storage)
        if rule is not None:
            causes += rule(obj, before)
    if causes:
        raise problems.invalid(kind.kind, kind.group, obj["metadata"]["name"], causes)


def _finalizers(obj: Object, before: Object) -> list[Cause]:
    if "deletionTimestamp" not in before["metadata"]:
        return []
    known = before["metadata"].get("finalizers") or []
    new = [f for f in obj["metadata"].get("finalizers") or () if f not in known]
    if not new:
        return []
    quoted = ", ".join(f'"{name}"' for name in new)
    text = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{quoted}}}"
    return [cause("FieldValueForbidden", "metadata.finalizers", f"Forbidden: {text}")]


def update(cluster: Cluster, kind: Kind, namespace: str, name: str, transform: Transform, options: Options) -> Object:
    """Changes an object: `transform` gets the live one and returns what is wanted.

    Raises:
        ApiError: any refusal of the real server.
    """
    record = live(cluster, kind, namespace, name)
    before = load(kind, record)
    wanted = transform(load(kind, record))
    _check_type(kind, wanted)
    _check_identity(kind, namespace, name, wanted, before)
    obj = decoded(kind, wanted, options)
    obj = _merged_with_live(cluster, kind, obj, before, options)
    obj = managed.update(before, obj, kind.node, _writer(cluster, kind, options), created=False)
    return _stored(cluster, kind, obj, before, options)


def _check_identity(kind: Kind, namespace: str, name: str, wanted: Object, before: Object) -> None:
    metadata, actual = _metadata(wanted), before["metadata"]
    if metadata.get("name") and metadata["name"] != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if kind.namespaced and metadata.get("namespace") not in (None, "", namespace):
        raise bad_request(
            f"the namespace of the object ({metadata['namespace']}) does not match the namespace on the request "
            f"({namespace})"
        )
    if metadata.get("uid") not in (None, "", actual["uid"]):
        path = f"/registry/{kind.plural}/{namespace}/{name}" if namespace else f"/registry/{kind.plural}/{name}"
        raise problems.conflict(
            kind.plural, kind.group, name,
            f"StorageError: invalid object, Code: 4, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {actual['uid']}",
        )  # fmt: skip
    if metadata.get("resourceVersion") not in (None, "", actual["resourceVersion"]):
        raise problems.conflict(kind.plural, kind.group, name, problems.MODIFIED)
    if kind.custom and not metadata.get("resourceVersion"):
        text = "must be specified for an update"
        raise problems.invalid(kind.kind, kind.group, name, [bad_value("metadata.resourceVersion", 0, text)])


def _merged_with_live(cluster: Cluster, kind: Kind, obj: Object, before: Object, options: Options) -> Object:
    metadata, actual = obj["metadata"], before["metadata"]
    metadata["name"] = actual["name"]
    for name in ("namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp",
                 "deletionGracePeriodSeconds", "generateName"):  # fmt: skip
        if name in actual:
            metadata[name] = actual[name]
        else:
            metadata.pop(name, None)
    metadata["resourceVersion"] = actual["resourceVersion"]
    if options.subresource == "status":
        obj = strategies.only_status(kind, obj, before)
    elif options.subresource == "finalize":
        obj = {**before, "spec": obj["spec"], "metadata": metadata}
    else:
        strategies.keep_status(kind, obj, before)
        obj, _ = strategies.decode(kind, obj)
        strategies.fill(kind, obj)
        if kind.storage == ("", "namespaces"):
            obj["spec"] = before["spec"]
        strategies.allocate(cluster, kind, obj, before)
    return obj


def _timeless(obj: Object) -> Object:
    metadata = dict(obj["metadata"])
    entries = metadata.get("managedFields")
    if entries:
        metadata["managedFields"] = [{k: v for k, v in entry.items() if k != "time"} for entry in entries]
    return {**obj, "metadata": metadata}


def _stored(cluster: Cluster, kind: Kind, obj: Object, before: Object, options: Options) -> Object:
    obj = {**obj, "metadata": dict(obj["metadata"])}
    if kind.generation and options.subresource != "status" and strategies.intent_changed(kind, obj, before):
        obj["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
    _validate(kind, obj, before)
    if _timeless(obj) == _timeless(before):
        return before
    if options.dry_run:
        return obj
    if finished(kind, obj):
        cluster.store.drop(kind.storage, obj)
    else:
        cluster.store.put(kind.storage, obj, before)
    return obj


def finished(kind: Kind, obj: Object) -> bool:
    """Whether nothing keeps an object that is being deleted."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if kind.storage == ("", "namespaces") and obj["spec"].get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


def apply(
    cluster: Cluster, kind: Kind, namespace: str, name: str, body: Object, options: Options
) -> tuple[Object, bool]:
    """Server-side apply; also says whether the object was created.

    Raises:
        ApiError: any refusal of the real server, 409 with causes on a field conflict.
    """
    record = cluster.store.get(kind.storage, (namespace, name))
    if (body.get("apiVersion"), body.get("kind")) != (kind.api_version, kind.kind):
        raise bad_request(f"invalid object type: {_gvk(body)}")
    if record is None and isinstance(body.get("metadata"), dict):
        _check_new_applied(cluster, kind, namespace, name, body["metadata"])
    if isinstance(body.get("metadata"), dict) and body["metadata"].get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    _check_applied(kind, body)
    metadata = _metadata(body)
    if not metadata.get("name"):
        text = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise bad_request(text)
    writer = _writer(cluster, kind, options)
    if record is None:
        return _apply_new(cluster, kind, namespace, name, body, options, writer), True
    before = load(kind, record)
    obj = managed.apply(before, body, kind.node, writer, force=options.force, base=strategies.base(kind))
    if metadata.get("name") not in (None, name):
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    _check_identity(kind, namespace, name, {"metadata": {**obj["metadata"], **_versions(metadata, before)}}, before)
    obj = decoded(kind, obj, options)
    obj = _merged_with_live(cluster, kind, obj, before, options)
    return _stored(cluster, kind, obj, before, options), False


def _versions(metadata: Object, before: Object) -> Object:
    return {"resourceVersion": metadata.get("resourceVersion") or before["metadata"]["resourceVersion"]}


def _gvk(body: Object) -> str:
    group, slash, version = str(body.get("apiVersion") or "").rpartition("/")
    return (
        f"{group}/{version}, Kind={body.get('kind') or ''}" if slash or version else f"/, Kind={body.get('kind') or ''}"
    )


def _check_new_applied(cluster: Cluster, kind: Kind, namespace: str, name: str, metadata: Object) -> None:
    """A resourceVersion does no harm: it is a condition on an object that exists."""
    if metadata.get("uid"):
        text = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
        raise problems.conflict(kind.plural, kind.group, name, text)
    _check_namespace(cluster, kind, namespace, name)


def _check_applied(kind: Kind, body: Object) -> None:
    found = typed.applied_problems(body, kind.node)
    if found:
        metadata = body["metadata"] if isinstance(body.get("metadata"), dict) else {}
        where = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}; {kind.gvk_text()}"
        text = found[0] if len(found) == 1 else "errors:\n" + "\n".join(f"  {line}" for line in found)
        raise problems.ApiError(500, "", f"failed to create typed patch object ({where}): {text}")


def _apply_new(
    cluster: Cluster, kind: Kind, namespace: str, name: str, body: Object, options: Options, writer: Writer
) -> Object:
    if options.subresource:
        raise problems.not_found(kind.plural, kind.group, name)
    nothing = strategies.base(kind)
    obj = managed.apply(nothing, body, kind.node, writer, force=options.force, base=nothing)
    if obj["metadata"]["name"] != name:
        raise bad_request(
            f"the name of the object ({obj['metadata']['name']}) does not match the name on the URL ({name})"
        )
    _place(kind, namespace, obj["metadata"])
    obj = decoded(kind, obj, options)
    obj = _identified(cluster, kind, namespace, obj)
    obj = _prepared_new(cluster, kind, obj)
    return _stored_new(cluster, kind, obj, options)
