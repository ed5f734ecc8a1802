"""Features of tokenised documents: n-gram counts as a SciPy sparse matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from perennial.text.counter import TokenCounter
from perennial.text.counting.blocks import (
    Blocks,
    choose,
    drained,
    gather,
    pair_keys,
    parts_of,
)
from perennial.text.counting.documents import Part, choose_features
from perennial.text.tokens import Tokens, pack, unpack


class NgramCounter(TokenCounter):
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
        blocks = Blocks(X, rank, len(order), bigrams=self.bigrams, binary=self.binary)
        counted = list(blocks)
        keys, totals = choose(
            counted, self.min_documents, with_totals=self.max_features is not None
        )
        self._require_features(len(keys), len(X))
        if self.max_features is not None and len(keys) > self.max_features:
            best = np.argsort(-totals, kind="stable")[: self.max_features]
            best.sort()
            keys = keys[best]
        counts = gather(drained(counted), keys)
        self._keep(vocabulary[order], keys)
        return counts

    def fit_counted(self, parts: Sequence[Part]) -> sparse.csr_array:
        """Choose the features from documents that are counted already, and return their counts.

        Parameters
        ----------
        parts : sequence of Part
            The training documents, counted with the bigrams that this asks for.

        Returns
        -------
        csr_array of unsigned int, shape (n_documents, n_features)
            The same numbers as `fit_transform` returns.

        Raises
        ------
        ValueError
            If no feature is left.
        """
        found = choose_features(
            parts,
            min_documents=self.min_documents,
            max_features=self.max_features,
            binary=self.binary,
        )
        self._require_features(len(found.keys), found.counts.shape[0])
        self._keep(found.words, found.keys)
        return found.counts

    def _require_features(self, n_features: int, n_documents: int) -> None:
        if not n_features:
            raise ValueError(
                f"no feature is left: of {n_documents} documents none shares a word with "
                f"{self.min_documents - 1} others (min_documents={self.min_documents})"
            )

    def transform(self, X: Tokens) -> sparse.csr_array:
        """Return the counts of the chosen features, shape (n_documents, n_features)."""
        check_is_fitted(self, "keys_")
        known = (self._index.get(word, -1) for word in X.vocabulary)
        rank = np.fromiter(known, np.int32, len(X.vocabulary))
        n_words = len(self.words_)
        blocks = Blocks(X, rank, n_words, bigrams=self.bigrams, binary=self.binary)
        return gather(blocks, self.keys_)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return each feature as text, the words of a bigram with a space between them."""
        check_is_fitted(self, "keys_")
        first, second = parts_of(self.keys_, len(self.words_))
        names: NDArray[np.object_] = self.words_[first]
        pairs = second >= 0
        names[pairs] += " " + self.words_[second[pairs]]
        return names

    def keep(self, columns: NDArray[np.int64]) -> None:
        """Leave out all features but these, given in order."""
        self._keep(self.words_, self.keys_[columns])

    def recognised(self, tokens: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return whether each token is a feature or part of one, and 1 for each."""
        known = np.fromiter((token in self._index for token in tokens), np.int64, len(tokens))
        return known, np.ones(len(tokens), np.int64)

    def _keep(self, words: NDArray[np.object_], keys: NDArray[np.int64]) -> None:
        """Keep only the words that the features need, and number the features by them."""
        first, second = parts_of(keys, len(words))
        pairs = second >= 0
        is_used = np.zeros(len(words), np.bool_)
        is_used[first] = True
        is_used[second[pairs]] = True
        self.words_ = words[is_used]
        numbers = np.cumsum(is_used) - 1
        first, second = numbers[first], numbers[second]
        self.keys_ = np.where(pairs, pair_keys(first, second, len(self.words_)), first)
        self._index = {word: i for i, word in enumerate(self.words_)}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state as plain values and arrays; the words as one array of bytes."""
        state = dict(super().__getstate__())
        state.pop("_index", None)
        if "words_" in state:
            state["words_"] = pack(state["words_"])
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore what `__getstate__` returned."""
        super().__setstate__(dict(state))
        if "words_" in state:
            self.words_ = unpack(state["words_"])
            self._index = {word: i for i, word in enumerate(self.words_)}
