"""Target encoding: a category as the shares of labels among the documents that have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from perennial.encoders.blocks import Floats, Matrix, beside, leading, stored_whole

_FOLDS = 5


class CategoryTargetEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace numbers of categories by shares of labels, cross-fitted by scikit-learn.

    No training document takes part in what stands for its own category, so that an estimator does
    not learn to trust a category of one document.

    Parameters
    ----------
    categories : int
        How many leading columns hold numbers of categories.
    random_state : int or None
        Seed of the folds.

    Attributes
    ----------
    encoder_ : TargetEncoder
        What was fitted.
    origins_ : ndarray of intp, shape (n_columns,)
        The column that each column of the result is made of.
    """

    def __init__(self, categories: int, *, random_state: int | None = None) -> None:
        self.categories = categories
        self.random_state = random_state

    def fit(self, X: Matrix, y: Any) -> CategoryTargetEncoder:
        """Learn the shares."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Matrix, y: Any = None) -> Matrix:
        """Learn the shares; return those of the training documents without their own labels."""
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=self.random_state)
        self.encoder_ = TargetEncoder(cv=folds)
        encoded = self.encoder_.fit_transform(leading(X, self.categories), y)
        # A model file has no need of the folds.
        self.encoder_.set_params(cv=_FOLDS)
        # The shares of one category stand side by side.
        each = encoded.shape[1] // self.categories
        first = np.repeat(np.arange(self.categories), each)
        self.origins_ = np.concatenate([first, np.arange(self.categories, X.shape[1])])
        return self._joined(X, encoded)

    def transform(self, X: Matrix) -> Matrix:
        """Return the matrix with shares; a category that is not known has those of all."""
        return self._joined(X, self.encoder_.transform(leading(X, self.categories)))

    def _joined(self, matrix: Matrix, encoded: Floats) -> Matrix:
        encoded = np.asarray(encoded, np.float64)
        if sparse.issparse(matrix):
            rest = sparse.csr_array(matrix)[:, self.categories :]
            return beside([stored_whole(encoded), rest])
        return np.hstack([encoded, matrix[:, self.categories :]])
