"""Scripts: how many words a text has in any of them, and what is to be counted in its language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from perennial.text.html import TAG
from perennial.text.normal_form import normal_form
from perennial.text.stop_words import STOP_WORDS

if TYPE_CHECKING:
    import pyarrow as pa

# Scripts that are written without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, kana,
# bopomofo and Chinese characters.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"(?:(?=[{_UNSPACED}])[^\\W_])")
# A character of such a script counts as a word: words are one to four of them.
WORD = re.compile(rf"(?=[{_UNSPACED}])[^\W_]|(?:(?![{_UNSPACED}])[^\W_])+")
# So many texts are looked at, evenly spread; more say the same.
_LOOKED_AT = 2_000
# From this share of characters on, words cannot be found by spaces.
_MOSTLY = 0.3
# Texts that are so short share few words.
_FEW_WORDS = 15
# English has at least this share of its stop words; other languages share a few of their spellings.
_ENGLISH = 0.25


@dataclass(frozen=True)
class AnalyzerChoice:
    """What is counted in the texts of a problem, and why, as a clause."""

    analyzer: Literal["words", "characters", "both"]
    reason: str

    @property
    def meaning(self) -> str:
        """What is counted, as a noun."""
        return {
            "words": "words",
            "characters": "groups of characters",
            "both": "words and groups of characters",
        }[self.analyzer]


def count_words(text: str, limit: int) -> int:
    """Return how many words a text has without its tags, or `limit` if it has more.

    In scripts without spaces each character is one.
    """
    # Decomposed letters and entities are no words of their own.
    plain = normal_form(text)
    if "<" in plain:
        plain = TAG.sub(" ", plain)
    return sum(1 for _ in islice(WORD.finditer(plain), limit))


def choose_analyzer(texts: pa.Array) -> AnalyzerChoice:
    """Return what to count in texts: words, groups of characters, or both.

    Words alone are best in longer texts in English. Where there are no spaces, groups of characters
    take their place; other languages have more endings, and short texts few words in common, so
    that both together tell more.

    Parameters
    ----------
    texts : Array of str, shape (n_documents,)
        Raw texts.
    """
    step = max(1, len(texts) // _LOOKED_AT)
    looked_at = [normal_form(text) for text in texts[::step].to_pylist()[:_LOOKED_AT]]
    letters = sum(sum(map(str.isalpha, text)) for text in looked_at)
    unspaced = sum(sum(1 for _ in _CHARACTER.finditer(text)) for text in looked_at)
    share = unspaced / max(letters, 1)
    if share >= _MOSTLY:
        return AnalyzerChoice(
            "characters", f"{share:.0%} of the letters are of a script without spaces"
        )
    lengths = sorted(len(text.split()) for text in looked_at)
    middle = lengths[len(lengths) // 2] if lengths else 0
    if middle <= _FEW_WORDS:
        return AnalyzerChoice("both", f"half of the texts have {middle} words or fewer")
    words = [word for text in looked_at for word in re.findall(r"[^\W\d_]+", text.lower())]
    frequent = sum(word in STOP_WORDS for word in words) / max(len(words), 1)
    if frequent >= _ENGLISH:
        return AnalyzerChoice("words", "the texts are in English")
    return AnalyzerChoice("both", "the texts are in another language than English")
