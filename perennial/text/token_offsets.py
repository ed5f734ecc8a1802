"""Where the tokens of a text stand in it, for showing them to people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from perennial.concurrency import Steps
from perennial.text.arrow import without_surrogates
from perennial.text.normal_form import aligned_normal_form, unaltered
from perennial.text.normalizer import Normalizer

_WORD = re.compile(r"\S+")
# So many words are located in one step.
_STEP = 2_048
_CHARACTER = re.compile(r"[\ud800-\udbff][\udc00-\udfff]|.", re.DOTALL)


class Located(NamedTuple):
    """One token of a text, and the characters ``text[start:end]`` that it was made of."""

    token: str
    start: int
    end: int


def locate_in_steps(normalizer: Normalizer, text: str) -> Steps[list[Located]]:
    """Return the tokens of one text with their places, in order.

    The tokens are those of `Normalizer.words`. A place is that of the word without the
    punctuation around it; tokens that stand for one contraction together share its place.

    Parameters
    ----------
    normalizer : Normalizer
        What made, or would make, the tokens.
    text : str
        The text as it was sent; places count its code points.
    """
    whole = without_surrogates(text)
    places = _places(text, len(whole))
    form = aligned_normal_form(whole) if normalizer.preparation.normal_form else unaltered(whole)
    yield
    blanked = normalizer.blanked(form.text)
    yield
    # A text may say one thing very often.
    tokens_of = cache(normalizer.tokens_of)
    found: list[Located] = []
    for number, (part, start, end) in enumerate(_parts(normalizer, blanked), 1):
        if not number % _STEP:
            yield
        first, last = places[form.starts[start]], places[form.ends[end - 1]]
        found += (Located(token, first, last) for token in tokens_of(part))
    return found


def _parts(normalizer: Normalizer, blanked: str) -> Iterator[tuple[str, int, int]]:
    """Yield what stands between spaces, cut as tokens are, without apostrophes around it."""
    for word in _WORD.finditer(blanked):
        start = word.start()
        for part in normalizer.parts(word[0]):
            inner = part.strip("'") if normalizer.preparation.punctuation else part
            first = start + part.find(inner)
            yield part, first, first + len(inner)
            start += len(part)


def _places(text: str, length: int) -> Sequence[int]:
    """Return where each character of the text without surrogates, and its end, is in the text."""
    if length == len(text):
        return range(length + 1)
    return [*(character.start() for character in _CHARACTER.finditer(text)), len(text)]
