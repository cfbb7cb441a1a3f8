"""Pods, in templates and on their own: containers, volumes, mounts."""

from __future__ import annotations

from typing import Any

from agent.sandbox.problems import Cause, bad_value, cause, required, unsupported
from agent.sandbox.validation.names import LABEL, LABEL_TEXT

Object = dict[str, Any]
PORT = "must be between 1 and 65535, inclusive"


def pod_spec(spec: Object, field: str) -> list[Cause]:
    """Containers, volumes and mounts of a pod."""
    out = []
    containers = spec.get("containers")
    if not containers:
        out.append(required(f"{field}.containers"))
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            here = f"{field}.{group}[{index}]"
            out += _container(container, here, volumes)
            name = container.get("name", "")
            if name in names:
                out.append(cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{name}"'))
            names.add(name)
    seen: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        name = volume.get("name", "")
        if not LABEL.fullmatch(name) or len(name) > 63:
            here = f"{field}.volumes[{index}].name"
            out.append(bad_value(here, name, LABEL_TEXT) if name else required(here))
        if name in seen:
            text = f'Duplicate value: "{name}"'
            out.append(cause("FieldValueDuplicate", f"{field}.volumes[{index}].name", text))
        seen.add(name)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        out.append(unsupported(f"{field}.restartPolicy", spec.get("restartPolicy"), ["Always", "OnFailure", "Never"]))
    return out


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
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        if not 0 < number < 65536:
            field = f"{here}.ports[{index}].containerPort"
            out.append(required(field) if number == 0 else bad_value(field, number, PORT))
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            out.append(unsupported(f"{here}.ports[{index}].protocol", port.get("protocol"), ["SCTP", "TCP", "UDP"]))
    return out


def _mounts(container: Object, here: str, volumes: set[Any]) -> list[Cause]:
    out = []
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            text = f'Not found: "{mount.get("name", "")}"'
            out.append(cause("FieldValueNotFound", f"{here}.volumeMounts[{index}].name", text))
        if not mount.get("mountPath"):
            out.append(required(f"{here}.volumeMounts[{index}].mountPath"))
    return out
