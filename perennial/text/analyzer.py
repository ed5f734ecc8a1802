"""What is to be counted in the texts of a problem: words, groups of characters, or both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perennial.text.normal_form import normal_form
from perennial.text.scripts import MOSTLY, unspaced_share
from perennial.text.stop_words import STOP_WORDS

if TYPE_CHECKING:
    import pyarrow as pa

# So many texts are looked at, evenly spread; more say the same.
_LOOKED_AT = 2_000
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
    share = unspaced_share(looked_at)
    if share >= MOSTLY:
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
