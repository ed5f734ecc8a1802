"""Rows of a matrix, a block at a time: what is made of a block is all that memory is needed for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

# Stored numbers of a block.
_ENTRIES = 1 << 18


def row_blocks(matrix: Any, entries: int = _ENTRIES) -> Iterator[slice]:
    """Yield slices of rows that hold few stored numbers, but at least one row.

    Parameters
    ----------
    matrix : csr_array or ndarray, shape (n_rows, n_columns)
        Where the rows are.
    entries : int
        How many stored numbers a block may have.
    """
    n_rows, n_columns = matrix.shape
    if not sparse.issparse(matrix):
        step = max(1, entries // max(1, n_columns))
        yield from (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))
        return
    start = 0
    while start < n_rows:
        most = int(matrix.indptr[start]) + entries
        end = max(int(np.searchsorted(matrix.indptr, most, "right")) - 1, start + 1)
        yield slice(start, min(end, n_rows))
        start = end


def rows_of(matrix: Any, rows: slice) -> Any:
    """Return some rows; they may share their numbers with the matrix, or not."""
    if not sparse.issparse(matrix):
        return matrix[rows]
    inside, ends = entries_of(matrix, rows), matrix.indptr[rows.start : rows.stop + 1]
    parts = (matrix.data[inside], matrix.indices[inside], ends - ends[0])
    return type(matrix)(parts, shape=(rows.stop - rows.start, matrix.shape[1]))


def entries_of(matrix: Any, rows: slice) -> slice:
    """Return where the stored numbers of some rows of a sparse matrix are."""
    return slice(int(matrix.indptr[rows.start]), int(matrix.indptr[rows.stop]))
