"""Drift: does the live object still say what we applied, and if not, what, by whom, since when?

Two steps, because only the server knows defaults, quantities and webhooks:

1. `owned_difference` compares the fields we applied with the live object. It is cheap, and may name fields that only
   look different (`1000m` and `1`): candidates.
2. For candidates the caller makes a forced dry-run apply, and `confirmed` compares its result with the live object.
   Both were written by the same server, so what still differs would really be changed by applying.

A caller that keeps `substance(live)` of the last answer need not ask again until the object really changes.
Nothing here reads the cluster, and nothing decides what to do about drift.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import orjson

from agent.domain.ownership import Entry, Fields, applied_fields, child, entries, has_key, is_set, item_keys, owners
from agent.domain.secrecy import shown
from agent.domain.yielding import yielded
from shared.diff import LAST_APPLIED, Difference, Step, covers, diff, is_secret, parse_pointer, same
from shared.messages import FieldDrift, IgnoreRule
from shared.model import Manifest, ObjectRef
from shared.sealed import Path

MANAGER = "yardarm"
AUTOSCALER = IgnoreRule(fields=("/spec/replicas",), managers=("kube-controller-manager",))
"""Built in: the only thing that controller does to `spec.replicas` is to scale for a HorizontalPodAutoscaler."""
CA_INJECTOR = IgnoreRule(
    fields=(
        "/webhooks/*/clientConfig/caBundle",
        "/spec/conversion/webhook/clientConfig/caBundle",
        "/spec/caBundle",
    ),
    managers=("cainjector", "cert-manager-cainjector"),
)
"""Built in: manifests carry a placeholder that cert-manager fills in."""
BUILT_IN = (AUTOSCALER, CA_INJECTOR)

ANNOTATION = "yardarm.dev/drift"
"""On an object in Git: `correct`, `report` or `ignore`, whatever the application says."""
Mode = Literal["correct", "report", "ignore"]
MAX_SUGGESTED = 20

MAX_TEXT = 1024
"""Characters of a value that are reported: a ConfigMap may hold a megabyte."""

_SERVER_METADATA = frozenset(
    {
        "managedFields",
        "resourceVersion",
        "generation",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    }
)


def owned_difference(applied: Manifest, live: Manifest, manager: str = MANAGER) -> list[Difference]:
    """The fields of `applied` that read differently in `live`: candidates for drift, each as far down as it goes.

    What `live` has beyond them does not count. Lists are matched as the server merges them, known from the
    managedFields of `live`; what is not known there is compared as a whole.
    """
    found: list[Difference] = []
    known = entries(live)
    fields = [entry.fields for entry in known]
    mine = applied_fields(known, manager)
    if mine is not None:
        fields.insert(0, mine)
    wanted = _comparable(applied)
    if is_secret(applied):
        wanted = _encoded(wanted)
    _owned(wanted, live, fields, (), found)
    return found


def confirmed(
    dry_run: Manifest, live: Manifest, ignore: Iterable[IgnoreRule] = (), hidden: Collection[Path] = ()
) -> list[FieldDrift]:
    """What applying would change, given the result of a forced dry-run apply; empty when it would change nothing.

    Left out: what the server keeps for itself, status, fields that applying would change without our owning them (a
    webhook that answers differently each time), and what `ignore` or `BUILT_IN` says. Values of Secrets and of `hidden`
    fields are masked.
    `live` must be the version that the dry run started from, see `comparable`.
    """
    before, after = entries(live), entries(dry_run)
    rules = _rules_for(live, ignore)
    always = [pointer for rule in rules if not rule.managers for pointer in rule.fields or ("",)]
    drifts = []
    for difference in diff(_comparable(dry_run), _comparable(live), always):
        setters = owners(before, live, difference.steps)
        if _ours(difference, dry_run, after, setters, MANAGER) and not _accepted(difference, rules, setters):
            by = next((entry for entry in setters if entry.manager != MANAGER), None)
            drifts.append(_field_drift(shown(difference, live, hidden), by))
    return drifts


def comparable(dry_run: Manifest, live: Manifest) -> bool:
    """Whether both speak of the same version: a dry run answers with the resourceVersion and uid it started from."""
    left, right = dry_run.get("metadata") or {}, live.get("metadata") or {}
    return all(left.get(key) == right.get(key) for key in ("resourceVersion", "uid"))


def substance(live: Manifest) -> str:
    """A digest of all of an object that can drift: without status and what the server keeps for itself.

    It includes who owns what, because a rule may go by that.
    """
    managed = [
        (entry.manager, entry.subresource, entry.fields) for entry in entries(live) if entry.subresource != "status"
    ]
    body = orjson.dumps([_comparable(live), managed], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def without_ignored(
    manifest: Manifest, live: Manifest | None, ignore: Iterable[IgnoreRule] = (), manager: str = MANAGER
) -> Manifest:
    """What to apply so that ignored fields are not fought over.

    A field that a rule ignores is left out when another manager owns it in `live`, which then keeps it. In a list the
    server replaces as a whole leaving out is not possible: there the live value takes its place. A field that nobody
    else owns is applied: ignoring differences is not the same as not wanting the field.
    """
    if live is None:
        return manifest
    known = [entry for entry in entries(live) if entry.subresource != "status"]
    mine = applied_fields(known, manager)
    for rule in _rules_for(live, ignore):
        rivals = [
            entry.fields
            for entry in known
            if entry.manager != manager and (not rule.managers or entry.manager in rule.managers)
        ]
        for pointer in rule.fields or ("",):
            manifest = yielded(manifest, live, parse_pointer(pointer), rivals, mine)
    return manifest


def mode_of(manifest: Manifest, otherwise: Literal["correct", "report"]) -> Mode:
    """What is done about drift of an object: as its annotation says, else as the application's policy does."""
    annotations = (manifest.get("metadata") or {}).get("annotations")
    said = annotations.get(ANNOTATION) if isinstance(annotations, Mapping) else None
    return cast(Mode, said) if said in ("correct", "report", "ignore") else otherwise


def suggested(ref: ObjectRef, fields: Sequence[FieldDrift]) -> IgnoreRule | None:
    """The narrowest rule that accepts these differences; None when no rule can, as for a deletion.

    It names the managers only if they are known for every field: a field that was removed has no owner.
    """
    if not fields or len(fields) > MAX_SUGGESTED:
        return None
    managers = tuple(sorted({field.manager for field in fields}))
    return IgnoreRule(
        kind=ref.kind,
        group=ref.group,
        name=ref.name,
        fields=tuple(dict.fromkeys(field.path for field in fields)),
        managers=managers if all(managers) else (),
    )


# --- which differences count ------------------------------------------------------------------------------------


def _ours(
    difference: Difference, dry_run: Manifest, after: Sequence[Entry], setters: Sequence[Entry], manager: str
) -> bool:
    """Whether the field is one that we apply, part of something that we apply as a whole, or one that we gave up."""
    if not after:
        return True
    if difference.want is None and any(entry.manager == manager for entry in setters):
        return True
    steps = [replace(step, have_index=step.want_index) for step in difference.steps]
    found = owners(after, dry_run, steps)
    if is_secret(dry_run) and steps and steps[0].text == "data":
        # What is applied as `stringData` is owned under that name, though it lives in `data`.
        found += owners(after, dry_run, [replace(steps[0], text="stringData"), *steps[1:]])
    return any(entry.manager == manager for entry in found)


def _accepted(difference: Difference, rules: Sequence[IgnoreRule], setters: Sequence[Entry]) -> bool:
    """Whether a rule accepts changes of the manager that made this one."""
    return any(
        any(entry.manager in rule.managers for entry in setters)
        and any(covers(parse_pointer(pointer), difference.steps) for pointer in rule.fields or ("",))
        for rule in rules
        if rule.managers
    )


def _field_drift(told: Difference, by: Entry | None) -> FieldDrift:
    return FieldDrift(
        path=told.path,
        want=_clipped(told.want),
        have=_clipped(told.have),
        manager=by.manager if by else "",
        at=by.at if by else None,
    )


def _rules_for(live: Manifest, ignore: Iterable[IgnoreRule]) -> tuple[IgnoreRule, ...]:
    metadata = live.get("metadata") or {}
    group, slash, _ = str(live.get("apiVersion") or "").partition("/")
    facts = {
        "kind": live.get("kind") or "",
        "group": group if slash else "",
        "name": metadata.get("name") or "",
        "namespace": metadata.get("namespace") or "",
    }
    return tuple(
        rule
        for rule in (*BUILT_IN, *ignore)
        if all(getattr(rule, part) in ("", value) for part, value in facts.items())
    )


# --- comparing what we applied ----------------------------------------------------------------------------------


def _comparable(manifest: Manifest) -> Manifest:
    """The object without status and without what only the server writes."""
    kept = {key: value for key, value in manifest.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in (manifest.get("metadata") or {}).items() if key not in _SERVER_METADATA}
    annotations = metadata.get("annotations")
    if isinstance(annotations, Mapping) and LAST_APPLIED in annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    for part in ("annotations", "labels"):
        # The server keeps no empty ones, which templates like to write.
        if part in metadata and not metadata[part]:
            del metadata[part]
    return {**kept, "metadata": metadata}


def _encoded(secret: Manifest) -> Manifest:
    """A Secret as the server keeps it: `stringData` becomes part of `data`."""
    texts = secret.get("stringData")
    if not isinstance(texts, Mapping):
        return secret
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()}
    rest = {key: value for key, value in secret.items() if key != "stringData"}
    return {**rest, "data": {**(secret.get("data") or {}), **encoded}}


def _owned(want: Any, have: Any, fields: Sequence[Fields], steps: tuple[Step, ...], found: list[Difference]) -> None:
    if want is None:
        return
    if isinstance(want, Mapping) and isinstance(have, Mapping):
        for key, value in want.items():
            inner = [part for at in fields if (part := child(at, key)) is not None]
            _owned(value, have.get(key), inner, (*steps, Step(key, frozenset({key}))), found)
    elif isinstance(want, list) and isinstance(have, list):
        _owned_list(want, have, fields, steps, found)
    elif not same(want, have):
        found.append(Difference(steps, want, have))


def _owned_list(
    want: list[Any], have: list[Any], fields: Sequence[Fields], steps: tuple[Step, ...], found: list[Difference]
) -> None:
    if any(is_set(at) for at in fields):
        missing = [value for value in want if not any(same(value, other) for other in have)]
        if missing:
            found.append(Difference(steps, want, have))
        return
    names = next((tuple(key) for at in fields for key, _ in item_keys(at)), None)
    if names is None or not all(isinstance(item, Mapping) for item in want):
        if not same(want, have):
            found.append(Difference(steps, want, have))
        return
    for index, item in enumerate(want):
        position = _position(item, names, have)
        key = {name: (have[position] if position is not None else item).get(name) for name in names}
        text = ",".join(f"{name}={value}" for name, value in key.items())
        step = Step(text, frozenset({text}), index, position)
        inner = [part for at in fields for known, part in item_keys(at) if has_key(key, known)]
        _owned(item, have[position] if position is not None else None, inner, (*steps, step), found)


def _position(item: Mapping[str, Any], names: tuple[str, ...], have: list[Any]) -> int | None:
    """Where in the live list the item is. Key fields we left out (a port's protocol) were defaulted by the server."""
    given = {name: item[name] for name in names if name in item}
    return next((index for index, other in enumerate(have) if has_key(other, given)), None)


def _clipped(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value)} characters)"
    if isinstance(value, (Mapping, list)):
        text = orjson.dumps(value).decode()
        return value if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"
    return value
