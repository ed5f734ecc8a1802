"""Linear models of texts, compiled: a text is looked up word by word.

A pipeline of scikit-learn spends most of its time for one text on the calls between its parts. A
linear model needs none of them: `compile_text_predictor` makes a few dictionaries and lists of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from perennial.classifiers.linear_form import linear_form, probabilities_of
from perennial.inference.base import DecidingPredictor, require_class
from perennial.inference.compiled_linear import Memo, Vocabulary, Weights
from perennial.inference.contribution import Contribution
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import Normalizer, TextNormalizer
from perennial.text.normalizer import normalizer as normalizer_of
from perennial.text.token_offsets import Located, locate

# So many texts are handled together, so that temporary memory does not grow with their number.
_BLOCK = 128


def compile_text_predictor(model: Pipeline) -> CompiledTextPredictor | None:
    """Return a fitted linear model of texts as dictionaries and lists.

    Returns
    -------
    CompiledTextPredictor or None
        None if the model is not a `TextNormalizer`, an `NgramCounter`, possibly a
        ``TfidfTransformer``, and a classifier that has a linear form (see
        `perennial.classifiers.linear_form`), with or without a threshold.
    """
    steps = [step for _, step in model.steps]
    kinds = [type(step) for step in steps[:-1]]
    if kinds == [TextNormalizer, NgramCounter]:
        normalizer, counter, weighting = *steps[:2], None
    elif kinds == [TextNormalizer, NgramCounter, TfidfTransformer]:
        normalizer, counter, weighting = steps[:3]
    else:
        return None
    form = linear_form(steps[-1])
    if form is None:
        return None
    vocabulary = Vocabulary(counter)
    return CompiledTextPredictor(
        model,
        normalizer_of(normalizer.preparation),
        vocabulary,
        Weights(vocabulary, counter, weighting, form),
    )


class CompiledTextPredictor(DecidingPredictor):
    """A linear model of texts, compiled; get one from `compile_text_predictor`.

    Its answers are the pipeline's but for the order of summation, which depends on the number of
    texts in a call: probabilities differ by some 1e-15. Threads may share it: it changes nothing
    but its memo of words, by single operations on dictionaries, and a word that two threads look
    up at once gets the same value from both.
    """

    has_low_call_overhead = True

    def __init__(
        self,
        model: Pipeline,
        normalizer: Normalizer,
        vocabulary: Vocabulary,
        weights: Weights,
    ) -> None:
        super().__init__(model)
        self._normalizer = normalizer
        self._vocabulary = vocabulary
        self._weights = weights
        self._memo = Memo(lambda word: vocabulary.ids(normalizer.tokens_of(word)))

    def probabilities(self, inputs: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each class for raw texts.

        Parameters
        ----------
        inputs : sequence of str
            Any texts: empty ones, and ones with NUL or lone surrogates, are as good as others.

        Returns
        -------
        ndarray of float64, shape (n_inputs, n_classes)

        Raises
        ------
        TypeError
            If `inputs` is one text instead of a sequence of them.
        """
        if isinstance(inputs, str):
            raise TypeError("expected a sequence of texts, got one text; put it into a list")
        link = self._weights.link
        rows: list[tuple[float, ...]] = []
        for start in range(0, len(inputs), _BLOCK):
            documents = [self._ids(text) for text in inputs[start : start + _BLOCK]]
            rows += [probabilities_of(each, link) for each in self._weights.outputs(documents)]
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes))

    def explain(self, text: str, label: str, limit: int | None = 20) -> list[Contribution]:
        """Return what moves the decision on this text most; see `Predictor.explain`.

        All contributions and the `baseline` add up to the log-odds of the label, calibrated if the
        model is; the threshold that they are compared with is no part of them: of two classes
        against the other one, of more the score against that of the next most probable class.
        """
        position = require_class(label, self.classes)
        rival = self._weights.rival(self._ids(text), position)
        features: dict[int, str] = {}
        places: dict[int, list[tuple[int, int]]] = {}
        counts: Counter[int] = Counter()
        for column, feature, spans in self._occurrences(locate(self._normalizer, text)):
            features[column] = feature
            places.setdefault(column, []).extend(spans)
            counts[column] += 1
        values = self._weights.values(counts)
        found = [
            Contribution(
                feature,
                self._weights.towards(position, rival, column) * values[column],
                tuple(dict.fromkeys(places[column])),
            )
            for column, feature in features.items()
        ]
        found.sort(key=lambda each: (-abs(each.contribution), each.feature))
        return found[:limit]

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

    def _occurrences(
        self, tokens: Sequence[Located]
    ) -> Iterator[tuple[int, str, tuple[tuple[int, int], ...]]]:
        """Yield column, name and spans of each feature wherever it occurs."""
        vocabulary = self._vocabulary
        ids = [vocabulary.unigram(each.token) for each in tokens]
        for column, each in zip(ids, tokens, strict=True):
            if vocabulary.is_feature(column):
                yield column, each.token, ((each.start, each.end),)
        pairs = vocabulary.pairs(np.array(ids, np.int64)).tolist()
        for column, (first, second) in zip(pairs, pairwise(tokens), strict=True):
            if vocabulary.is_feature(column):
                spans = ((first.start, first.end), (second.start, second.end))
                yield column, f"{first.token} {second.token}", spans
