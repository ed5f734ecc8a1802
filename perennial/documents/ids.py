"""Ids: where the documents of a large table are, found with few bytes for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def hashes_of(ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a number for each id, equal for equal ids in this process."""
    found = np.empty(len(ids), np.int64)
    start = 0
    for chunk in _pieces(ids):
        found[start : start + len(chunk)] = _hashes(chunk.to_pylist())
        start += len(chunk)
    return found


class IdIndex:
    """The rows in which ids are: 16 bytes for each beside the ids themselves.

    Parameters
    ----------
    ids : ChunkedArray
        Different ids, one per row.
    """

    def __init__(self, ids: pa.ChunkedArray) -> None:
        self._ids = ids
        hashes = hashes_of(ids)
        self._order = np.argsort(hashes)
        self._hashes = hashes[self._order]

    def rows(self, keys: Sequence[str]) -> NDArray[np.intp]:
        """Return the row of each key, -1 where there is none."""
        found = np.full(len(keys), -1, np.intp)
        if not len(self._order) or not keys:
            return found
        wanted = pa.array(keys, pa.string())
        hashes = _hashes(keys)
        places = np.searchsorted(self._hashes, hashes)
        is_open = np.ones(len(keys), np.bool_)
        # Different ids of one hash stand side by side; there are hardly ever any.
        while is_open.any():
            is_open &= places < len(self._order)
            is_open[is_open] = self._hashes[places[is_open]] == hashes[is_open]
            some = np.flatnonzero(is_open)
            rows = self._order[places[some]]
            same = pc.equal(self._ids.take(pa.array(rows)), wanted.take(pa.array(some))).to_numpy()
            found[some[same]] = rows[same]
            is_open[some[same]] = False
            places[is_open] += 1
        return found

    def holds(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Return which keys are among the ids."""
        found: NDArray[np.bool_] = self.rows(keys) >= 0
        return found


def _hashes(keys: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, keys), np.int64, len(keys))


def _pieces(ids: pa.ChunkedArray) -> list[pa.Array]:
    # Few ids at once are Python objects.
    length = 8_192
    return [
        chunk.slice(start, length) for chunk in ids.chunks for start in range(0, len(chunk), length)
    ]
