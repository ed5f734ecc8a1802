"""Scripts and languages of texts, as far as their letters tell."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

_SHOWN = {"CJK": "Chinese characters", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}
_LOOKED_AT = 20_000
_LEAST_SHARE = 0.05
_LEAST_LETTERS = 200
_LEAST_LIKELY = 0.7
# A sixth of all English words, of which no other language has more than one in thirty.
_OF_ENGLISH = frozenset({"the", "and", "of", "to", "that", "you", "this", "with"})
_SURELY_ENGLISH, _LEAST_OF_ENGLISH = 0.08, 0.02


def scripts_of(text: str) -> dict[str, float]:
    """Return script -> share of the letters, the most frequent first, without rare ones."""
    counts: Counter[str] = Counter(
        unicodedata.name(letter, "").partition(" ")[0]
        for letter in text[:_LOOKED_AT]
        if letter.isalpha()
    )
    total = max(sum(counts.values()), 1)
    return {
        script: count / total
        for script, count in counts.most_common()
        if count >= _LEAST_SHARE * total
    }


def script_names(text: str) -> list[str]:
    """Return the names of the scripts of a text, the most frequent first."""
    names = [_SHOWN.get(script, script.capitalize()) for script in scripts_of(text)]
    return list(dict.fromkeys(names))


def likely_language(texts: Sequence[str]) -> str | None:
    """Return the language of some texts; None if none is clear.

    English shows in its frequent words, any other one in how frequent letters are.
    """
    # Not needed to read a problem's file, and slow to load.
    from charset_normalizer.cd import coherence_ratio

    text = " ".join(texts)[:_LOOKED_AT]
    if sum(map(str.isalpha, text)) < _LEAST_LETTERS:
        return None
    words = text.casefold().split()
    # Letters alone take a hundred English sentences for Italian ones now and then.
    english = sum(map(_OF_ENGLISH.__contains__, words)) / len(words)
    if english >= _SURELY_ENGLISH:
        return "English"
    found = coherence_ratio(text, threshold=0.1)
    language, likely = found[0] if found else ("", 0.0)
    if likely < _LEAST_LIKELY or (language == "English" and english < _LEAST_OF_ENGLISH):
        return None
    return language
