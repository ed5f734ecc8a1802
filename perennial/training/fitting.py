"""Fitting: a candidate's steps after the counts, without copies of the matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from perennial.classifiers.row_blocks import entries_of, row_blocks, rows_of


def compact(counts: sparse.csr_array) -> sparse.csr_array:
    """Return counts, which are whole numbers, in as few bytes as they take."""
    kind = np.min_scalar_type(int(counts.data.max(initial=0)))
    parts = (counts.data.astype(kind, copy=False), counts.indices, counts.indptr)
    return sparse.csr_array(parts, shape=counts.shape)


def fit(classifier: Pipeline, matrix: Any, labels: NDArray[np.str_]) -> Pipeline:
    """Fit the steps of a candidate after the counts, and return them.

    The result is that of ``classifier.fit(matrix, labels)``. Of a sparse matrix it takes less
    memory: weights are worked out a block of rows at a time, in one array beside the counts, and an
    estimator that can scales them there.

    Parameters
    ----------
    classifier : Pipeline
        See `perennial.training.pipelines.build_classifier`.
    matrix : csr_array or ndarray, shape (n_documents, n_features)
        Counts, or columns of records; it stays as it is.
    labels : ndarray of str, shape (n_documents,)
        The labels.
    """
    *before, (_, estimator) = classifier.steps
    if not sparse.issparse(matrix) or matrix.format != "csr" or not _weighs_only(before):
        return classifier.fit(matrix, labels)
    for _, weigh in before:
        weigh.fit(matrix)
    weighed = _weighed(before[0][1] if before else None, matrix)
    getattr(estimator, "fit_in_place", estimator.fit)(weighed, labels)
    return classifier


def _weighs_only(steps: list[tuple[str, Any]]) -> bool:
    return not steps or [type(step) for _, step in steps] == [TfidfTransformer]


def _weighed(weigh: TfidfTransformer | None, counts: Any) -> sparse.csr_array:
    """Return counts as float64, and weighed, which share their places with the counts."""
    data = np.empty(counts.nnz, np.float64)
    for rows in row_blocks(counts):
        block = rows_of(counts, rows).astype(np.float64)
        found = block if weigh is None else weigh.transform(block, copy=False)
        data[entries_of(counts, rows)] = found.data
    return sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
