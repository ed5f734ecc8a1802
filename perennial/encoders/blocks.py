"""Matrices whose leading columns have a value in every row: numbers before indicators and counts.

A sparse matrix stores these columns whole, zeros and NaN included, so that a zero is told apart
from nothing by estimators to which what is not stored is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Matrix: TypeAlias = Floats | sparse.csr_array

# Places in a matrix are numbers of 32 bits up to here.
_MOST = 2**31


def stored_whole(dense: Floats) -> sparse.csr_array:
    """Return a matrix as a sparse one that stores every value, zeros included."""
    rows, width = dense.shape
    places = np.tile(np.arange(width, dtype=np.int32), rows)
    ends = np.arange(rows + 1, dtype=np.int32) * width
    return sparse.csr_array((dense.ravel(), places, ends), shape=dense.shape)


def leading(matrix: Matrix, width: int) -> Floats:
    """Return the leading columns, shape (n_rows, width)."""
    if not sparse.issparse(matrix):
        return matrix[:, :width]
    found: Floats = sparse.csr_array(matrix)[:, :width].toarray()
    return found


def with_leading(matrix: sparse.csr_array, dense: Floats, *more: sparse.csr_array) -> Matrix:
    """Return a sparse matrix with other leading columns, as many as there were, and with more."""
    rest = sparse.csr_array(matrix)[:, dense.shape[1] :]
    return beside([stored_whole(dense), rest, *more])


def beside(parts: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """Return sparse matrices side by side."""
    matrix = sparse.csr_array(sparse.hstack(parts, format="csr"))
    if max(matrix.nnz, *matrix.shape) < _MOST:
        # Trees take no others.
        matrix.indices = matrix.indices.astype(np.int32, copy=False)
        matrix.indptr = matrix.indptr.astype(np.int32, copy=False)
    return matrix


def row_without(
    row: sparse.csr_array, columns: Sequence[tuple[int, int]], typical: Floats
) -> sparse.csr_array:
    """Return a row, and the same without some columns, each from its start to its end.

    In the place of leading columns stand typical values.
    """
    rows = [row]
    for start, end in columns:
        inside = (row.indices >= start) & (row.indices < end)
        data = row.data.copy()
        if start < len(typical):
            data[inside] = typical[start:end]
            rows.append(sparse.csr_array((data, row.indices, row.indptr), shape=row.shape))
            continue
        kept = ~inside
        ends = np.array([0, kept.sum()])
        part = sparse.csr_array((data[kept], row.indices[kept], ends), shape=row.shape)
        rows.append(part)
    return sparse.csr_array(sparse.vstack(rows, format="csr"))
