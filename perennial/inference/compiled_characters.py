"""Linear models of character n-grams, and of words beside them, compiled.

What is looked up once is kept word by word, as in `perennial.inference.compiled_text`: a word that
was seen before costs a copy of the numbers of its n-grams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from perennial.concurrency import Steps
from perennial.estimators.base import next_class
from perennial.inference.base import (
    require_class,
)
from perennial.inference.compiled_linear import LinearTextPredictor, Memo, Vocabulary, Weights
from perennial.inference.compiled_text import Occurrence, explained, word_occurrences
from perennial.inference.contribution import Explanation
from perennial.text.characters import CharacterCounter, ngrams_of
from perennial.text.normalizer import Normalizer
from perennial.text.token_offsets import Located, locate_in_steps
from perennial.text.words_and_characters import WordAndCharacterCounter

_NONE = np.empty(0, np.int64)


class _Found(NamedTuple):
    """What a raw word has of a model.

    Attributes
    ----------
    ids : tuple of int
        Of its tokens, where words are counted.
    ngrams : ndarray of int64
        Columns of its n-grams.
    tokens, known : int
        How many tokens it has, and how many of them the model has a feature of.
    """

    ids: tuple[int, ...]
    ngrams: NDArray[np.int64]
    tokens: int
    known: int


class _CharacterMemo(Memo[_Found]):
    # Where there are no spaces, a word is a clause that hardly comes twice.
    longest = 20
    generations = 8


class CharacterVocabulary:
    """The features of a counter of character n-grams as columns.

    Columns are: those of the words, if there are any (see `Vocabulary`), the n-grams, `nothing`
    (what is no feature).
    """

    def __init__(self, counter: CharacterCounter | WordAndCharacterCounter) -> None:
        characters, self.words = counter, None
        if isinstance(counter, WordAndCharacterCounter):
            characters, self.words = counter.characters_, Vocabulary(counter.words_)
        first = 0 if self.words is None else self.words.width
        self.nothing = first + len(characters.ngrams_)
        self.width = self.nothing + 1
        places = np.arange(first, self.nothing)
        before = _NONE if self.words is None else self.words.places
        self._columns: dict[str, int] = dict(
            zip(characters.ngrams_.tolist(), places.tolist(), strict=True)
        )
        self._places = np.concatenate([before, places])
        self._lengths = characters.shortest, characters.longest

    def found(self, tokens: Sequence[str]) -> _Found:
        """Return what tokens have of the features."""
        ids = () if self.words is None else self.words.ids(tokens)
        columns = [
            [self.column(each) for each in ngrams_of(token, *self._lengths)] for token in tokens
        ]
        known = sum(any(each != self.nothing for each in row) for row in columns)
        ngrams = np.array(list(chain.from_iterable(columns)), np.int64)
        return _Found(ids, ngrams, len(columns), known)

    def occurrences(self, found: Sequence[_Found]) -> NDArray[np.int64]:
        """Return the column of each occurrence of a feature in a text, n-grams first."""
        if not found:
            return _NONE
        ngrams = [each.ngrams for each in found]
        if self.words is None:
            return np.concatenate(ngrams)
        ids = np.array(list(chain.from_iterable(each.ids for each in found)), np.int64)
        pairs = self.words.pairs(ids) if self.words.bigrams and len(ids) else _NONE
        return np.concatenate([*ngrams, ids, pairs])

    def column(self, ngram: str) -> int:
        """Return the column of an n-gram."""
        return self._columns.get(ngram, self.nothing)

    def located(self, each: Located) -> Iterator[Occurrence | None]:
        """Yield the n-grams of a token with their places in the text; None for no feature."""
        # A token that was changed on its way has n-grams of no place but its own.
        moves = each.end - each.start != len(each.token)
        shortest, longest = self._lengths
        for length in range(shortest, longest + 1):
            for start, ngram in enumerate(ngrams_of(each.token, length, length), length == 1):
                column = self.column(ngram)
                if column == self.nothing:
                    yield None
                    continue
                first = each.start if moves else each.start + max(start - 1, 0)
                last = each.end if moves else min(each.start + start - 1 + length, each.end)
                yield Occurrence(column, ngram, ((first, last),))

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the counter's features as values of columns, 0 for all others."""
        spread = np.zeros(self.width)
        spread[self._places] = values
        return spread


class CompiledCharacterPredictor(LinearTextPredictor):
    """A linear model of character n-grams, with words or without, compiled.

    Get one from `compile_text_predictor`. Threads may share it, as they may a
    `CompiledTextPredictor`.
    """

    def __init__(
        self,
        model: Pipeline,
        normalizer: Normalizer,
        vocabulary: CharacterVocabulary,
        weights: Weights,
    ) -> None:
        super().__init__(model, weights.link)
        self._normalizer = normalizer
        self._vocabulary = vocabulary
        self._weights = weights
        self._memo = _CharacterMemo(lambda word: vocabulary.found(normalizer.tokens_of(word)))

    def outputs(self, inputs: Sequence[str]) -> tuple[list[list[float]], list[float]]:
        """Return the outputs of the linear form, and which share of each text's words is known."""
        answers = [self._answer(text) for text in inputs]
        return [outputs for outputs, _ in answers], [known for _, known in answers]

    def explanation_in_steps(
        self, text: str, label: str, limit: int | None = 20
    ) -> Steps[Explanation]:
        """Return what moves the decision; see `CompiledTextPredictor.explanation_in_steps`."""
        position = require_class(label, self.classes)
        rival = self._rival(text, position)
        yield
        tokens = yield from locate_in_steps(self._normalizer, text)
        occurrences = self._occurrences(tokens)
        return (yield from explained(self._weights, occurrences, position, rival, limit))

    def baseline(self, label: str, text: str = "") -> float:
        """Return the log-odds of a label without any feature, against the next class of a text."""
        position = require_class(label, self.classes)
        return self._weights.baseline(position, self._rival(text, position))

    def _rival(self, text: str, position: int) -> int:
        if self._weights.link == "logistic":
            return 1 - position
        outputs, _ = self._answer(text)
        return next_class(np.array(outputs), position)

    def forget(self) -> None:
        """Forget the words seen so far, to give back memory; answers stay the same."""
        self._memo.forget()

    def _answer(self, text: str) -> tuple[list[float], float]:
        words = self._normalizer.raw_words(text)
        found = list(map(self._memo.__getitem__, words))
        occurrences = self._vocabulary.occurrences(found)
        known = sum(each.known for each in found) / max(sum(each.tokens for each in found), 1)
        return self._weights.summed(occurrences), known

    def _occurrences(self, tokens: Sequence[Located]) -> Iterator[Occurrence | None]:
        if self._vocabulary.words is not None:
            yield from word_occurrences(self._vocabulary.words, tokens)
        for each in tokens:
            yield from self._vocabulary.located(each)
