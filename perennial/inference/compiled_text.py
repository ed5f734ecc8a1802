"""Linear models of words, compiled: a text is looked up word by word.

A pipeline of scikit-learn spends most of its time for one text on the calls between its parts. A
linear model needs none of them: a few dictionaries and lists are made of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from perennial.concurrency import Steps
from perennial.inference.base import (
    require_class,
)
from perennial.inference.compiled_linear import (
    LinearTextPredictor,
    Memo,
    Vocabulary,
    Weights,
    WordWeights,
)
from perennial.inference.contribution import MOST_SPANS, Contribution, Explanation
from perennial.text.normalizer import Normalizer
from perennial.text.token_offsets import Located, locate_in_steps

# So many texts are handled together, so that temporary memory does not grow with their number.
_BLOCK = 128
# So many features, or what could be one, are looked at in one step of an explanation.
_STEP = 2_048


class CompiledTextPredictor(LinearTextPredictor):
    """A linear model of words, compiled; get one from `compile_text_predictor`.

    Its answers are the pipeline's but for the order of summation, which depends on the number of
    texts in a call: probabilities differ by some 1e-15. Threads may share it: it changes nothing
    but its memo of words, by single operations on dictionaries, and a word that two threads look
    up at once gets the same value from both.
    """

    def __init__(
        self,
        model: Pipeline,
        normalizer: Normalizer,
        vocabulary: Vocabulary,
        weights: WordWeights,
    ) -> None:
        super().__init__(model, weights.link)
        self._normalizer = normalizer
        self._vocabulary = vocabulary
        self._weights = weights
        self._memo: Memo[tuple[int, ...]] = Memo(
            lambda word: vocabulary.ids(normalizer.tokens_of(word))
        )

    def outputs(self, inputs: Sequence[str]) -> tuple[list[list[float]], list[float]]:
        """Return the outputs of the linear form, and which share of each text's words is known."""
        nothing = self._vocabulary.nothing
        outputs: list[list[float]] = []
        known: list[float] = []
        for start in range(0, len(inputs), _BLOCK):
            documents = [self._ids(text) for text in inputs[start : start + _BLOCK]]
            outputs += self._weights.outputs(documents)
            known += [1 - ids.count(nothing) / len(ids) if ids else 0.0 for ids in documents]
        return outputs, known

    def explanation_in_steps(
        self, text: str, label: str, limit: int | None = 20
    ) -> Steps[Explanation]:
        """Return what moves the decision on this text most; see `Predictor`.

        All contributions and the `baseline` add up to the log-odds of the label, calibrated if the
        model is; the threshold that they are compared with is no part of them: of two classes
        against the other one, of more the score against that of the next most probable class.
        """
        position = require_class(label, self.classes)
        rival = self._weights.rival(self._ids(text), position)
        yield
        tokens = yield from locate_in_steps(self._normalizer, text)
        occurrences = word_occurrences(self._vocabulary, tokens)
        return (yield from explained(self._weights, occurrences, position, rival, limit))

    def baseline(self, label: str, text: str = "") -> float:
        """Return the log-odds of a label without any word, against the next class of a text."""
        position = require_class(label, self.classes)
        return self._weights.baseline(position, self._weights.rival(self._ids(text), position))

    def forget(self) -> None:
        """Forget the words seen so far, to give back memory; answers stay the same."""
        self._memo.forget()

    def _ids(self, text: str) -> list[int]:
        words = self._normalizer.raw_words(text)
        return list(chain.from_iterable(map(self._memo.__getitem__, words)))


class Occurrence(NamedTuple):
    """A feature where it occurs in a text.

    Attributes
    ----------
    column : int
        Its column.
    feature : str
        Its name.
    spans : tuple of (start, end)
        Its places in the text as it was sent.
    """

    column: int
    feature: str
    spans: tuple[tuple[int, int], ...]


def explained(
    weights: Weights,
    occurrences: Iterable[Occurrence | None],
    position: int,
    rival: int,
    limit: int | None,
) -> Steps[Explanation]:
    """Return what the features of a text contribute to a class against another.

    Parameters
    ----------
    weights : Weights
        Of the model.
    occurrences : iterable of Occurrence or None
        Wherever a feature is in the text; None for what could be one, as it is work as well.
    position, rival : int
        The classes.
    limit : int or None
        How many contributions at most; None means all.
    """
    features: dict[int, str] = {}
    places: dict[int, list[tuple[int, int]]] = {}
    counts: Counter[int] = Counter()
    for number, each in enumerate(occurrences, 1):
        if not number % _STEP:
            yield
        if each is None:
            continue
        features[each.column] = each.feature
        known = places.setdefault(each.column, [])
        if len(known) < MOST_SPANS:
            known.extend(each.spans)
        counts[each.column] += 1
    values = weights.values(counts)
    found: list[Contribution] = []
    for column, feature in features.items():
        if not len(found) % _STEP:
            yield
        contribution = weights.towards(position, rival, column) * values[column]
        found.append(Contribution(feature, contribution, tuple(dict.fromkeys(places[column]))))
    return Explanation.of(found, weights.baseline(position, rival), limit)


def word_occurrences(
    vocabulary: Vocabulary, tokens: Sequence[Located]
) -> Iterator[Occurrence | None]:
    """Yield each word and pair of words that is a feature, wherever it occurs; None for others."""
    ids = [vocabulary.unigram(each.token) for each in tokens]
    for column, each in zip(ids, tokens, strict=True):
        is_feature = vocabulary.is_feature(column)
        yield Occurrence(column, each.token, ((each.start, each.end),)) if is_feature else None
    pairs = vocabulary.pairs(np.array(ids, np.int64)).tolist()
    for column, (first, second) in zip(pairs, pairwise(tokens), strict=True):
        if not vocabulary.is_feature(column):
            yield None
            continue
        spans = ((first.start, first.end), (second.start, second.end))
        yield Occurrence(column, f"{first.token} {second.token}", spans)
