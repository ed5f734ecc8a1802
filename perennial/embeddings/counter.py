"""Features of tokenised documents: what a counter counts, and a vector of each text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from perennial.embeddings.encoder import STATIC, Encoder, encoder_of, name_of, tolerance_of
from perennial.errors import OutsideError
from perennial.text.counter import TokenCounter
from perennial.text.tokens import Tokens


class EmbeddedCounter(TokenCounter):
    """Count what another counter counts, and add a vector of each document.

    The vectors come last, as many columns as they are wide. What is stored of the weights is a
    digest: they are in a package or a folder, and no version has them once more.

    Parameters
    ----------
    counter : TokenCounter
        What counts; it is fitted as a part of this one.
    embedding : str
        What makes the vectors, as a problem's file names it.

    Attributes
    ----------
    digest_ : str
        Of the weights that this was fitted with.
    """

    def __init__(self, counter: Any, embedding: str = STATIC) -> None:
        self.counter = counter
        self.embedding = embedding

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Models of the time when there was one kind of vectors do not name it.
        super().__setstate__({"embedding": STATIC} | state)

    @property
    def golden_tolerance(self) -> float:
        """By how much probabilities differ between processors, beyond the last bits."""
        return tolerance_of(self.embedding)

    def fit_transform(self, X: Tokens, y: object = None) -> sparse.csr_array:
        """Choose the features that are counted, and return counts and vectors.

        Raises
        ------
        OutsideError
            If the weights are not installed.
        """
        encoder = encoder_of(self.embedding)
        self.digest_ = encoder.digest
        return _joined(self.counter.fit_transform(X), encoder, X)

    def transform(self, X: Tokens) -> sparse.csr_array:
        """Return counts and vectors, shape (n_documents, n_features + width).

        Raises
        ------
        OutsideError
            If the weights are not installed, or are others than this was fitted with.
        """
        check_is_fitted(self, "digest_")
        return _joined(self.counter.transform(X), self.encoder(), X)

    def recognised(self, tokens: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how much of each token is counted, and how much there is of it."""
        found: tuple[NDArray[np.int64], NDArray[np.int64]] = self.counter.recognised(tokens)
        return found

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of what is counted, then those of the places of a vector."""
        width = self.encoder().width
        places = np.array([f"embedding {place}" for place in range(width)], dtype=object)
        return np.concatenate([self.counter.get_feature_names_out(), places])

    def encoder(self) -> Encoder:
        """Return what makes the vectors.

        Raises
        ------
        OutsideError
            If the weights are not installed, or are others than this was fitted with.
        """
        encoder = encoder_of(self.embedding)
        if encoder.digest != self.digest_:
            raise OutsideError(
                f"The model was fitted with other weights of {name_of(self.embedding)} than are "
                "installed here; install the version that it was made with, or retrain."
            )
        return encoder


def _joined(counts: sparse.csr_array, encoder: Encoder, texts: Tokens) -> sparse.csr_array:
    return sparse.hstack([counts, sparse.csr_array(encoder.of_texts(texts))], format="csr")
