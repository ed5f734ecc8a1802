"""The parts of a compiled linear text model: words to ids, ids to columns, columns to outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from math import log
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from perennial.classifiers.linear_form import probabilities_of
from perennial.estimators.base import LinearForm, Link, next_class
from perennial.inference.base import Assessment, DecidingPredictor, require_several
from perennial.inference.warnings import warnings_of
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import MEMO_WORD_LENGTH

V = TypeVar("V")

# Size of each of the two generations of the memo, bounded because a service sees new words forever.
# All words of 25,000 film reviews, in all their spellings, are about as many.
MEMO_WORDS = 100_000
# Batch size from which NumPy beats plain Python at summing up unigrams.
_MANY = 8


class Memo(dict[str, V]):
    """Raw words and what is known of them, such as the ids of their tokens; looking one up adds it.

    When it is full it becomes the older generation and starts anew, so that the words that are in
    use come back without being normalised again and the others are forgotten.
    """

    longest = MEMO_WORD_LENGTH
    generations = 2
    """How many generations all words that are remembered would be."""

    def __init__(self, find: Callable[[str], V]) -> None:
        super().__init__()
        self._find = find
        self.older: dict[str, V] = {}

    def forget(self) -> None:
        """Forget both generations."""
        self.older = {}
        self.clear()

    def __missing__(self, word: str) -> V:
        found = self.older.get(word)
        if found is None:
            found = self._find(word)
        if len(word) <= self.longest:
            if len(self) >= 2 * MEMO_WORDS // self.generations:
                self.older = self.copy()
                self.clear()
            self[word] = found
        return found


class LinearTextPredictor(DecidingPredictor):
    """A compiled linear model of texts: outputs of its linear form, and what they mean.

    Attributes
    ----------
    link : {"logistic", "softmax", "one_vs_rest"}
        How outputs become probabilities.
    """

    has_low_call_overhead = True

    def __init__(self, model: Pipeline, link: Link) -> None:
        super().__init__(model)
        self.link = link

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
        return self.assess(inputs).probabilities

    def assess(self, inputs: Sequence[str]) -> Assessment:
        """Return probabilities, and which share of each text's words the model knows."""
        require_several(inputs)
        outputs, known = self.outputs(inputs)
        rows = [probabilities_of(each, self.link) for each in outputs]
        found = np.array(rows, np.float64).reshape(len(rows), len(self.classes))
        return Assessment(found, warnings_of(known), known)

    @abstractmethod
    def outputs(self, inputs: Sequence[str]) -> tuple[list[list[float]], list[float]]:
        """Return the outputs of the linear form, and which share of each text's words is known."""

    @abstractmethod
    def forget(self) -> None:
        """Forget the words seen so far, to give back memory; answers stay the same."""


class Columns(Protocol):
    """Where the features of a counter are among the columns of a compiled model."""

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the counter's features as values of columns, 0 for all others."""
        ...


class Vocabulary:
    """The features of a counter as columns, so that a token's id is the column of its unigram.

    Columns are: the words, `nothing` (what is no feature), the bigrams. Words that only bigrams
    need and `nothing` have no weight, so that nobody has to leave them out.

    Bigrams are found in a sorted array. A dictionary of them is quicker for a text that was just
    asked before, and up to three times slower for any other: it is spread over so much memory that
    the processor's caches do not hold it.
    """

    def __init__(self, counter: NgramCounter) -> None:
        n_words, keys = len(counter.words_), counter.keys_
        unigrams, pairs = keys[keys < n_words], keys[keys >= n_words]
        first, second = np.divmod(pairs - n_words, n_words)
        self._ids = dict(zip(counter.words_.tolist(), range(n_words), strict=True))
        # `nothing` counts as a word here. The last key stands behind all that are looked up.
        keys = first * (n_words + 1) + second
        self._pairs = np.append(keys, np.iinfo(np.int64).max)

        self.bigrams = len(pairs) > 0
        self.nothing = n_words
        self.width = n_words + 1 + len(pairs)
        # The column of each feature of the counter.
        self.places = np.concatenate([unigrams, np.arange(n_words + 1, self.width)])
        self._is_feature = np.zeros(self.width, np.bool_)
        self._is_feature[self.places] = True

    def ids(self, tokens: Sequence[str]) -> tuple[int, ...]:
        """Return the ids of tokens; unknown ones keep others apart, and are counted."""
        return tuple(map(self.unigram, tokens))

    def unigram(self, token: str) -> int:
        """Return the id of a token, which is the column of its unigram."""
        column: int = self._ids.get(token, self.nothing)
        return column

    def pairs(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the column of each pair of neighbours, one fewer than there are ids."""
        return self.columns(self.keys(ids))

    def keys(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a number for each pair of neighbours, the same for the same two."""
        return ids[:-1] * (self.nothing + 1) + ids[1:]

    def columns(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the columns of pairs; sorted keys are found several times as soon."""
        found = self._pairs.searchsorted(keys)
        columns: NDArray[np.int64] = np.where(
            self._pairs[found] == keys, found + (self.nothing + 1), self.nothing
        )
        return columns

    def is_feature(self, column: int) -> bool:
        """Tell whether the model knows the column as a feature."""
        return bool(self._is_feature[column])

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the counter's features as values of columns, 0 for all others."""
        spread = np.zeros(self.width)
        spread[self.places] = values
        return spread


class Weights:
    """From the columns of a document's features to the outputs of the linear form.

    Weights hold the inverse document frequencies already.
    """

    def __init__(
        self,
        columns: Columns,
        weighting: TfidfTransformer | None,
        form: LinearForm,
        *,
        binary: bool,
    ) -> None:
        idf = getattr(weighting, "idf_", np.ones(form.weights.shape[1]))
        norm = None if weighting is None else weighting.norm
        self.link = form.link
        self._weights = np.array([columns.spread(row * idf) for row in form.weights])
        self._intercepts = form.intercepts
        self._binary = binary
        self._sublinear = weighting is not None and weighting.sublinear_tf
        self._power = {None: 0, "l1": 1, "l2": 2}[norm]
        self._sizes = columns.spread(idf**self._power)

    def summed(self, occurrences: NDArray[np.int64]) -> list[float]:
        """Return the outputs for one document by the column of each occurrence of a feature.

        They are sorted in place.
        """
        columns, counts = _distinct(occurrences)
        values = self._values(counts)
        length = self._length(self._sizes[columns] @ values**self._power)
        outputs: list[float] = (
            self._weights[:, columns] @ values / length + self._intercepts
        ).tolist()
        return outputs

    def values(self, counts: Mapping[int, int]) -> dict[int, float]:
        """Return the value of each column of one document, without its weight."""
        columns = np.fromiter(counts.keys(), np.int64, len(counts))
        values = self._values(np.fromiter(counts.values(), np.float64, len(counts)))
        length = self._length(np.sum(self._sizes[columns] * values**self._power))
        return dict(zip(counts, (values / length).tolist(), strict=True))

    def towards(self, position: int, rival: int, column: int) -> float:
        """Return the weight of a column for one class against another one."""
        return self._against(self._weights[:, column], position, rival)

    def baseline(self, position: int, rival: int) -> float:
        """Return the intercept for one class against another one."""
        return self._against(self._intercepts, position, rival)

    def _against(self, outputs: NDArray[np.float64], position: int, rival: int) -> float:
        if self.link == "logistic":
            return float(outputs[0] if position else -outputs[0])
        return float(outputs[position] - outputs[rival])

    def _values(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._binary:
            return np.ones(len(counts))
        return 1 + np.log(counts) if self._sublinear else counts

    def _length(self, sizes: Any) -> Any:
        """Return by what rows are divided; those without features stay rows of zeros."""
        if not self._power:
            return np.ones_like(sizes)
        return np.where(sizes > 0, sizes ** (1 / self._power), 1.0)


class WordWeights(Weights):
    """From the token ids of documents to the outputs of the linear form.

    Unigrams of a few texts are summed up from lists, all else with NumPy, whichever is quicker.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        weighting: TfidfTransformer | None,
        form: LinearForm,
        *,
        binary: bool,
    ) -> None:
        super().__init__(vocabulary, weighting, form, binary=binary)
        self._vocabulary = vocabulary
        self._adds_up = not (self._binary or self._sublinear or self._power)
        if not vocabulary.bigrams:
            self._rows: list[list[float]] = self._weights.tolist()
            self._row_sizes: list[float] = self._sizes.tolist()
            self._constants: list[float] = self._intercepts.tolist()

    def rival(self, document: list[int], position: int) -> int:
        """Return the class with the highest output for a document beside a given one."""
        if self.link == "logistic":
            return 1 - position
        (outputs,) = self.outputs([document])
        return next_class(np.array(outputs), position)

    def outputs(self, documents: list[list[int]]) -> list[list[float]]:
        """Return the outputs of the linear form for each document."""
        if self._vocabulary.bigrams:
            return self._one(documents[0]) if len(documents) == 1 else self._many(documents)
        if self._adds_up:
            return [self._added(ids) for ids in documents]
        if len(documents) >= _MANY:
            return self._many(documents)
        return [self._summed(ids) for ids in documents]

    def _added(self, ids: list[int]) -> list[float]:
        """Return the outputs where every occurrence adds the same."""
        return list(
            map(add, [sum(map(row.__getitem__, ids)) for row in self._rows], self._constants)
        )

    def _summed(self, ids: list[int]) -> list[float]:
        """Return the outputs for unigrams.

        Most occur once in a text: sums over the distinct ones are right for those, and the few
        others are corrected.
        """
        distinct: Collection[int] = set(ids)
        repeated: list[tuple[int, float]] = []
        if len(distinct) < len(ids) and not self._binary:
            distinct = counts = Counter(ids)
            repeated = [(each, count) for each, count in counts.items() if count > 1]
            if self._sublinear:
                repeated = [(each, 1 + log(count)) for each, count in repeated]
        length, power = 1.0, self._power
        if power:
            sizes = self._row_sizes
            size = sum(map(sizes.__getitem__, distinct))
            for column, value in repeated:
                size += sizes[column] * (value**power - 1)
            # A document without features stays a row of zeros.
            length = size ** (1 / power) or 1.0
        outputs = []
        for row, constant in zip(self._rows, self._constants, strict=True):
            total = sum(map(row.__getitem__, distinct))
            for column, value in repeated:
                total += row[column] * (value - 1)
            outputs.append(total / length + constant)
        return outputs

    def _one(self, document: list[int]) -> list[list[float]]:
        """Do what `_many` does for one document with fewer calls of NumPy, which are its cost."""
        ids = np.array(document, np.int64)
        return [self.summed(np.concatenate([ids, self._vocabulary.pairs(ids)]))]

    def _many(self, documents: list[list[int]]) -> list[list[float]]:
        columns, rows, counts = self._counted(documents)
        values = self._values(counts)

        def sums(weights: NDArray[np.float64], each: NDArray[np.float64]) -> NDArray[np.float64]:
            added = np.bincount(rows, weights[columns] * each, minlength=len(documents))
            return np.asarray(added, np.float64)

        length = self._length(sums(self._sizes, values**self._power))
        totals = np.stack([sums(weights, values) for weights in self._weights], axis=1)
        outputs: list[list[float]] = (totals / length[:, None] + self._intercepts).tolist()
        return outputs

    def _counted(
        self, documents: list[list[int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return columns, the documents they occur in, and how often.

        They come in the order of columns: documents one after another would go through all of the
        vocabulary and the weights each time, and these are larger than the processor's caches.
        """
        vocabulary = self._vocabulary
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        ids = np.fromiter(chain.from_iterable(documents), np.int64, int(lengths.sum()))
        owners = np.repeat(np.arange(len(documents)), lengths)
        columns, rows, counts = _distinct_in(ids, owners, len(documents))
        if not vocabulary.bigrams:
            return columns, rows, counts
        inside = owners[1:] == owners[:-1]
        keys, pair_rows, pair_counts = _distinct_in(
            vocabulary.keys(ids)[inside], owners[1:][inside], len(documents)
        )
        pairs = vocabulary.columns(keys)
        known = np.flatnonzero(pairs != vocabulary.nothing)
        return (
            np.concatenate([columns, pairs[known]]),
            np.concatenate([rows, pair_rows[known]]),
            np.concatenate([counts, pair_counts[known]]),
        )


def _distinct_in(
    values: NDArray[np.int64], owners: NDArray[np.int64], n_owners: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the distinct values of each owner, sorted by value, and how often each occurs."""
    # Both in one number, as they are sorted sooner together.
    bits = n_owners.bit_length()
    places, counts = _distinct(values << bits | owners)
    return places >> bits, places & ((1 << bits) - 1), counts


def _distinct(
    places: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the distinct values and how often each occurs; sorts the given ones in place."""
    places.sort()
    is_first = np.ones(len(places), np.bool_)
    np.not_equal(places[1:], places[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    counts: NDArray[np.float64] = np.diff(first, append=len(places)).astype(np.float64)
    return places[first], counts
