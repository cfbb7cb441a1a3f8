"""From the bytes of a file to text that a YAML parser takes: encodings, byte order marks, and JSON's own escapes."""

from __future__ import annotations

import re

from hub.domain.locked import locked
from shared.errors import DocumentError
from shared.model import Place

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decode(data: bytes | str, *, file: str, limit: int) -> str:
    """The text of a file of at most `limit` bytes, without byte order mark.

    Raises:
        DocumentError: too large, encrypted, or neither UTF-8 nor UTF-16 with a byte order mark.
    """
    if len(data) > limit:
        raise DocumentError(
            f"{len(data) / 1_048_576:.1f} MiB is more than the {limit / 1_048_576:g} MiB a YAML file may have",
            Place(file),
            "split it, or exclude it",
        )
    if isinstance(data, bytes) and (known := locked(data)) is not None:
        raise DocumentError(known[0], Place(file), known[1])
    if isinstance(data, str):
        text = data.removeprefix("\ufeff")
    else:
        encoding = "utf-16" if data.startswith(UTF16_MARKS) else "utf-8-sig"
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DocumentError(
                f"not {encoding.removesuffix('-sig').upper()}: byte 0x{data[error.start]:02x} at offset {error.start}",
                Place(file, line),
                "save it as UTF-8; a binary or encrypted file cannot be read as YAML",
            ) from None
    return _as_yaml(text) if text.lstrip()[:1] in ("{", "[") else text


_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def _as_yaml(text: str) -> str:
    """JSON where it is not YAML: tabs before the first bracket, and characters beyond U+FFFF as two escapes."""
    blank = len(text) - len(text.lstrip())
    text = text[:blank].replace("\t", " ") + text[blank:]
    if "\\ud" not in text and "\\uD" not in text:
        return text

    def joined(match: re.Match[str]) -> str:
        code = 0x10000 + ((int(match[2], 16) - 0xD800) << 10) + (int(match[3], 16) - 0xDC00)
        return f"{match[1]}\\U{code:08X}"

    return _SURROGATES.sub(joined, text)
