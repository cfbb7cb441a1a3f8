"""The public keys to age's secret keys, which the hub is told so that people can encrypt for this cluster. Pure.

An X25519 key in Bech32 (https://github.com/C2SP/C2SP/blob/main/age.md, BIP 173). Done here, because every agent with a
key does it at its start, and the library that decrypts is to stay out of memory until something is to be decrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nacl.bindings import crypto_scalarmult_base

_SECRET = "age-secret-key-"  # noqa: S105 - how each secret key begins
_PUBLIC = "age"
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6


def recipients(key_file: str) -> tuple[str, ...]:
    """The public keys to the secret keys of a key file; other lines, and kinds of keys not known here, are left out."""
    lines = (line.strip().lower() for line in key_file.splitlines())
    secrets = (_decoded(line) for line in lines if line.startswith(f"{_SECRET}1"))
    return tuple(_encoded(crypto_scalarmult_base(secret)) for secret in secrets if secret is not None)


def _decoded(text: str) -> bytes | None:
    prefix, _, data = text.rpartition("1")
    if any(letter not in _LETTERS for letter in data):
        return None
    values = [_LETTERS.index(letter) for letter in data]
    secret = bytes(_regrouped(values[:-_CHECKSUM], 5, 8))
    return secret if _polymod([*_expanded(prefix), *values]) == 1 and len(secret) == 32 else None


def _encoded(key: bytes) -> str:
    values = list(_regrouped([*key, 0], 8, 5))[: -(-len(key) * 8 // 5)]
    sum_ = _polymod([*_expanded(_PUBLIC), *values, *[0] * _CHECKSUM]) ^ 1
    checksum = [sum_ >> 5 * (_CHECKSUM - 1 - place) & 31 for place in range(_CHECKSUM)]
    return f"{_PUBLIC}1{''.join(_LETTERS[value] for value in (*values, *checksum))}"


def _regrouped(values: Iterable[int], width: int, wanted: int) -> Iterable[int]:
    """The same bits in groups of another width; those that fill no group are left out."""
    held, bits = 0, 0
    for value in values:
        held, bits = held << width | value, bits + width
        while bits >= wanted:
            bits -= wanted
            yield held >> bits & (1 << wanted) - 1


def _expanded(prefix: str) -> Sequence[int]:
    return [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(letter) & 31 for letter in prefix)]


def _polymod(values: Iterable[int]) -> int:
    sum_ = 1
    for value in values:
        top = sum_ >> 25
        sum_ = (sum_ & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATOR):
            sum_ ^= generator if top >> place & 1 else 0
    return sum_
