"""Features of tokenised documents: what a counter counts, and the mean vector of the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from perennial.embeddings.static import WIDTH, static_vectors
from perennial.errors import OutsideError
from perennial.text.counter import TokenCounter
from perennial.text.tokens import Tokens


class EmbeddedCounter(TokenCounter):
    """Count what another counter counts, and add the mean vector of each document's words.

    The vectors come last, `WIDTH` columns of length 1. What is stored of the weights is a digest:
    they are in a package, and no version has them once more.

    Parameters
    ----------
    counter : TokenCounter
        What counts; it is fitted as a part of this one.

    Attributes
    ----------
    digest_ : str
        Of the weights that this was fitted with.
    """

    def __init__(self, counter: Any) -> None:
        self.counter = counter

    def fit_transform(self, X: Tokens, y: object = None) -> sparse.csr_array:
        """Choose the features that are counted, and return counts and vectors.

        Raises
        ------
        OutsideError
            If the weights are not installed.
        """
        self.digest_ = static_vectors().digest
        return self._with_vectors(X, self.counter.fit_transform(X))

    def transform(self, X: Tokens) -> sparse.csr_array:
        """Return counts and vectors, shape (n_documents, n_features + WIDTH).

        Raises
        ------
        OutsideError
            If the weights are not installed, or are others than this was fitted with.
        """
        check_is_fitted(self, "digest_")
        if static_vectors().digest != self.digest_:
            raise OutsideError(
                "The model was fitted with other weights of wordllama than are installed here; "
                "install the version that it was made with, or retrain."
            )
        return self._with_vectors(X, self.counter.transform(X))

    def recognised(self, tokens: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how much of each token is counted, and how much there is of it."""
        found: tuple[NDArray[np.int64], NDArray[np.int64]] = self.counter.recognised(tokens)
        return found

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of what is counted, then those of the places of a vector."""
        places = np.array([f"embedding {place}" for place in range(WIDTH)], dtype=object)
        return np.concatenate([self.counter.get_feature_names_out(), places])

    def _with_vectors(self, X: Tokens, counts: sparse.csr_array) -> sparse.csr_array:
        used, ids = np.unique(X.ids, return_inverse=True)
        sums, parts = static_vectors().of_words([X.vocabulary[each] for each in used.tolist()])
        shape = (len(X), len(used))
        of_words = sparse.csr_array((np.ones(len(ids), np.float32), ids, X.offsets), shape=shape)
        # Divided in float64: the same whichever other documents are in the call.
        total = np.asarray(of_words @ sums, np.float64) / np.maximum(of_words @ parts, 1)[:, None]
        lengths = np.linalg.norm(total, axis=1, keepdims=True)
        vectors = sparse.csr_array(total / np.where(lengths > 0, lengths, 1.0))
        return sparse.hstack([counts, vectors], format="csr")
