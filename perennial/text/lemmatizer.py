"""The lemma of an English word, as NLTK's `WordNetLemmatizer` gives it, without NLTK.

The table in `data/wordnet_lemmas.xz` holds what NLTK needs WordNet for; `tools.build_lemmas`
writes it. Text of eight lines, words separated by spaces: for each of noun, verb, adjective and
adverb a line with the lemmas that are one word, then a line with pairs of a word and its lemma
where the suffix rules alone would not tell (went go, us u).
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

# For each part of speech and last letter: suffix and what replaces it. NLTK takes the shortest
# lemma and the first among equals; the rules stand in that order, so the first hit is the answer.
_RULES: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "n": {
        "s": (
            ("ses", "s"),
            ("ves", "f"),
            ("xes", "x"),
            ("zes", "z"),
            ("ches", "ch"),
            ("shes", "sh"),
            ("ies", "y"),
            ("s", ""),
        ),
        "n": (("men", "man"),),
    },
    "v": {
        "s": (("ies", "y"), ("es", ""), ("s", ""), ("es", "e")),
        "d": (("ed", ""), ("ed", "e")),
        "g": (("ing", ""), ("ing", "e")),
    },
    "a": {
        "r": (("er", ""), ("er", "e")),
        "t": (("est", ""), ("est", "e")),
    },
    "r": {},
}


class _Words(NamedTuple):
    """What one part of speech knows."""

    lemmas: frozenset[str]
    irregular: dict[str, str]
    rules: dict[str, tuple[tuple[str, str], ...]]


class Lemmatizer:
    """Looks up lemmas; equal to `nltk.stem.WordNetLemmatizer` for every single word.

    Get one from `load_lemmas`. It never changes, so threads may share it.
    """

    __slots__ = ("_words",)

    def __init__(self, words: Mapping[str, _Words]) -> None:
        self._words = words

    def lemmatize(self, word: str, pos: str = "n") -> str:
        """Return the shortest lemma of `word`, or `word` itself when WordNet has none.

        This is NLTK's version of WordNet's morphy: a word of the exception lists gives what is
        listed there; other words lose one suffix; what WordNet does not know is dropped; of the
        rest, the word itself included, the shortest wins. NLTK's oddities are kept: as nouns
        `was` gives `wa`, `us` gives `u` and `has` gives `ha`; capitals are never found, so lower
        case first; and a few exceptions name a compound (`bases-on-balls` gives `base_on_balls`).

        Parameters
        ----------
        word
            One word. Compounds joined by underscores are not in the table: they are treated as
            words that WordNet does not know, where NLTK would find some.
        pos
            Part of speech: `n` noun, `v` verb, `a` or `s` adjective, `r` adverb.

        Raises
        ------
        KeyError
            When `pos` is none of these, as in NLTK.
        """
        lemmas, irregular, rules = self._words[pos]
        if word in irregular:
            return irregular[word]
        if word in lemmas:
            return word
        for suffix, ending in rules.get(word[-1:], ()):
            if word.endswith(suffix):
                lemma = word[: -len(suffix)] + ending
                if lemma in lemmas:
                    return lemma
        return word


@cache
def load_lemmas() -> Lemmatizer:
    """Return the lemmatizer; the first call reads its table, later calls return the same one."""
    table = files("perennial.text") / "data" / "wordnet_lemmas.xz"
    lines = iter(lzma.decompress(table.read_bytes()).decode().splitlines())
    words = {
        pos: _Words(frozenset(next(lines).split()), _pairs(next(lines)), rules)
        for pos, rules in _RULES.items()
    }
    return Lemmatizer({**words, "s": words["a"]})


def _pairs(line: str) -> dict[str, str]:
    words = iter(line.split())
    return dict(zip(words, words, strict=True))
