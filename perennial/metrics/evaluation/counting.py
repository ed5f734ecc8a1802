"""Sums over documents, for many resamples at once.

A resample is a vector of counts: how often each document was drawn. Whatever is counted here is
counted for a matrix of them, shape (n_resamples, n_documents).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.metrics.evaluation.predictions import Floats, Predictions

    Counts = NDArray[np.float64]


def mean(per_document: Floats, counts: Counts) -> Floats:
    """Return the mean of a number per document, for each resample."""
    means: Floats = _sums(counts, per_document[:, None])[:, 0] / counts.sum(axis=1)
    return means


def slopes_of_mean(per_document: Floats, sizes: Floats) -> Floats:
    """Return how much the mean of a number per document changes with the weight of each."""
    in_all = sizes.sum()
    slopes: Floats = (per_document - sizes @ per_document / in_all) / in_all
    return slopes


def one_hot(codes: NDArray[np.int64], p: Predictions) -> Floats:
    """Return a matrix with 1 where a document (row) is of a class (column)."""
    import numpy as np

    hot: Floats = (codes[:, None] == np.arange(len(p.classes))).astype(np.float64)
    return hot


def confusion(p: Predictions, counts: Counts) -> tuple[Floats, Floats, Floats]:
    """Return, per resample and class: rightly predicted, predicted, actual documents."""
    actual, predicted = one_hot(p.truth, p), one_hot(p.predicted, p)
    right = actual * predicted
    return _sums(counts, right), _sums(counts, predicted), _sums(counts, actual)


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return a part of a whole; 0 where there is no whole."""
    import numpy as np

    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def over_classes(values: Floats, p: Predictions) -> Floats:
    """Return the value of the positive class of two, or the mean over the classes."""
    result: Floats = values[:, -1] if len(p.classes) == 2 else values.mean(axis=1)
    return result


def _sums(counts: Counts, columns: Floats) -> Floats:
    """Return ``counts @ columns``, which is too narrow for BLAS to share out among threads.

    Column by column, NumPy adds up many numbers at once; all columns at once take four times as
    long.
    """
    import numpy as np

    sums = [np.einsum("rd,d->r", counts, column) for column in np.ascontiguousarray(columns.T)]
    return np.column_stack(sums)
