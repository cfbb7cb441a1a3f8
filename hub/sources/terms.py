"""On what terms a hub reads repositories, as its operator sets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hub.domain.egress import Egress
from hub.sources.accepting import Acceptance
from hub.sources.access import Credentials


@dataclass(frozen=True)
class Terms:
    """By the address of a repository.

    `credentials` is what to show, `acceptance` which commits count (None: all). Only those in `own`, which the operator
    named, may be anywhere; where others may be, `egress` and `local` say (folders of this machine). `changed` says
    whether something of `acceptance` is another than when it was last asked. `submodules` says whether they are read.
    """

    credentials: Callable[[str], Credentials] = lambda _address: Credentials()
    acceptance: Callable[[str], Acceptance | None] = lambda _address: None
    changed: Callable[[], bool] = lambda: False
    own: frozenset[str] = frozenset()
    egress: Egress = field(default_factory=Egress)
    local: bool = False
    submodules: bool = False
