"""What all counters of features in tokenised documents have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from perennial.text.tokens import Tokens


class TokenCounter(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Counts features of `Tokens` in a SciPy sparse matrix."""

    def fit(self, X: Tokens, y: object = None) -> Self:
        """Choose the features from the training documents."""
        self.fit_transform(X)
        return self

    @abstractmethod
    def fit_transform(self, X: Tokens, y: object = None) -> sparse.csr_array:
        """Choose the features and return the counts of the same documents."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
