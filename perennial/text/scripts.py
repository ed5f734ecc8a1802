"""Scripts: how many words a text has in any of them, and which put no spaces between words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from perennial.text.html import TAG
from perennial.text.normal_form import normal_form

# Scripts that are written without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, kana,
# bopomofo and Chinese characters.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"(?:(?=[{_UNSPACED}])[^\\W_])")
# A character of such a script counts as a word: words are one to four of them.
WORD = re.compile(rf"(?=[{_UNSPACED}])[^\W_]|(?:(?![{_UNSPACED}])[^\W_])+")
# From this share of the letters on, words cannot be found by spaces.
MOSTLY = 0.3


def count_words(text: str, limit: int) -> int:
    """Return how many words a text has without its tags, or `limit` if it has more.

    In scripts without spaces each character is one.
    """
    # Decomposed letters and entities are no words of their own.
    plain = normal_form(text)
    if "<" in plain:
        plain = TAG.sub(" ", plain)
    return sum(1 for _ in islice(WORD.finditer(plain), limit))


def unspaced_share(texts: Sequence[str]) -> float:
    """Return the share of the letters of some texts that have no spaces between words."""
    letters = sum(sum(map(str.isalpha, text)) for text in texts)
    unspaced = sum(sum(1 for _ in _CHARACTER.finditer(text)) for text in texts)
    return unspaced / max(letters, 1)
