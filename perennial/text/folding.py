"""Characters that have another shape and the same meaning, and those that mean nothing at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

# Typographic quotes, and the letters that stand for an apostrophe.
_SINGLE_QUOTES = "\u2018\u2019\u201a\u201b\u2039\u203a\u02bb\u02bc"
_DOUBLE_QUOTES = "\u00ab\u00bb\u201c\u201d\u201e\u201f"
# Marks that are an apostrophe between letters and something else elsewhere: accents, a prime, a
# geresh, an Armenian stress mark.
_BETWEEN_LETTERS = "`\u00b4\u2032\u055a\u05f3"
# What no reader sees: soft hyphen, zero width characters, marks of direction, byte order marks,
# variation selectors, tags. U+200D is not among them: it joins emoji.
_UNSEEN = (
    *(range(0x00AD, 0x00AE), range(0x034F, 0x0350), range(0x061C, 0x061D)),
    *(range(0x17B4, 0x17B6), range(0x180B, 0x1810), range(0x200B, 0x200D)),
    *(range(0x200E, 0x2010), range(0x202A, 0x202F), range(0x2060, 0x2070)),
    *(range(0xFE00, 0xFE10), range(0xFEFF, 0xFF00), range(0xFFF9, 0xFFFC)),
    *(range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), range(0xE0000, 0xE0080)),
    range(0xE0100, 0xE01F0),
)
# Letters that are drawn as nothing, which people use for a space.
_BLANKS = "\u2800\u3164"
# The control characters that Python takes for white space stay what they are.
_CONTROLS = (*range(0x09), *range(0x0E, 0x1C), 0x7F, *range(0x80, 0x85), *range(0x86, 0xA0))

# Where Unicode has letters and digits a second time: letterlike symbols, ligatures, forms of
# presentation, full and half width, letters of mathematics.
_FORMS = (
    *(range(0x2100, 0x2150), range(0xFB00, 0xFE00), range(0xFE70, 0xFEFF)),
    *(range(0xFF01, 0xFFEF), range(0x1D400, 0x1D800), range(0x1EE00, 0x1EF00)),
)
_SAME_LETTER = frozenset(
    ["<wide>", "<narrow>", "<font>", "<initial>", "<medial>", "<final>", "<isolated>"]
)
# The compatibility characters that are letters of the same word: ligatures, digraphs, Roman
# numerals, the long s, the micro sign. Not among them: superscripts, fractions, circled ones.
_LIGATURES = frozenset(
    [
        *(0xB5, 0x132, 0x133, 0x149, 0x17F, *range(0x1C4, 0x1CD), *range(0x1F1, 0x1F4)),
        *(*range(0x2160, 0x2180), *range(0xFB00, 0xFB07), *range(0xFB13, 0xFB18), 0xFB4F),
    ]
)
# As ASCII they would be markup.
_MARKUP = frozenset("&<>")
# One character must not become a sentence.
_LONGEST = 4

# Flags of regions are a black flag and unseen tags, which say of which region.
_FLAG = "\U0001f3f4"
_TAGS = "\U000e0020-\U000e007f"
_ZERO_WIDTH_SPACE = "\u200b"
# Scripts that have no spaces: there the zero width space says where a word ends.
_WITHOUT_SPACES = re.compile("[\u0e00-\u109f\u1780-\u17ff]")
_JOINER = "\u200d"
_EMOJI = re.compile("[\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff]")


def fold(found: re.Match[str]) -> str:
    """Return what stands for a match of `FOLDED` in the normal form."""
    character, tagged = found[0][0], len(found[0]) > 1
    if character == _FLAG:
        return found[0]
    if tagged or character not in _BY_CONTEXT:
        return _TABLE.get(character, character)
    before = found.string[found.start() - 1 : found.start()]
    after = found.string[found.end() : found.end() + 1]
    if character == _JOINER:
        return character if _EMOJI.match(before) and _EMOJI.match(after) else ""
    if character == _ZERO_WIDTH_SPACE:
        return " " if _WITHOUT_SPACES.match(before) else ""
    return "'" if before.isalpha() and after.isalpha() else character


def _tabulate() -> Iterator[tuple[str, str]]:
    yield from ((quote, "'") for quote in _SINGLE_QUOTES)
    yield from ((quote, '"') for quote in _DOUBLE_QUOTES)
    yield from ((blank, " ") for blank in _BLANKS)
    yield from ((chr(code), "") for codes in _UNSEEN for code in codes)
    for code in (*_LIGATURES, *(code for codes in _FORMS for code in codes)):
        if (letters := _letters(chr(code))) != chr(code):
            yield chr(code), letters
    for code in _CONTROLS:
        yield chr(code), _printed(code)


def _letters(character: str) -> str:
    """Return the letters, digits or marks that a character is another form of, or itself."""
    tag, _, codes = unicodedata.decomposition(character).partition(" ")
    is_form = tag in _SAME_LETTER or ord(character) in _LIGATURES
    if not is_form:
        return character
    letters = "".join(chr(int(code, 16)) for code in codes.split())
    is_mark = unicodedata.category(character)[0] not in "LN"
    is_ascii_mark = is_mark and letters.isascii() and letters not in _MARKUP
    if (is_mark and not is_ascii_mark) or " " in letters or len(letters) > _LONGEST:
        return character
    return "".join(map(_letters, letters))


def _printed(code: int) -> str:
    """Return a space for a control character, or what it is where the text is Windows-1252."""
    try:
        printed = bytes([code]).decode("cp1252") if code > 0x7F else " "
    except UnicodeDecodeError:
        return " "
    return {**dict.fromkeys(_SINGLE_QUOTES, "'"), **dict.fromkeys(_DOUBLE_QUOTES, '"')}.get(
        printed, printed
    )


def _class_of(characters: Iterable[str]) -> str:
    """Return characters as the inside of a class of a pattern, neighbours as a range."""
    codes = sorted(map(ord, characters))
    firsts = [code for before, code in pairwise([-2, *codes]) if code - before > 1]
    lasts = [code for code, after in pairwise([*codes, 0x110001]) if after - code > 1]
    return "".join(f"\\U{one:08x}-\\U{other:08x}" for one, other in zip(firsts, lasts, strict=True))


_TABLE = dict(_tabulate())
_BY_CONTEXT = frozenset((*_BETWEEN_LETTERS, _JOINER, _ZERO_WIDTH_SPACE))
# Every character that the normal form may write differently, and those beyond U+FFFF without
# distinction: a class with many ranges there would be tried range by range for every character.
_NEAR = {each for each in (*_TABLE, *_BY_CONTEXT) if each <= "\uffff"}
FOLDED = re.compile(f"[{_class_of(_NEAR)}\U00010000-\U0010ffff][{_TAGS}]*")
