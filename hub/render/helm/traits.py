"""What a chart's result depends on besides its values, told from its text without rendering it. Pure.

Where the text leaves a doubt, the answer is yes: too careful a yes costs a render more, or a result that is kept for
longer than needed; a wrong no shows a cluster what was made for another, or rolls the whole fleet at every render.
Values may be templates too (`tpl`), so what users write is looked at in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub.render.helm.chartfile import CHART

_ACTION = re.compile(rb"\{\{.*?\}\}", re.DOTALL)
_COMMENT = re.compile(rb"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_QUOTED = re.compile(rb"\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`")
_WORD = re.compile(rb"(?<![\w.$])[A-Za-z_]\w*")

_UNSTEADY = {
    b"randAlphaNum", b"randAlpha", b"randAscii", b"randNumeric", b"randBytes", b"randInt", b"shuffle", b"uuidv4",
    b"genPrivateKey", b"genCA", b"genCAWithKey", b"genSelfSignedCert", b"genSelfSignedCertWithKey", b"genSignedCert",
    b"genSignedCertWithKey", b"htpasswd", b"bcrypt", b"encryptAES",
    b"now", b"ago", b"date", b"dateInZone", b"date_in_zone", b"htmlDate", b"htmlDateInZone", b"durationRound",
}  # fmt: skip
"""Chance and the clock. `date` and its kin take the present where they are given no time."""
_UNORDERED = {b"keys", b"values"}
"""In whatever order the moment gives, unless they are sorted on the spot."""
_SORTED = b"sortAlpha"
_CAPABILITIES = b"Capabilities"
_KUBE_VERSION = re.compile(rb"^\s*[\"']?kubeVersion[\"']?\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Traits:
    """`capabilities`: it asks what the cluster's API can do. `unsteady`: rendered again it may come out differently."""

    capabilities: bool = False
    unsteady: bool = False

    def __or__(self, other: Traits) -> Traits:
        return Traits(self.capabilities or other.capabilities, self.unsteady or other.unsteady)


def traits_of(files: Mapping[str, bytes]) -> Traits:
    """Of a chart with all its sub-charts, by path below it (see `archive.unpack_deep`)."""
    found = Traits(capabilities=bool(_KUBE_VERSION.search(files.get(CHART, b""))))
    return found | traits_of_texts(files.values())


def traits_of_texts(texts: Iterable[bytes]) -> Traits:
    """Of templates, or of values that may be rendered as such."""
    found = Traits()
    for text in texts:
        if b"{{" in text:
            actions = _ACTION.findall(_COMMENT.sub(b"", text))
            found |= Traits(
                capabilities=any(_CAPABILITIES in action for action in actions),
                unsteady=any(_is_unsteady(action) for action in actions),
            )
    return found


def _is_unsteady(action: bytes) -> bool:
    words = set(_WORD.findall(_QUOTED.sub(b'""', action)))
    return bool(words & _UNSTEADY) or (bool(words & _UNORDERED) and _SORTED not in words)
