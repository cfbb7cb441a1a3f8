"""What all groups of settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings. Unknown names are errors, so that a misspelt one is not silently the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
