"""Texts of records: weighted counts of their words and of the characters in them."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from perennial.encoders.blocks import Floats, beside
from perennial.text.ngrams import NgramCounter
from perennial.text.normal_form import normal_value
from perennial.text.normalizer import TextNormalizer, normalizer

Analyzer = Literal["auto", "words", "characters", "both"]
# N-grams of characters are hashed into so many columns, of which those that occur are kept.
_HASHED = 1 << 20
# Texts of fewer words are names, and longer words are those of scripts without spaces.
_FEW_WORDS, _LONG_WORD = 3.0, 14.0
_CHARACTERS = (2, 5)
# So many texts are counted one by one.
_FEW = 32


class TextEncoder(BaseEstimator):  # type: ignore[misc]
    """Encode the texts of one field as a sparse matrix of tf-idf weights.

    Parameters
    ----------
    analyzer : {"auto", "words", "characters", "both"}
        Words with pairs of neighbours, n-grams of two to five characters within words, or both.
        With "auto" characters, if texts are names or have no spaces between words, else words.
    min_documents : int
        Features that occur in fewer training documents are left out.
    max_features : int
        Only so many features of each sort, the most frequent ones, are kept.

    Attributes
    ----------
    counter_ : NgramCounter or None
        The words, None if no word of training is frequent enough.
    hashed_ : ndarray of int32 or None
        The columns of hashed n-grams of characters that are kept, sorted.
    word_idf_, character_idf_ : ndarray of float64 or None
        The inverse document frequencies.
    """

    # What each word's place is, made when it is first needed.
    _places: dict[str, int] | None = None

    def __init__(
        self,
        *,
        analyzer: Analyzer = "auto",
        min_documents: int = 2,
        max_features: int = 100_000,
    ) -> None:
        self.analyzer = analyzer
        self.min_documents = min_documents
        self.max_features = max_features

    def fit_transform(self, texts: Collection[str]) -> sparse.csr_array:
        """Learn words and weights; return the matrix of the same texts."""
        self.counter_, self.word_idf_, self.character_idf_ = None, None, None
        self.hashed_: NDArray[np.int32] | None = None
        analyzer = _chosen(texts) if self.analyzer == "auto" else self.analyzer
        if analyzer != "characters":
            counter = NgramCounter(
                bigrams=True, min_documents=self.min_documents, max_features=self.max_features
            )
            try:
                counts = counter.fit_transform(_normalizer().transform(texts))
            except ValueError:
                # No word is frequent enough.
                counts = None
            if counts is not None:
                self.counter_, self.word_idf_ = counter, _idf(counts)
        if analyzer != "words":
            counts = _characters(texts)
            self.hashed_ = self._frequent(counts)
            self.character_idf_ = _idf(counts[:, self.hashed_])
        return self.transform(texts)

    def transform(self, texts: Collection[str]) -> sparse.csr_array:
        """Return the matrix of texts."""
        parts = []
        if self.counter_ is not None and self.word_idf_ is not None:
            parts.append(_weighted(self._words(texts, self.counter_), self.word_idf_))
        if self.hashed_ is not None and self.character_idf_ is not None:
            parts.append(_weighted(_kept(_characters(texts), self.hashed_), self.character_idf_))
        return beside(parts) if parts else sparse.csr_array((len(texts), 0))

    def _frequent(self, counts: sparse.csr_array) -> NDArray[np.int32]:
        documents = np.bincount(counts.indices, minlength=counts.shape[1])
        kept = np.flatnonzero(documents >= self.min_documents)
        if len(kept) > self.max_features:
            best = np.argsort(-documents[kept], kind="stable")[: self.max_features]
            kept = np.sort(kept[best])
        return kept.astype(np.int32)

    def _words(self, texts: Collection[str], counter: NgramCounter) -> sparse.csr_array:
        """Return the counts of words; of a few texts without what it costs to begin with many."""
        if len(texts) > _FEW:
            return counter.transform(_normalizer().transform(texts))
        if self._places is None:
            words = counter.words_.tolist()
            self._places = dict(zip(words, range(len(words)), strict=True))
        find, n_words = self._places.get, len(counter.words_)
        words_of = normalizer(_normalizer().preparation).words
        columns, counts, ends = [], [], [0]
        for text in texts:
            ids = np.array([find(word, -1) for word in words_of(text)], np.int64)
            first, second = ids[:-1], ids[1:]
            pairs = (n_words + first * n_words + second)[(first >= 0) & (second >= 0)]
            keys = np.concatenate([ids[ids >= 0], pairs])
            found = np.minimum(counter.keys_.searchsorted(keys), len(counter.keys_) - 1)
            each, times = np.unique(found[counter.keys_[found] == keys], return_counts=True)
            columns.append(each)
            counts.append(times)
            ends.append(ends[-1] + len(each))
        data = np.concatenate(counts).astype(np.float64)
        shape = (len(texts), len(counter.keys_))
        return sparse.csr_array((data, np.concatenate(columns), np.array(ends)), shape=shape)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the places, which the counter holds already."""
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_places"}

    def names(self) -> list[str]:
        """Return the name of each column."""
        words = [] if self.counter_ is None else self.counter_.get_feature_names_out().tolist()
        hashed = [] if self.hashed_ is None else self.hashed_.tolist()
        return [*words, *(f"characters {place}" for place in hashed)]


@cache
def _normalizer() -> TextNormalizer:
    # Numbers, negations and endings may say something; what does not has little weight.
    return TextNormalizer(numbers=False, stop_words="keep", lemmas="none", emphasis=True)


def _characters(texts: Collection[str]) -> sparse.csr_array:
    hashing = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=_CHARACTERS,
        n_features=_HASHED,
        alternate_sign=False,
        norm=None,
        preprocessor=_plain,
    )
    return sparse.csr_array(hashing.transform(texts))


def _plain(text: str) -> str:
    return normal_value(text).lower()


def _chosen(texts: Collection[str]) -> Literal["words", "characters"]:
    words = [text.split() for text in texts]
    count = sum(map(len, words))
    some = sum(1 for each in words if each)
    letters = sum(len(word) for each in words for word in each)
    are_names = count < _FEW_WORDS * some
    return "characters" if are_names or letters > _LONG_WORD * count else "words"


def _kept(counts: sparse.csr_array, columns: NDArray[np.int32]) -> sparse.csr_array:
    """Return some columns, which are sorted, sooner than by an index for a few rows."""
    places = np.minimum(columns.searchsorted(counts.indices), max(0, len(columns) - 1))
    found = columns[places] == counts.indices if len(columns) else np.zeros(len(places), np.bool_)
    ends = np.concatenate([[0], np.cumsum(found)])[counts.indptr]
    shape = (counts.shape[0], len(columns))
    return sparse.csr_array((counts.data[found], places[found], ends), shape=shape)


def _idf(counts: sparse.csr_array) -> Floats:
    weights: Floats = TfidfTransformer().fit(counts).idf_
    return weights


def _weighted(counts: sparse.csr_array, idf: Floats) -> sparse.csr_array:
    """Return counts as ``TfidfTransformer(sublinear_tf=True)`` weighs them, sooner for a few."""
    data = (np.log(counts.data) + 1) * idf[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    lengths = np.sqrt(np.bincount(rows, data * data, minlength=counts.shape[0]))
    data /= lengths[rows]
    return sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
