"""Bundles: what one application means on one cluster, as bytes named by their SHA-256.

A bundle is a policy and an ordered list of objects. Its body is one canonical JSON line per object; its digest is the
SHA-256 of the policy's JSON, a newline and the body. Bodies travel as zstd: inline when small, else in content-defined
packs of about 64 KB raw, so that clusters with nearly equal bundles share most packs and one changed object costs one
pack. Reasons and measurements: DESIGN section 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec
import orjson
import zstandard

from shared.errors import DigestMismatch, InvalidMessage
from shared.messages import Assignment, PackRef, Policy, Root, RootEntry, encode
from shared.model import Manifest

INLINE_LIMIT = 16 * 1024
"""Compressed bytes up to which a body travels inside its assignment."""
CHUNK = 256 * 1024
"""Stored bytes per blob message; NATS' default payload limit is 1 MiB."""
PACK_MIN = 16 * 1024
PACK_MAX = 64 * 1024
BODY_LIMIT = 64 * 1024 * 1024
"""Raw bytes a bundle may have. More than this on one cluster is a mistake, or several applications."""
LONG_LIST = 1000
"""Units from which on a cluster's list is packed."""
LIST_LIMIT = 32 * 1024 * 1024
"""Bytes of a list, unpacked: 200,000 units."""
_PART = 64 * 1024
"""Bytes to unpack at a time."""

_LEVEL = 3


class Pack(msgspec.Struct, frozen=True):
    """A piece of a body with its stored form, cut into chunks."""

    ref: PackRef
    chunks: tuple[bytes, ...]

    def blobs(self) -> Iterable[tuple[str, bytes]]:
        """(blob name, bytes) of every message to store."""
        if len(self.chunks) == 1:
            yield self.ref.digest, self.chunks[0]
            return
        for number, chunk in enumerate(self.chunks):
            yield f"{self.ref.digest}-{number}", chunk


class Bundle(msgspec.Struct, frozen=True):
    """The content of one unit."""

    policy: Policy
    lines: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """Names the bundle; equal bundles have equal digests."""
        return body_digest(self.policy, b"\n".join(self.lines))

    @property
    def manifests(self) -> list[Manifest]:
        """The objects, decoded, in order."""
        return [orjson.loads(line) for line in self.lines]


def canonical_line(manifest: Manifest) -> bytes:
    """One object as canonical JSON: keys sorted, except in SOPS documents, whose MAC depends on their order.

    Raises:
        InvalidMessage: the object holds something JSON cannot (a number out of range).
    """
    option = 0 if "sops" in manifest else orjson.OPT_SORT_KEYS
    try:
        return orjson.dumps(manifest, option=option)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise InvalidMessage(f"cannot be written as JSON: {error}") from error


def body_digest(policy: Policy, body: bytes) -> str:
    """The digest of a bundle with this policy and body."""
    hasher = hashlib.sha256(encode(policy))
    hasher.update(b"\n")
    hasher.update(body)
    return hasher.hexdigest()


def inline(lines: Sequence[bytes]) -> bytes | None:
    """The compressed body when it is small enough to travel in the assignment, else None."""
    body = b"\n".join(lines)
    if len(body) > INLINE_LIMIT * 40:
        return None
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(body)
    return packed if len(packed) <= INLINE_LIMIT else None


def packs(lines: Sequence[bytes]) -> list[Pack]:
    """The body cut where content says, so that equal runs of objects become equal packs wherever they stand."""
    result: list[Pack] = []
    group: list[bytes] = []
    size = 0
    for line in lines:
        group.append(line)
        size += len(line) + 1
        boundary = hashlib.blake2b(line, digest_size=1).digest()[0] < 64
        if size >= PACK_MAX or (size >= PACK_MIN and boundary):
            result.append(_pack(group))
            group, size = [], 0
    if group:
        result.append(_pack(group))
    return result


def _pack(lines: list[bytes]) -> Pack:
    raw = b"\n".join(lines)
    stored = zstandard.ZstdCompressor(level=_LEVEL).compress(raw)
    chunks = tuple(stored[at : at + CHUNK] for at in range(0, len(stored), CHUNK))
    ref = PackRef(digest=hashlib.sha256(raw).hexdigest(), size=len(raw), chunks=len(chunks))
    return Pack(ref=ref, chunks=chunks)


def unpack(ref: PackRef, stored: bytes) -> bytes:
    """The raw bytes of a pack.

    Raises:
        DigestMismatch: they are not what `ref` names.
    """
    raw = decompress(stored, ref.size)
    if hashlib.sha256(raw).hexdigest() != ref.digest:
        raise DigestMismatch(f"pack {ref.digest[:12]} holds other bytes than its name says")
    return raw


def open_bundle(assignment: Assignment, fetched: Callable[[PackRef], bytes]) -> Bundle:
    """The bundle an assignment names, verified against its digest. `fetched` gives the raw bytes of a pack.

    Raises:
        DigestMismatch: policy and body together are not what the assignment names.
        InvalidMessage: the body cannot be read.
    """
    if assignment.packs:
        body = b"\n".join(fetched(ref) for ref in assignment.packs)
    else:
        body = decompress(assignment.inline, BODY_LIMIT) if assignment.inline else b""
    if body_digest(assignment.policy, body) != assignment.digest:
        raise DigestMismatch(f"the bundle of {assignment.unit} is not {assignment.digest[:12]}")
    lines = tuple(body.split(b"\n")) if body else ()
    if len(lines) != assignment.objects:
        raise InvalidMessage(f"the bundle of {assignment.unit} has {len(lines)} objects, not {assignment.objects}")
    return Bundle(policy=assignment.policy, lines=lines)


def packed_list(root: Root) -> Root:
    """The list of a cluster's units as it travels: a long one packed, since a message has an end."""
    if len(root.units) < LONG_LIST:
        return root
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(msgspec.json.encode(root.units))
    return msgspec.structs.replace(root, units=(), packed=packed)


def listed(root: Root) -> tuple[RootEntry, ...]:
    """The units that a list names, packed or not.

    Raises:
        InvalidMessage: what is packed cannot be read.
    """
    if not root.packed:
        return root.units
    try:
        return msgspec.json.decode(decompress(root.packed, LIST_LIMIT), type=tuple[RootEntry, ...])
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"a packed list of units cannot be read: {error}") from error


def decompress(stored: bytes, limit: int) -> bytes:
    """The raw bytes, at most `limit` of them: neither a small message nor a damaged one becomes a large allocation.

    Raises:
        InvalidMessage: it is not zstd, or there is more in it.
    """
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 23).stream_reader(stored) as reader:
            parts, left = [], limit + 1
            # Room is made for each part before it is read: most bundles are far smaller than they may be.
            while left and (part := reader.read(min(left, _PART))):
                parts.append(part)
                left -= len(part)
    except zstandard.ZstdError as error:
        raise InvalidMessage(f"not zstd: {error}") from error
    if not left:
        raise InvalidMessage(f"unpacks to more than {limit} bytes")
    return b"".join(parts)
