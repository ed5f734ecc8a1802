"""Encodings of text without a byte order mark, found by its bytes."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

# What Python makes of bytes that are of no letter.
BROKEN = re.compile("[\udc80-\udcff]")

_UTF_8 = "utf-8"
# Encodings that people still have, with the usual one of similar ones first.
_OTHERS = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
    *("cp1253", "cp1254", "cp1255", "cp1256"),
)
_CHUNK = 1 << 20
_LOOKED_AT = 4_000
_ENOUGH = 100_000
# Of a file of UTF-8 so many letters may be broken; else it is of another encoding.
_BROKEN_SHARE = 0.1
_ZEROS = 0.2
# Of a text so many bytes may be zeros that some program has left in it.
_STRAY_ZEROS = 0.01
# By how much the usual encoding may look worse than the best one.
_AS_CLEAN, _AS_LIKELY = 0.02, 0.8


def find_encoding(file: BinaryIO) -> str | None:
    """Return the encoding of a text as Python names it; None if it cannot be told.

    Parameters
    ----------
    file : binary file
        From its beginning.
    """
    start = file.read(_LOOKED_AT)
    has_zeros = b"\0" in start
    if has_zeros and (found := _with_zeros(start)) is not None:
        return found
    if start.count(0) > _STRAY_ZEROS * len(start):
        return None
    decoder = codecs.getincrementaldecoder(_UTF_8)("surrogateescape")
    broken = letters = 0
    doubtful = bytearray()
    chunk = start
    while chunk:
        text = decoder.decode(chunk)
        if not text.isascii():
            wrong = len(BROKEN.findall(text))
            broken += wrong
            letters += sum(not letter.isascii() for letter in text)
            if wrong and len(doubtful) < _ENOUGH:
                doubtful += _without_ascii_lines(chunk)
        chunk = file.read(_CHUNK)
    if broken <= _BROKEN_SHARE * letters:
        return _UTF_8
    if has_zeros:
        return None
    return _likeliest(bytes(doubtful[:_ENOUGH]))


def _with_zeros(start: bytes) -> str | None:
    """Return which UTF-16 has zeros where they are; binary files have them anywhere."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if even + odd < _ZEROS * len(start) / 2 or min(even, odd) > max(even, odd) / 4:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _without_ascii_lines(chunk: bytes) -> bytes:
    return b"\n".join(line for line in chunk.splitlines() if not line.isascii())


def _likeliest(data: bytes) -> str | None:
    # Not needed for UTF-8, and slow to load.
    from charset_normalizer import from_bytes

    found = from_bytes(data, cp_isolation=list(_OTHERS))
    best = found.best()
    if best is None:
        return None
    likely = {
        name
        for match in found
        if match.chaos <= best.chaos + _AS_CLEAN and match.coherence >= _AS_LIKELY * best.coherence
        for name in (match.encoding, *match.could_be_from_charset)
    }
    return next((name for name in _OTHERS if name in likely), best.encoding)
