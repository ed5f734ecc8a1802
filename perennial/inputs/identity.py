"""Identity: what copies of an input have in common, as a hash.

The identity decides on which side of the split a document is, so a version of it never changes:
documents would move between training and holdout. A problem keeps the version that it has begun
with until it is migrated; new ones begin with `CURRENT_IDENTITY`.

Version 1 hashes the letters and digits of a text, without case, tags, spaces and punctuation. Texts
that differ in their marks alone (``C++`` and ``C#``, ``-5`` and ``5``, ``:)`` and ``:(``) have one
identity.

Version 2 hashes all that a model could tell apart. Copies may differ in

- what the normal form of a text leaves out: see `perennial.text.normal_form`;
- tags, case, white space at the ends, and how much and which white space there is between words;
- the shape of dashes and of the ellipsis;
- full stops, commas and semicolons at the very end: ``Great film.`` is ``Great film``;
- how often ``!``, ``?`` or ``.`` is repeated: twice, or more often.

Everything else is another text: ``Great film!`` is neither ``Great film`` nor ``Great film!!``.

Records have the identity of their values. In version 2 categories are compared in normal form, with
single spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from perennial.hashing import HASH_BYTES, digest
from perennial.text.arrow import as_texts, substitute, translate
from perennial.text.html import BREAK, TAG
from perennial.text.normal_form import normal_form, normal_forms

FIRST_IDENTITY = 1
CURRENT_IDENTITY = 2

_LOWER = bytes(range(256)).lower()
_NEITHER_LETTER_NOR_DIGIT = bytes(byte for byte in range(128) if not chr(byte).isalnum())
# In ASCII: lower case, and each white space a space.
_FLAT = bytes(
    0x20 if byte < 0x80 and chr(byte).isspace() else lower for byte, lower in enumerate(_LOWER)
)
# Beyond ASCII: dashes, the ellipsis, white space.
_SHAPES = re.compile(
    "[\x85\xa0\u1680\u2000-\u200a\u2010-\u2015\u2026\u2028\u2029\u202f\u205f\u2212\u3000]"
)
_REPEATABLE = "!?."
_AT_THE_END = ".,; \u3002\u0964\u06d4"
# Texts are hashed so many at a time, so that temporary memory does not grow with the data.
_CHUNK = 8_192


def content_hash(text: str, version: int = FIRST_IDENTITY) -> bytes:
    """Return the identity of a text.

    Raises
    ------
    ValueError
        If there is no such version.
    """
    if version == FIRST_IDENTITY:
        return digest(_letters_and_digits(text))
    require_version(version)
    return digest(identity_form(text).encode("utf-8", "surrogatepass"))


def content_hashes(texts: object, version: int) -> pa.FixedSizeBinaryArray:
    """Return the identity of each text, shape (n,).

    Parameters
    ----------
    texts : Arrow string array, or sequence of str
        The texts.
    version : int
        The version of the identity.

    Raises
    ------
    ValueError
        If there is no such version.
    """
    require_version(version)
    column = as_texts(texts)
    chunks = (column.slice(start, _CHUNK) for start in range(0, len(column), _CHUNK))
    if version == FIRST_IDENTITY:
        return hash_array(
            digest(_letters_and_digits(text)) for chunk in chunks for text in chunk.to_pylist()
        )
    return hash_array(digest(form.encode()) for chunk in chunks for form in identity_forms(chunk))


def require_version(version: int) -> None:
    """Raise `ValueError` unless there is this version of the identity."""
    if not FIRST_IDENTITY <= version <= CURRENT_IDENTITY:
        raise ValueError(
            f"identity is version {version}, which this code does not know: it knows versions "
            f"{FIRST_IDENTITY} to {CURRENT_IDENTITY}; use the release of Perennial that wrote it"
        )


def hash_array(hashes: Iterable[bytes]) -> pa.FixedSizeBinaryArray:
    """Return hashes as a column of a snapshot."""
    data = b"".join(hashes)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(HASH_BYTES), len(data) // HASH_BYTES, [None, pa.py_buffer(data)]
    )


def identity_form(text: str) -> str:
    """Return what version 2 hashes of a text."""
    text = normal_form(text)
    if "<" in text:
        text = TAG.sub(" ", text.replace(BREAK, " "))
    return without_repetition(_flat(text))


def identity_forms(texts: pa.LargeStringArray) -> list[str]:
    """Return what version 2 hashes of each text."""
    texts = pc.replace_substring(normal_forms(texts), BREAK, " ")
    texts = translate(substitute(TAG, texts, pc.match_substring(texts, "<")), _FLAT)
    return [
        without_repetition(text if text.isascii() else _flat(text)) for text in texts.to_pylist()
    ]


def _flat(text: str) -> str:
    """Return a text in one case, with one dash and with spaces for all white space."""
    plain = text.encode().translate(_FLAT).decode()
    return unicodedata.normalize("NFC", _SHAPES.sub(_shape, plain).casefold())


def _shape(found: re.Match[str]) -> str:
    if found[0].isspace():
        return " "
    return "..." if found[0] == "\u2026" else "-"


def without_repetition(text: str) -> str:
    """Return a flat text with single spaces, and without marks that add nothing."""
    while "  " in text:
        text = text.replace("  ", " ")
    for mark in _REPEATABLE:
        while mark * 3 in text:
            text = text.replace(mark * 3, mark * 2)
    text = text.strip(" ")
    return text.rstrip(_AT_THE_END) or text


def _letters_and_digits(text: str) -> bytes:
    """Return what version 1 hashes of a text."""
    if "<" in text:
        # Most tags are line breaks, which are found sooner without a pattern.
        unbroken = text.replace(BREAK, "")
        text = TAG.sub("", text) if "<" in unbroken else unbroken
    if text.isascii():
        return text.encode().translate(_LOWER, _NEITHER_LETTER_NOR_DIGIT)
    return "".join(filter(str.isalnum, text.casefold())).encode()
