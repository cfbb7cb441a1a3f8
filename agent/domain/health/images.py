"""Why an image cannot be pulled, in one clause, from what container runtimes say in a paragraph."""

from __future__ import annotations

import re

_PROBLEMS: tuple[tuple[str, str], ...] = (
    (r"toomanyrequests|rate limit|\b429\b", "the registry limits how often one may pull: log in, or use a mirror"),
    (r"no such host|server misbehaving", "the registry's host name is not known"),
    (r"x509|certificate", "the registry's certificate is not trusted by the node"),
    (r"i/o timeout|deadline exceeded|connection refused|network is unreachable|handshake timeout|connection reset",
     "the node cannot reach the registry"),
    (r"no match for platform|exec format", "there is no image for the node's platform"),
    (r"no space left", "the node's disk is full"),
    (r"unauthorized|authentication required|authorization failed|no basic auth|denied|forbidden|\b40[13]\b",
     "the registry refuses: no such repository, or no right to pull it (imagePullSecrets)"),
    (r"not found|manifest unknown|name unknown|no such image|does not exist",
     "the registry has no such image or tag"),
    (r"couldn't parse|invalid reference|invalid image|InvalidImageName", "its name is not a valid image name"),
    (r"not present with pull policy of never|ErrImageNeverPull",
     "it is not on the node, and imagePullPolicy is Never"),
)  # fmt: skip
_COMPILED = [(re.compile(pattern, re.IGNORECASE), clause) for pattern, clause in _PROBLEMS]
_QUOTED = re.compile(r'"[^"]*"')


def explained(told: str) -> str:
    """What the runtime means; empty when it says nothing of use."""
    # Names in quotes may hold any of the words: an image called not-found is no evidence.
    plain = _QUOTED.sub('""', told)
    return next((clause for pattern, clause in _COMPILED if pattern.search(plain)), "")
