"""Admission of pods: defaults and bounds of LimitRanges, and what ResourceQuotas leave."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from agent.sandbox import problems, quantity
from agent.sandbox.cluster import Cluster

Object = dict[str, Any]
LIMITS = ("", "limitranges")
QUOTAS = ("", "resourcequotas")
PODS = ("", "pods")
COUNTED = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
SHORT = {"cpu": "requests.cpu", "memory": "requests.memory"}


def limit(cluster: Cluster, pod: Object) -> None:
    """Gives the containers what LimitRanges of the namespace say, in place.

    Raises:
        ApiError: 403, a container wants more or less than it may.
    """
    bucket = cluster.store.buckets.get(LIMITS)
    said: list[str] = []
    for record in bucket.scan(pod["metadata"].get("namespace", "")) if bucket else ():
        for item in record.decoded()["spec"].get("limits") or ():
            if item.get("type") == "Container":
                for container in pod["spec"].get("containers") or ():
                    said += _default(container, item)
                    _check(pod, container, item)
    if said:
        text = "LimitRanger plugin set: " + "; ".join(said)
        pod["metadata"].setdefault("annotations", {})["kubernetes.io/limit-ranger"] = text


def _default(container: Object, item: Object) -> list[str]:
    said = []
    for field, source, word in (("requests", "defaultRequest", "request"), ("limits", "default", "limit")):
        resources = container.setdefault("resources", {})
        have = resources.get(field) or {}
        missing = {k: v for k, v in (item.get(source) or {}).items() if k not in have}
        if missing:
            resources[field] = {**missing, **have}
            said.append(f"{', '.join(sorted(missing))} {word} for container {container['name']}")
    return said


def _check(pod: Object, container: Object, item: Object) -> None:
    resources = container.get("resources") or {}
    for word, field, sign in (("maximum", "max", 1), ("minimum", "min", -1)):
        for name, bound in (item.get(field) or {}).items():
            where = "limits" if sign > 0 else "requests"
            given = (resources.get(where) or {}).get(name)
            if given is not None and sign * quantity.parse(str(given)) > sign * quantity.parse(str(bound)):
                kind = "limit" if sign > 0 else "request"
                text = f"{word} {name} usage per Container is {bound}, but {kind} is {given}"
                raise _forbidden(pod, text)


def _forbidden(pod: Object, text: str) -> problems.ApiError:
    name = pod["metadata"]["name"]
    return problems.forbidden(f'pods "{name}" is forbidden: {text}', "pods", "", name)


def used(cluster: Cluster, namespace: str) -> dict[str, Fraction]:
    """What the pods of a namespace take, by the names that quotas use."""
    total: dict[str, Fraction] = {}
    for record in cluster.store.bucket(PODS).scan(namespace):
        pod = record.decoded()
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            for name, amount in _wants(pod).items():
                total[name] = total.get(name, Fraction(0)) + amount
    return total


def _wants(pod: Object) -> dict[str, Fraction]:
    out = {"pods": Fraction(1)}
    for container in pod["spec"].get("containers") or ():
        for field, amounts in (container.get("resources") or {}).items():
            for name, amount in amounts.items() if isinstance(amounts, dict) else ():
                key = f"{field}.{name}"
                out[key] = out.get(key, Fraction(0)) + quantity.parse(str(amount))
    return out


def text_of(amount: Fraction, like: str) -> str:
    """An amount written as its quota is: in binary units, or in decimal ones."""
    if like.endswith("i"):
        return quantity.canonical(f"{int(amount) // 1024}Ki") if amount % 1024 == 0 and amount else str(int(amount))
    return (
        quantity.canonical(str(int(amount)))
        if amount.denominator == 1
        else quantity.canonical(f"{int(amount * 1000)}m")
    )


def tracked(hard: Object) -> dict[str, str]:
    """The resources of a quota that are counted here: its own name -> the name in `used`."""
    return {k: SHORT.get(k, k) for k in hard if k == "pods" or SHORT.get(k, k) in COUNTED}


def check_quota(cluster: Cluster, pod: Object) -> None:
    """Whether the quotas of the namespace let a new pod in.

    Raises:
        ApiError: 403.
    """
    namespace = pod["metadata"].get("namespace", "")
    bucket = cluster.store.buckets.get(QUOTAS)
    quotas = list(bucket.scan(namespace)) if bucket else []
    if not quotas:
        return
    wants, taken = _wants(pod), used(cluster, namespace)
    for record in quotas:
        _fits(pod, record.key[1], record.decoded()["spec"].get("hard") or {}, wants, taken)


def _fits(pod: Object, quota: str, hard: Object, wants: dict[str, Fraction], taken: dict[str, Fraction]) -> None:
    names = tracked(hard)
    silent = sorted(k for k, v in names.items() if v not in wants)
    if silent:
        who = ",".join(c["name"] for c in pod["spec"].get("containers") or ())
        missing = "; ".join(f"{name} for: {who}" for name in silent)
        raise _forbidden(pod, f"failed quota: {quota}: must specify {missing}")
    over = sorted(k for k, v in names.items() if taken.get(v, Fraction(0)) + wants[v] > quantity.parse(str(hard[k])))
    if over:
        zero = Fraction(0)
        asked = ",".join(f"{k}={text_of(wants[names[k]], str(hard[k]))}" for k in over)
        have = ",".join(f"{k}={text_of(taken.get(names[k], zero), str(hard[k]))}" for k in over)
        most = ",".join(f"{k}={hard[k]}" for k in over)
        raise _forbidden(pod, f"exceeded quota: {quota}, requested: {asked}, used: {have}, limited: {most}")
