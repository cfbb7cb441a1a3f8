"""Values as YAML text that Kubernetes' tools read back as the same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def to_yaml(data: Any) -> str:
    """YAML with keys in the order given."""
    return _written(data)


def to_flow(data: dict[str, Any] | list[Any]) -> str:
    """YAML on one line: `{env: prod, tiers: [a, b]}`."""
    return _written(data, default_flow_style=True, width=-1).strip()


def _written(data: Any, **style: Any) -> str:
    import yaml  # here, because commands that write none should start quickly

    from hub.domain.scalars import resolve

    class Dumper(yaml.CSafeDumper):
        """Quotes more than PyYAML does: for Kubernetes `y`, `1e3` and `08` without quotes are not strings."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is the library's
            return True

    def string(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text, resolve))

    Dumper.add_representer(str, string)
    written: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, **style)
    return written


def _style(text: str, resolve: Callable[[str], Any]) -> str | None:
    try:
        plain = isinstance(resolve(text), str) and text not in ("<<", "=")
    except ValueError:
        plain = False
    if not plain:
        return '"'
    return "|" if "\n" in text else None
