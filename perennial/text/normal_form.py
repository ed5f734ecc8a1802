"""The normal form of a text: one spelling for what people do not mean to distinguish.

It is Unicode's NFC, without HTML entities and without characters that nobody sees, and with one
shape of quotes, apostrophes and letters:

- entities are decoded, also those that were encoded several times: ``&nbsp;``, ``&#39;``,
  ``&amp;quot;``. Names need their semicolon, as ``?a=1&copy=2`` is an address;
- soft hyphens, zero width characters, byte order marks, marks of direction and variation selectors
  are taken out; what joins emoji stays, and U+200B is a space in scripts that have no other;
- control characters that are no white space become a space, those from U+0080 on what they are in
  Windows-1252;
- typographic quotes become ``'`` and ``"``; between letters so does any mark that people type for
  an apostrophe;
- ligatures, full and half width, letters of mathematics and forms of presentation become letters
  and digits. Superscripts, fractions and circled numbers are none of them: ``x²`` is not ``x2``.

Case, white space, tags and all other characters are what they were. The normal form of a normal
form is the same text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html import unescape
from html.entities import html5
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.text.folding import FOLDED, fold

T = TypeVar("T")
Replace = Callable[[re.Match[str]], str]
Substitute = Callable[[re.Pattern[str], Replace, T], T]

_REFERENCE = re.compile(r"&(?:#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6});?|[a-zA-Z][a-zA-Z0-9]{0,31};)")
# An ampersand that was encoded again and again, however often, is one.
_AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0{0,5}38|#[xX]0{0,4}26);)+")
# So often is a text decoded. What then still has entities was made to have them.
_PASSES = 8
# A text of these bytes alone is its own normal form: ASCII without control characters, ampersands
# and grave accents, the letters of U+00C0 to U+00FF, Cyrillic, Chinese and Hangul.
_PLAIN = bytes(
    [
        *(byte for byte in range(0x80) if chr(byte).isprintable() or chr(byte).isspace()),
        *(*range(0x80, 0xC0), 0xC3, 0xD0, 0xD1, *range(0xE4, 0xEA), 0xEB, 0xEC),
    ]
).translate(None, b"&`")
_PLAIN_OR_AMPERSAND = _PLAIN + b"&"
_IS_NOT_PLAIN = bytes(byte not in _PLAIN for byte in range(256))


def normal_form(text: str) -> str:
    """Return the normal form of one text."""
    if _has_only(text, _PLAIN):
        return text
    return _settle(text, partial(unicodedata.normalize, "NFC"), _sub)


def normal_value(text: str) -> str:
    """Return the normal form of a text that names something: no white space but single spaces."""
    return " ".join(normal_form(text).split())


def normal_forms(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the normal forms of many texts, none of them null."""
    rows = _not_plain(texts)
    before = texts.take(pa.array(rows)).to_pylist()
    after = [normal_form(text) for text in before]
    if before == after:
        return texts
    mask = np.zeros(len(texts), np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(after, pa.large_string()))


@dataclass(frozen=True)
class Aligned:
    """A text that was rewritten, and where its characters come from.

    Attributes
    ----------
    text : str
        The text as it is now.
    starts, ends : list of int
        Character ``i`` was made of the characters from ``starts[i]`` to ``ends[i]`` of
        the original.
    """

    text: str
    starts: list[int] = field(compare=False)
    ends: list[int] = field(compare=False)


def aligned_normal_form(text: str) -> Aligned:
    """Return what `normal_form` does, with the place of each character in the text."""
    whole = unaltered(text)
    return whole if _has_only(text, _PLAIN) else _settle(whole, _compose_aligned, _sub_aligned)


def unaltered(text: str) -> Aligned:
    """Return a text as it is, each character in its own place."""
    return Aligned(text, list(range(len(text))), list(range(1, len(text) + 1)))


def _has_only(text: str, plain: bytes) -> bool:
    return not text.encode("utf-8", "surrogatepass").translate(None, plain)


def _not_plain(texts: pa.LargeStringArray) -> NDArray[np.intp]:
    """Return the rows of the texts that can differ from their normal form."""
    _, offset_buffer, data = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset :][: len(texts) + 1]
    filled = np.flatnonzero(np.diff(offsets))
    if not len(filled):
        return filled
    start = int(offsets[0])
    content = data.slice(start, int(offsets[-1]) - start).to_pybytes()
    found = np.frombuffer(content.translate(_IS_NOT_PLAIN), np.bool_)
    return filled[np.logical_or.reduceat(found, offsets[filled] - start)]


def _settle(text: T, compose: Callable[[T], T], substitute: Substitute[T]) -> T:
    """Return a text, of whatever type, when no step changes it any more."""
    for _ in range(_PASSES):
        before = text
        text = substitute(FOLDED, fold, compose(text))
        text = substitute(_REFERENCE, _decode, substitute(_AMPERSANDS, _one_ampersand, text))
        if text == before:
            return text
    return _settle(substitute(re.compile("&"), lambda _: " ", text), compose, substitute)


def _decode(found: re.Match[str]) -> str:
    reference = found[0]
    if reference[1] != "#":
        return html5.get(reference[1:], reference)
    decoded = unescape(reference.rstrip(";") + ";")
    # NUL and what is no character at all.
    return " " if decoded in ("", "\ufffd") else decoded


def _one_ampersand(_: re.Match[str]) -> str:
    return "&"


def _sub(pattern: re.Pattern[str], replace: Replace, text: str) -> str:
    # Ten times as quick as looking for the class of characters in vain.
    if pattern is FOLDED and _has_only(text, _PLAIN_OR_AMPERSAND):
        return text
    return pattern.sub(replace, text)


def _sub_aligned(pattern: re.Pattern[str], replace: Replace, text: Aligned) -> Aligned:
    return _rewritten(
        text,
        ((found.start(), found.end(), replace(found)) for found in pattern.finditer(text.text)),
    )


def _compose_aligned(text: Aligned) -> Aligned:
    if unicodedata.is_normalized("NFC", text.text):
        return text
    pieces = ((start, end, text.text[start:end]) for start, end in pairwise(_cuts(text.text)))
    composed = ((start, end, unicodedata.normalize("NFC", piece)) for start, end, piece in pieces)
    return _rewritten(text, composed)


def _cuts(text: str) -> Iterator[int]:
    """Yield where a text can be cut so that its pieces are composed as all of it is."""
    start = 0
    yield start
    for place, character in enumerate(text):
        # No character below U+0300 composes with the one before it.
        if place and (character < "\u0300" or _begins_anew(text[start:place], character)):
            yield place
            start = place
    yield len(text)


def _begins_anew(piece: str, character: str) -> bool:
    if unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
        return False
    together = unicodedata.normalize("NFC", piece + character)
    apart = unicodedata.normalize("NFC", piece) + unicodedata.normalize("NFC", character)
    return together == apart


def _rewritten(text: Aligned, edits: Iterable[tuple[int, int, str]]) -> Aligned:
    """Return a text with other characters in some places, given in order."""
    written: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for start, end, replacement in edits:
        written += (text.text[done:start], replacement)
        starts += text.starts[done:start] + [text.starts[start]] * len(replacement)
        ends += text.ends[done:start] + [text.ends[end - 1]] * len(replacement)
        done = end
    written.append(text.text[done:])
    return Aligned("".join(written), starts + text.starts[done:], ends + text.ends[done:])
