"""Features of tokenised documents: n-gram counts as a SciPy sparse matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from modeling.tokens import Tokens


class NgramCounter(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Count unigrams, or unigrams and bigrams, of `Tokens`.

    It gives the matrix that scikit-learn's ``CountVectorizer`` gives for the same tokens, from
    integer ids instead of strings. Its fitted state is three arrays and no dictionary of Python
    objects, which keeps a saved model small and quick to load.

    Parameters
    ----------
    bigrams : bool
        Count pairs of neighbouring tokens too.
    min_documents : int
        Leave out features that occur in fewer training documents.
    max_features : int or None
        Keep only the features with the highest total count.
    binary : bool
        Count a feature of a document once, however often it occurs.

    Attributes
    ----------
    words_ : ndarray of str, shape (n_words,)
        Every token that is a feature or part of one, sorted.
    keys_ : ndarray of int64, shape (n_features,)
        Feature ``j`` is the unigram ``words_[keys_[j]]`` while ``keys_[j] < n_words``; from there
        on it is the bigram of ``divmod(keys_[j] - n_words, n_words)``. Sorted.
    """

    def __init__(
        self,
        *,
        bigrams: bool = False,
        min_documents: int = 1,
        max_features: int | None = None,
        binary: bool = False,
    ) -> None:
        self.bigrams = bigrams
        self.min_documents = min_documents
        self.max_features = max_features
        self.binary = binary

    def fit(self, X: Tokens, y: object = None) -> NgramCounter:
        """Choose the features from the training documents."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Tokens, y: object = None) -> sparse.csr_array:
        """Choose the features and return the counts of the same documents.

        Parameters
        ----------
        X : Tokens
            The training documents.

        Returns
        -------
        csr_array of float64, shape (n_documents, n_features)

        Raises
        ------
        ValueError
            If no feature is left.
        """
        # Ids in the order of the sorted words: the order of documents must not matter.
        vocabulary = np.asarray(X.vocabulary, dtype=object)
        order = np.argsort(vocabulary)
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        occurrences = _occurrences(rank[X.ids], X.offsets, len(order), self.bigrams)

        encoded = pa.array(occurrences.keys).dictionary_encode()
        keys = encoded.dictionary.to_numpy()
        codes = encoded.indices.to_numpy()
        # A feature in too few places is in too few documents: leaving it out now saves most of the
        # work, since most bigrams occur once.
        frequent = np.bincount(codes, minlength=len(keys)) >= self.min_documents
        keys, columns = _sorted_columns(keys, frequent)
        counts = self._finish(_count(occurrences.rows, columns[codes], (len(X), len(keys))))
        chosen = self._choose(counts)
        if not chosen.any():
            raise ValueError(
                f"no feature is left: of {len(X)} documents none shares a word with "
                f"{self.min_documents - 1} others (min_documents={self.min_documents})"
            )
        if not chosen.all():
            keys, counts = keys[chosen], counts[:, np.flatnonzero(chosen)]
        self._keep(vocabulary[order], keys)
        return counts

    def transform(self, X: Tokens) -> sparse.csr_array:
        """Return the counts of the chosen features, shape (n_documents, n_features)."""
        check_is_fitted(self, "keys_")
        known = (self._index.get(word, -1) for word in X.vocabulary)
        ids = np.fromiter(known, np.int32, len(X.vocabulary))[X.ids]
        occurrences = _occurrences(ids, X.offsets, len(self.words_), self.bigrams)
        columns = _find(occurrences.keys, self.keys_)
        return self._finish(_count(occurrences.rows, columns, (len(X), len(self.keys_))))

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return each feature as text, the words of a bigram with a space between them."""
        check_is_fitted(self, "keys_")
        first, second = _parts(self.keys_, len(self.words_))
        names: NDArray[np.object_] = self.words_[first]
        pairs = second >= 0
        names[pairs] += " " + self.words_[second[pairs]]
        return names

    def _choose(self, counts: sparse.csr_array) -> NDArray[np.bool_]:
        """Return which columns stay after min_documents and max_features."""
        chosen = np.bincount(counts.indices, minlength=counts.shape[1]) >= self.min_documents
        if self.max_features is not None and chosen.sum() > self.max_features:
            totals = np.where(chosen, counts.sum(axis=0), 0)
            best = np.argsort(-totals, kind="stable")[: self.max_features]
            chosen = np.zeros_like(chosen)
            chosen[best] = True
        return chosen

    def _keep(self, words: NDArray[np.object_], keys: NDArray[np.int64]) -> None:
        """Keep only the words that the features need, and number the features by them."""
        first, second = _parts(keys, len(words))
        used = np.unique(np.concatenate([first, second[second >= 0]]))
        self.words_ = words[used]
        first, pairs = np.searchsorted(used, first), second >= 0
        second = np.searchsorted(used, second)
        self.keys_ = np.where(pairs, _pair_keys(first, second, len(used)), first)
        self._index = {word: i for i, word in enumerate(self.words_)}

    def _finish(self, counts: sparse.csr_array) -> sparse.csr_array:
        if self.binary:
            counts.data.fill(1.0)
        return counts

    def __getstate__(self) -> dict[str, Any]:
        """Return the state as plain values and arrays; the words as one array of bytes."""
        state = dict(super().__getstate__())
        state.pop("_index", None)
        if "words_" in state:
            # No token contains white space, so a line break separates them.
            state["words_"] = np.frombuffer("\n".join(state["words_"]).encode(), np.uint8)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore what `__getstate__` returned."""
        super().__setstate__(dict(state))
        if "words_" in state:
            words = state["words_"].tobytes().decode().split("\n")
            self.words_ = np.asarray(words, dtype=object)
            self._index = {word: i for i, word in enumerate(words)}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


@dataclass(frozen=True, eq=False)
class _Occurrences:
    """Where each feature candidate occurs: its key and its document."""

    keys: NDArray[np.int64]
    rows: NDArray[np.int64]


def _occurrences(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], n_words: int, bigrams: bool
) -> _Occurrences:
    """List all unigrams, and bigrams if wanted; a negative id is an unknown word."""
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    known = ids >= 0
    unigrams = _Occurrences(ids[known].astype(np.int64), rows[known])
    if not bigrams:
        return unigrams
    pairs = (rows[1:] == rows[:-1]) & known[1:] & known[:-1]
    keys = _pair_keys(ids[:-1][pairs].astype(np.int64), ids[1:][pairs], n_words)
    return _Occurrences(
        np.concatenate([unigrams.keys, keys]),
        np.concatenate([unigrams.rows, rows[1:][pairs]]),
    )


def _pair_keys(
    first: NDArray[np.int64], second: NDArray[np.int64] | NDArray[np.int32], n_words: int
) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = n_words + first * n_words + second
    return keys


def _parts(keys: NDArray[np.int64], n_words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and second word of each key; the second of a unigram is -1."""
    first, second = np.divmod(keys - n_words, n_words)
    unigram = keys < n_words
    return np.where(unigram, keys, first), np.where(unigram, -1, second)


def _sorted_columns(
    keys: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the wanted keys sorted, and for each given key its column, or -1 if unwanted."""
    positions = np.flatnonzero(wanted)
    positions = positions[np.argsort(keys[positions])]
    columns = np.full(len(keys), -1, np.int64)
    columns[positions] = np.arange(len(positions))
    return keys[positions], columns


def _find(keys: NDArray[np.int64], features: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the column of each key, -1 where it is no feature."""
    if len(keys) > len(features):
        # Hashing all features pays for many keys; a binary search for the few of one text.
        places = pc.index_in(pa.array(keys), pa.array(features)).fill_null(-1)
        hashed: NDArray[np.int64] = places.to_numpy().astype(np.int64)
        return hashed
    columns = np.minimum(np.searchsorted(features, keys), len(features) - 1)
    found_columns: NDArray[np.int64] = np.where(features[columns] == keys, columns, -1)
    return found_columns


def _count(
    rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> sparse.csr_array:
    """Sum equal (row, column) places to one entry; a negative column is left out.

    One sort of the combined places gives rows, columns and counts in order, which is several times
    faster than adding up duplicates in a sparse matrix.
    """
    inside = columns >= 0
    # Columns in the low bits: taking a place apart again is a shift instead of a division.
    bits = max(shape[1] - 1, 1).bit_length()
    places = (rows[inside] << bits) | columns[inside]
    places.sort()
    first = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1]))[: len(places)])
    data = np.diff(np.append(first, len(places))).astype(np.float64)
    row, column = places[first] >> bits, places[first] & ((1 << bits) - 1)
    bounds = np.searchsorted(row, np.arange(shape[0] + 1))
    return sparse.csr_array((data, column.astype(np.int32), bounds.astype(np.int32)), shape=shape)
