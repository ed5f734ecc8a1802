"""Features of tokenised documents: n-gram counts as a SciPy sparse matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from perennial.text.counter import TokenCounter
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
        keys, counts = self._count(rank[X.ids], X.offsets, len(order), self.min_documents)
        if not len(keys):
            raise ValueError(
                f"no feature is left: of {len(X)} documents none shares a word with "
                f"{self.min_documents - 1} others (min_documents={self.min_documents})"
            )
        if self.max_features is not None and len(keys) > self.max_features:
            best = np.argsort(-counts.sum(axis=0), kind="stable")[: self.max_features]
            best.sort()
            keys, counts = keys[best], counts[:, best]
        self._keep(vocabulary[order], keys)
        return counts.tocsr()

    def transform(self, X: Tokens) -> sparse.csr_array:
        """Return the counts of the chosen features, shape (n_documents, n_features)."""
        check_is_fitted(self, "keys_")
        known = (self._index.get(word, -1) for word in X.vocabulary)
        ids = np.fromiter(known, np.int32, len(X.vocabulary))[X.ids]
        keys, counts = self._count(ids, X.offsets, len(self.words_))
        # Both are sorted, so that neighbours are found in the same part of memory.
        places = np.searchsorted(keys, self.keys_)
        places[places == len(keys)] = 0
        found = keys[places] == self.keys_ if len(keys) else np.zeros(len(places), np.bool_)
        return _spread(counts, places[found], found).tocsr()

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return each feature as text, the words of a bigram with a space between them."""
        check_is_fitted(self, "keys_")
        first, second = _parts(self.keys_, len(self.words_))
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
        first, second = _parts(keys, len(words))
        used = np.unique(np.concatenate([first, second[second >= 0]]))
        self.words_ = words[used]
        first, pairs = np.searchsorted(used, first), second >= 0
        second = np.searchsorted(used, second)
        self.keys_ = np.where(pairs, _pair_keys(first, second, len(used)), first)
        self._index = {word: i for i, word in enumerate(self.words_)}

    def _count(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        n_words: int,
        min_documents: int = 1,
    ) -> tuple[NDArray[np.int64], sparse.csc_array]:
        keys, counts = _count(ids, offsets, n_words, self.bigrams, min_documents)
        if self.binary:
            counts.data.fill(1.0)
        return keys, counts

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


def _pair_keys(
    first: NDArray[np.int64], second: NDArray[np.int64], n_words: int
) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = n_words + first * n_words + second
    return keys


def _parts(keys: NDArray[np.int64], n_words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and second word of each key; the second of a unigram is -1."""
    first, second = np.divmod(keys - n_words, n_words)
    unigram = keys < n_words
    return np.where(unigram, keys, first), np.where(unigram, -1, second)


def _count(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    n_words: int,
    bigrams: bool,
    min_documents: int = 1,
) -> tuple[NDArray[np.int64], sparse.csc_array]:
    """Return the keys of all features in enough documents, sorted, and their counts.

    One sort of the occurrences, each a key and its document in one number, puts equal features
    together and their documents in order: what comes out is the matrix by columns. Negative ids
    are unknown words.
    """
    n_documents = len(offsets) - 1
    bits = max(n_documents - 1, 1).bit_length()
    places = _places(ids, offsets, n_words, bigrams, bits)
    places.sort()
    places = places[np.searchsorted(places, 0) :]
    entries = _starts(places)
    amounts = np.diff(entries, append=len(places))
    places = places[entries]
    keys = places >> bits
    columns = _starts(keys)
    documents = np.diff(columns, append=len(keys))
    chosen = documents >= min_documents
    inside = np.repeat(chosen, documents)
    places &= (1 << bits) - 1
    bounds = np.concatenate(([0], np.cumsum(documents[chosen]))).astype(np.int32)
    counts = sparse.csc_array(
        (amounts[inside].astype(np.float64), places[inside].astype(np.int32), bounds),
        shape=(n_documents, int(chosen.sum())),
    )
    return keys[columns[chosen]], counts


def _places(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], n_words: int, bigrams: bool, bits: int
) -> NDArray[np.int64]:
    """Return each occurrence as ``key << bits | document``, negative where there is no feature.

    Raises
    ------
    OverflowError
        If words and documents are too many for 63 bits, which a million of each are not.
    """
    if (n_words * (n_words + 1)).bit_length() + bits > 63:
        raise OverflowError(
            f"bigrams of {n_words:,} words in {1 << bits:,} documents cannot be counted; leave out "
            "rare words by max_features, or bigrams"
        )
    n_documents, n = len(offsets) - 1, len(ids)
    rows = np.repeat(np.arange(n_documents, dtype=np.int32), np.diff(offsets))
    # Worked on in place: to get memory from the system takes longer than to use it.
    places = np.empty(2 * n - 1 if bigrams and n else n, np.int64)
    unigrams, pairs = places[:n], places[n:]
    unigrams[:] = ids
    if len(pairs):
        np.multiply(unigrams[:-1], n_words, out=pairs)
        pairs += ids[1:]
        pairs += n_words
        pairs <<= bits
        pairs |= rows[1:]
        between = offsets[1:-1] - 1
        pairs[between[(between >= 0) & (between < n - 1)]] = -1
    unigrams <<= bits
    unigrams |= rows
    unknown = np.flatnonzero(ids < 0)
    unigrams[unknown] = -1
    if len(pairs):
        pairs[unknown[unknown < n - 1]] = -1
        pairs[unknown[unknown > 0] - 1] = -1
    return places


def _starts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where runs of equal values begin."""
    starts: NDArray[np.int64] = np.flatnonzero(
        np.concatenate(([True], values[1:] != values[:-1]))[: len(values)]
    )
    return starts


def _spread(
    counts: sparse.csc_array, columns: NDArray[np.int64], found: NDArray[np.bool_]
) -> sparse.csc_array:
    """Return columns of a matrix at the places where `found` is true, and empty ones elsewhere."""
    chosen = counts[:, columns]
    lengths = np.zeros(len(found), np.int64)
    lengths[found] = np.diff(chosen.indptr)
    bounds = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return sparse.csc_array(
        (chosen.data, chosen.indices, bounds), shape=(counts.shape[0], len(found))
    )
