"""Shapes of previews: what is asked, and what is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hub.api.models.common import Shape


class PreviewRequest(BaseModel):
    """Two refs of the fleet repository: branches, tags or commits. Without `from` it is what counts now."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[str, Field(alias="from", max_length=250)] = ""
    to: Annotated[str, Field(min_length=1, max_length=250)]
    applications: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=1000)] = []
    form: Literal["json", "text", "markdown"] = "json"
    live: bool = False


class PreviewAnswer(Shape):
    """What changes (`yardarm diff -o json`), and in which waves it would go out (`yardarm plan -o json`).

    `changes` says whether anything does, `errors` whether something new cannot be used as it is.
    """

    preview: dict[str, Any]
    plan: dict[str, Any]
    changes: bool
    errors: bool
