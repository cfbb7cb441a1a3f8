"""What of a Git object is signed, and the signature: as Git itself takes them apart. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_KINDS = {
    b"-----BEGIN SSH SIGNATURE-----": "ssh",
    b"-----BEGIN PGP SIGNATURE-----": "openpgp",
    b"-----BEGIN PGP MESSAGE-----": "openpgp",
    b"-----BEGIN SIGNED MESSAGE-----": "x509",
}
_HEADERS = (b"gpgsig", b"gpgsig-sha256")


@dataclass(frozen=True, slots=True)
class Envelope:
    """`payload` is signed by `signature` (armoured); `method` is ssh, openpgp, x509 or, without signature, empty.

    `at` is the committer's or tagger's time, in unix seconds; `name` is what a tag says it is called.
    """

    payload: bytes
    signature: bytes
    method: str
    at: float
    name: str = ""


def open_commit(raw: bytes) -> Envelope:
    """A commit object's.

    Raises:
        ValueError: more than one signature, of which Git and its readers may mean different ones.
    """
    payload, signatures = _without_signatures(raw)
    if len(signatures) > 1:
        raise ValueError("it carries more than one signature")
    signature = signatures[0] if signatures else b""
    return Envelope(payload, signature, _method(signature), _time(raw, b"committer "))


def open_tag(raw: bytes) -> Envelope:
    """An annotated tag's: its signature stands after its message."""
    at, start = len(raw), 0
    while start < len(raw):
        if any(raw.startswith(mark, start) for mark in _KINDS):
            at = start
        end = raw.find(b"\n", start)
        start = end + 1 if end >= 0 else len(raw)
    payload, _ = _without_signatures(raw[:at])
    name = next((line[4:] for line in _headers(raw) if line.startswith(b"tag ")), b"")
    return Envelope(payload, raw[at:], _method(raw[at:]), _time(raw, b"tagger "), name.decode(errors="replace"))


def _without_signatures(raw: bytes) -> tuple[bytes, list[bytes]]:
    """The object without its signature headers, and what was in those for SHA-1 objects."""
    head, blank, body = raw.partition(b"\n\n")
    kept: list[bytes] = []
    signatures: list[list[bytes]] = []
    inside = b""
    for line in head.split(b"\n"):
        name, _, value = line.partition(b" ")
        if line.startswith(b" ") and inside:
            if inside == _HEADERS[0]:
                signatures[-1].append(line[1:])
            continue
        inside = name if name in _HEADERS else b""
        if inside == _HEADERS[0]:
            signatures.append([value])
        elif not inside:
            kept.append(line)
    return b"\n".join(kept) + blank + body, [b"\n".join(lines) + b"\n" for lines in signatures]


def _headers(raw: bytes) -> list[bytes]:
    return raw.partition(b"\n\n")[0].split(b"\n")


def _method(signature: bytes) -> str:
    if not signature:
        return ""
    return next((method for mark, method in _KINDS.items() if signature.startswith(mark)), "unknown")


def _time(raw: bytes, field: bytes) -> float:
    """The time in `committer Name <mail> 1700000000 +0100`; 0 when there is none."""
    line = next((line for line in _headers(raw) if line.startswith(field)), b"")
    words = line.rpartition(b"> ")[2].split()
    return float(words[0]) if words and words[0].lstrip(b"-").isdigit() else 0.0
