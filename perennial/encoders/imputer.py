"""Imputation: what stands in for missing numbers where an estimator takes none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from perennial.encoders.blocks import Floats, Matrix, leading, with_leading


class FieldImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Put medians into the place of missing numbers, and say in further columns where.

    Parameters
    ----------
    dense : int
        How many leading columns hold numbers; see `perennial.encoders.blocks`.
    keep_dense : bool
        Leave a matrix that is not sparse as it is, for estimators that take missing values there.

    Attributes
    ----------
    fills_ : ndarray of float64, shape (dense,)
        The median of each column; 0 where training has seen no value.
    marked_ : ndarray of intp, shape (n_marked,)
        The columns in which training has seen missing values; each gets an indicator behind the
        last column.
    origins_ : ndarray of intp, shape (n_columns + n_marked,)
        The column that each column of the result is made of.
    """

    def __init__(self, dense: int, *, keep_dense: bool = False) -> None:
        self.dense = dense
        self.keep_dense = keep_dense

    def fit(self, X: Matrix, y: object = None) -> FieldImputer:
        """Learn the medians, and which columns lack values."""
        numbers = leading(X, self.dense)
        missing = np.isnan(numbers)
        self.fills_ = np.zeros(self.dense)
        some = ~missing.all(axis=0)
        self.fills_[some] = np.nanmedian(numbers[:, some], axis=0)
        kept = self.keep_dense and not sparse.issparse(X)
        self.marked_: NDArray[np.intp] = np.flatnonzero(missing.any(axis=0) & (not kept))
        self.origins_ = np.concatenate([np.arange(X.shape[1]), self.marked_])
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Return the matrix without missing values, with the indicators."""
        is_sparse = sparse.issparse(X)
        if self.keep_dense and not is_sparse:
            return X
        numbers = leading(X, self.dense)
        missing = np.isnan(numbers)
        marks: Floats = missing[:, self.marked_].astype(np.float64)
        filled: Floats = np.where(missing, self.fills_, numbers)
        if is_sparse:
            return with_leading(X, filled, sparse.csr_array(marks))
        return np.hstack([filled, X[:, self.dense :], marks])
