"""Pods, in templates and on their own: containers, volumes, mounts."""

from __future__ import annotations

from typing import Any

from agent.sandbox.problems import Cause, bad_value, cause, required, unsupported
from agent.sandbox.validation.names import LABEL, LABEL_TEXT

Object = dict[str, Any]
PORT = "must be between 1 and 65535, inclusive"


def pod_spec(spec: Object, field: str) -> list[Cause]:
    """Containers, volumes and mounts of a pod."""
    out, volumes = _volumes(spec, field)
    if not spec.get("containers"):
        out.append(required(f"{field}.containers"))
    names: set[str] = set()
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            here = f"{field}.{group}[{index}]"
            out += _container(container, here, volumes)
            name = container.get("name", "")
            if name in names:
                out.append(cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{name}"'))
            names.add(name)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        out.append(unsupported(f"{field}.restartPolicy", spec.get("restartPolicy"), ["Always", "OnFailure", "Never"]))
    return out


def _volumes(spec: Object, field: str) -> tuple[list[Cause], set[Any]]:
    """What is wrong with the volumes, and the names of those that are right."""
    out: list[Cause] = []
    good: set[Any] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        here, name = f"{field}.volumes[{index}]", volume.get("name", "")
        text = "Forbidden: may not specify more than 1 volume type"
        found = [cause("FieldValueForbidden", f"{here}.{kind}", text) for kind in _sources(volume)[1:]]
        if not LABEL.fullmatch(name) or len(name) > 63:
            found.append(bad_value(f"{here}.name", name, LABEL_TEXT) if name else required(f"{here}.name"))
        if name in good:
            found.append(cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{name}"'))
        if not found:
            good.add(name)
        out += found
    return out, good


_SOURCE_ORDER = (
    "emptyDir",
    "hostPath",
    "secret",
    "nfs",
    "persistentVolumeClaim",
    "downwardAPI",
    "configMap",
    "projected",
)


def _sources(volume: Object) -> list[str]:
    """The sources a volume names, in the order in which the API server looks at them."""
    rank = {name: index for index, name in enumerate(_SOURCE_ORDER)}
    return sorted((name for name in volume if name != "name"), key=lambda name: rank.get(name, len(rank)))


def _container(container: Object, here: str, volumes: set[Any]) -> list[Cause]:
    out = []
    name = container.get("name", "")
    if not name:
        out.append(required(f"{here}.name"))
    elif not LABEL.fullmatch(name) or len(name) > 63:
        out.append(bad_value(f"{here}.name", name, LABEL_TEXT))
    if not container.get("image"):
        out.append(required(f"{here}.image"))
    elif container["image"] != container["image"].strip():
        out.append(bad_value(f"{here}.image", container["image"], "must not have leading or trailing whitespace"))
    if container.get("imagePullPolicy") not in ("Always", "IfNotPresent", "Never"):
        allowed = ["Always", "IfNotPresent", "Never"]
        out.append(unsupported(f"{here}.imagePullPolicy", container.get("imagePullPolicy"), allowed))
    out += _ports(container, here)
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            out.append(required(f"{here}.env[{index}].name"))
        if variable.get("value") and variable.get("valueFrom"):
            text = "may not be specified when `value` is not empty"
            out.append(bad_value(f"{here}.env[{index}].valueFrom", "", text))
    return out + _mounts(container, here, volumes)


def _ports(container: Object, here: str) -> list[Cause]:
    out = []
    names: set[Any] = set()
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        if not 0 < number < 65536:
            field = f"{here}.ports[{index}].containerPort"
            out.append(required(field) if number == 0 else bad_value(field, number, PORT))
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            out.append(unsupported(f"{here}.ports[{index}].protocol", port.get("protocol"), ["SCTP", "TCP", "UDP"]))
        name = port.get("name")
        if name and name in names:
            out.append(cause("FieldValueDuplicate", f"{here}.ports[{index}].name", f'Duplicate value: "{name}"'))
        names.add(name)
    return out


def _mounts(container: Object, here: str, volumes: set[Any]) -> list[Cause]:
    out = []
    paths: set[Any] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            text = f'Not found: "{mount.get("name", "")}"'
            out.append(cause("FieldValueNotFound", f"{here}.volumeMounts[{index}].name", text))
        if not mount.get("mountPath"):
            out.append(required(f"{here}.volumeMounts[{index}].mountPath"))
        elif mount["mountPath"] in paths:
            text = "must be unique"
            out.append(bad_value(f"{here}.volumeMounts[{index}].mountPath", mount["mountPath"], text))
        paths.add(mount.get("mountPath"))
    return out
