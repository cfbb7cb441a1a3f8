"""`${application}` and the like in the checks of a stage: which there are, and how they are filled in. Pure.

Unlike variables in manifests, a name that is not known is an error: a query with a hole in it would measure something
else than was meant. `$${name}` is written out as `${name}`. Every other `$` is left to PromQL: the end of a pattern
(`5..$`) and groups of `label_replace` (`$1`, `${1}`).
"""

from __future__ import annotations

import difflib
import re

from shared.model import Value

_REFERENCE = re.compile(r"(\$?)\$\{([^{}]*)\}")


class Subject(Value, frozen=True):
    """What a check is about: the clusters of one stage of one rollout."""

    application: str
    namespace: str
    stage: str
    clusters: tuple[str, ...]
    revision: str
    commit: str


NAMES = ("application", "namespace", "stage", "clusters", "revision", "commit")
_KNOWN = ", ".join(f"${{{name}}}" for name in NAMES)


def fill(text: str, subject: Subject) -> str:
    """The text with what the subject is in place of its placeholders.

    `${clusters}` becomes `a|b|c`, which PromQL's `=~` takes as it is: names of clusters mean only themselves in a
    pattern.
    """
    values = {
        "application": subject.application,
        "namespace": subject.namespace,
        "stage": subject.stage,
        "clusters": "|".join(sorted(subject.clusters)),
        "revision": subject.revision,
        "commit": subject.commit,
    }

    def replacement(found: re.Match[str]) -> str:
        escaped, name = found[1], found[2]
        if name.isdigit():
            return found[0]
        return f"${{{name}}}" if escaped else values.get(name, found[0])

    return _REFERENCE.sub(replacement, text)


def checked(text: str) -> str:
    """The text, all of whose placeholders are known.

    Raises:
        ValueError: one is not; says which there are.
    """
    for found in _REFERENCE.finditer(text):
        escaped, name = found[1], found[2]
        if escaped or name.isdigit() or name in NAMES:
            continue
        close = difflib.get_close_matches(name, NAMES, 1)
        known = f"did you mean ${{{close[0]}}}?" if close else f"there are {_KNOWN}."
        raise ValueError(f"${{{name}}} is no placeholder of a check: {known} As text it is written $${{{name}}}")
    return text
