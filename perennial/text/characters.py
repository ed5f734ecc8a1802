"""Features of tokenised documents: counts of character n-grams as a SciPy sparse matrix.

They tell languages without spaces apart from each other and within themselves, see stems in
languages with many endings, and survive typing errors.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from perennial.text.counter import TokenCounter
from perennial.text.tokens import Tokens, narrow, pack, unpack

# Stands before and after each token: an n-gram knows whether it begins or ends a word.
EDGE = " "


def ngrams_of(token: str, shortest: int, longest: int) -> list[str]:
    """Return the character n-grams of a token with an edge on both sides, each as often as it is.

    The edge alone is none of them.
    """
    padded = f"{EDGE}{token}{EDGE}"
    size = len(padded)
    return [
        padded[start : start + length]
        for length in range(shortest, longest + 1)
        # A single character is one of the token.
        for start in range(length == 1, size - length + (length > 1))
    ]


class CharacterCounter(TokenCounter):
    """Count the character n-grams of `Tokens`, none of which goes beyond a token.

    They are those of scikit-learn's ``analyzer="char_wb"`` for the same tokens, without n-grams of
    white space alone. An n-gram is looked for once per distinct token, which makes counting them
    about as quick as counting words where these come often.

    Parameters
    ----------
    shortest, longest : int
        Lengths of the n-grams, the edge of a token included.
    min_documents : int
        Leave out n-grams that occur in fewer training documents.
    max_features : int or None
        Keep only the n-grams with the highest total count.
    binary : bool
        Count an n-gram of a document once, however often it occurs.

    Attributes
    ----------
    ngrams_ : ndarray of str, shape (n_features,)
        The n-grams, sorted.
    """

    def __init__(
        self,
        *,
        shortest: int = 1,
        longest: int = 4,
        min_documents: int = 1,
        max_features: int | None = None,
        binary: bool = False,
    ) -> None:
        self.shortest = shortest
        self.longest = longest
        self.min_documents = min_documents
        self.max_features = max_features
        self.binary = binary

    def fit_transform(self, X: Tokens, y: object = None) -> sparse.csr_array:
        """Choose the n-grams and return the counts of the same documents.

        Returns
        -------
        csr_array of float64, shape (n_documents, n_features)

        Raises
        ------
        ValueError
            If no n-gram is left.
        """
        index: dict[str, int] = {}
        of_tokens = self._of_tokens(
            X.vocabulary, lambda ngrams: [index.setdefault(each, len(index)) for each in ngrams]
        )
        in_documents = _tokens_in_documents(X)
        # An n-gram occurs in no more documents than all tokens that have it together.
        occurring = np.bincount(in_documents.indices, minlength=in_documents.shape[1])
        most = _present(of_tokens).T @ occurring.astype(np.float64)
        names = np.array(list(index), dtype=object)
        kept = np.flatnonzero(most >= self.min_documents)
        kept = kept[np.argsort(names[kept])]
        counts = self._counts(in_documents @ of_tokens[:, kept])
        documents = np.bincount(counts.indices, minlength=counts.shape[1])
        often = np.flatnonzero(documents >= self.min_documents)
        if not len(often):
            raise ValueError(
                f"no feature is left: of {len(X)} documents none shares a group of characters with "
                f"{self.min_documents - 1} others (min_documents={self.min_documents})"
            )
        counts = counts[:, often]
        self._use(names[kept[often]])
        if self.max_features is not None and counts.shape[1] > self.max_features:
            best = np.sort(np.argsort(-counts.sum(axis=0), kind="stable")[: self.max_features])
            self.keep(best)
            counts = counts[:, best]
        return counts

    def transform(self, X: Tokens) -> sparse.csr_array:
        """Return the counts of the chosen n-grams, shape (n_documents, n_features)."""
        check_is_fitted(self, "ngrams_")
        index = self._index
        of_tokens = self._of_tokens(
            X.vocabulary, lambda ngrams: [index[each] for each in ngrams if each in index]
        )
        of_tokens.resize((len(X.vocabulary), len(self.ngrams_)))
        return self._counts(_tokens_in_documents(X) @ of_tokens)

    def keep(self, columns: NDArray[np.int64]) -> None:
        """Leave out all features but these, given in order."""
        self._use(self.ngrams_[columns])

    def recognised(self, tokens: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many n-grams of each token are features, and how many it has."""
        found = [ngrams_of(token, self.shortest, self.longest) for token in tokens]
        known = (sum(each in self._index for each in ngrams) for ngrams in found)
        return np.fromiter(known, np.int64, len(found)), np.fromiter(
            map(len, found), np.int64, len(found)
        )

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the n-grams; a space is the edge of a word."""
        check_is_fitted(self, "ngrams_")
        return self.ngrams_.copy()

    def _use(self, ngrams: NDArray[np.object_]) -> None:
        self.ngrams_ = ngrams
        self._index = {ngram: i for i, ngram in enumerate(ngrams)}

    def _of_tokens(self, tokens: Iterable[str], ids_of: Any) -> sparse.csr_array:
        """Return how often each token has each n-gram, shape (n_tokens, n_ngrams)."""
        ids, ends = array("i"), array("q", [0])
        for token in tokens:
            ids.extend(ids_of(ngrams_of(token, self.shortest, self.longest)))
            ends.append(len(ids))
        indices, bounds = np.array(ids, np.int32), narrow(np.array(ends, np.int64))
        width = int(indices.max(initial=-1)) + 1
        found = sparse.csr_array(
            (np.ones(len(indices)), indices, bounds), shape=(len(bounds) - 1, width)
        )
        found.sum_duplicates()
        return found

    def _counts(self, counts: sparse.csr_array) -> sparse.csr_array:
        counts.sort_indices()
        if self.binary:
            counts.data.fill(1.0)
        return counts

    def __getstate__(self) -> dict[str, Any]:
        """Return the state as plain values and arrays; the n-grams as one array of bytes."""
        state = dict(super().__getstate__())
        state.pop("_index", None)
        if "ngrams_" in state:
            state["ngrams_"] = pack(state["ngrams_"])
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore what `__getstate__` returned."""
        super().__setstate__(dict(state))
        if "ngrams_" in state:
            self._use(unpack(state["ngrams_"]))


def _tokens_in_documents(X: Tokens) -> sparse.csr_array:
    """Return how often each document has each token, shape (n_documents, n_tokens)."""
    # Adding up what is there twice works in place.
    found = sparse.csr_array(
        (np.ones(len(X.ids)), X.ids, narrow(X.offsets)),
        shape=(len(X), len(X.vocabulary)),
        copy=True,
    )
    found.sum_duplicates()
    return found


def _present(counts: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array(
        (np.ones(len(counts.data)), counts.indices, counts.indptr), shape=counts.shape
    )
