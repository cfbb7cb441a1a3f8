"""JSON Schemas of fleet documents, for editors and `yardarm schema`, generated from the models."""

from __future__ import annotations

from typing import Any

from hub.domain.documents import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """One schema for every fleet document: what `kind` says decides. Other YAML is left alone."""
    definitions: dict[str, Any] = {}
    for kind in KINDS:
        model = KINDS[kind].model_json_schema(by_alias=True, mode="validation")
        definitions.update(model.pop("$defs", {}))
        definitions[kind] = model
    for definition in definitions.values():
        for described in definition.get("properties", {}).values():
            _tidy(described)
    return {
        "$schema": DIALECT,
        "title": "Yardarm fleet document",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {"kind": {"enum": list(KINDS)}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{kind}"},
            }
            for kind in KINDS
        ],
        "$defs": definitions,
    }


def _tidy(described: dict[str, Any]) -> None:
    """Drops what editors would show and nobody wants to read: made-up titles, and defaults that are not scalars."""
    described.pop("title", None)
    default = described.get("default")
    is_duration = described.get("type") == "string" and not isinstance(default, str)
    if not isinstance(default, str | int | float) or default == "" or is_duration:
        described.pop("default", None)
