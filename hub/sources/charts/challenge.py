"""`WWW-Authenticate` (RFC 9110): how a registry says where a token can be had. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PARAMETER = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_SCHEME = re.compile(r"^\s*([A-Za-z][A-Za-z0-9_-]*)(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge. `scheme` is lower case, as are the names of the parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse(header: str) -> Challenge:
    """The first challenge of a header; its scheme is empty when it cannot be read."""
    scheme = _SCHEME.match(header)
    if scheme is None:
        return Challenge("", {})
    found = _PARAMETER.finditer(header, scheme.end())
    parameters = {each[1].lower(): re.sub(r"\\(.)", r"\1", each[2] or "") or each[3] or "" for each in found}
    return Challenge(scheme[1].lower(), parameters)
