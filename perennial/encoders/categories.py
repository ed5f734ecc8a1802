"""Categories: the values that training has seen, by number; rare ones have one in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator

MISSING = ""
"""The category of records that have no value, as columns hold it."""
# How names of columns say it.
_SHOWN_MISSING = "(missing)"
_SHOWN_RARE = "(rare)"
# The number of a value that training has not seen.
UNKNOWN = -1


class CategoryEncoder(BaseEstimator):  # type: ignore[misc]
    """Number the values of a category.

    Parameters
    ----------
    min_documents : int
        Values of fewer training documents are rare.
    max_categories : int or None
        Only so many values, the most frequent ones, are not rare.

    Attributes
    ----------
    values_ : list of str
        The values that have a number of their own, sorted.
    groups_rare_ : bool
        Whether rare values have a number in common: the last one, which is that of values that
        training has not seen, too.
    """

    def __init__(self, *, min_documents: int = 1, max_categories: int | None = None) -> None:
        self.min_documents = min_documents
        self.max_categories = max_categories

    @classmethod
    def of(cls, values: Collection[str]) -> Self:
        """Return a fitted encoder of values, of which none is rare."""
        found = cls()
        found.values_, found.groups_rare_ = list(values), False
        found._index()
        return found

    def fit(self, values: Collection[str]) -> CategoryEncoder:
        """Learn the values."""
        counts = Counter(values)
        # A missing value is told apart however rare it is.
        missing = counts.pop(MISSING, 0)
        kept = [value for value, count in counts.items() if count >= self.min_documents]
        if self.max_categories is not None and len(kept) > self.max_categories:
            kept.sort(key=lambda value: (-counts[value], value))
            kept = kept[: self.max_categories]
        self.values_ = sorted([*kept, *([MISSING] if missing else [])])
        self.groups_rare_ = len(kept) < len(counts)
        self._index()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the encoder with its index."""
        super().__setstate__(state)
        if hasattr(self, "values_"):
            self._index()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the index, which the values hold already."""
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if not key.startswith("_places")}

    def _index(self) -> None:
        self._places = {value: place for place, value in enumerate(self.values_)}

    @property
    def width(self) -> int:
        """How many numbers there are."""
        return len(self.values_) + self.groups_rare_

    def knows(self, value: str) -> bool:
        """Return whether training has seen a value often enough to number it."""
        return value in self._places

    def numbers(self, values: Collection[str]) -> NDArray[np.int32]:
        """Return the number of each value, shape (n_values,)."""
        other = len(self.values_) if self.groups_rare_ else UNKNOWN
        find = self._places.get
        return np.fromiter((find(value, other) for value in values), np.int32, len(values))

    def transform(self, values: Collection[str]) -> sparse.csr_array:
        """Return a sparse matrix with 1 in the column of each value's number."""
        columns = self.numbers(values)
        known = columns != UNKNOWN
        ends = np.concatenate([[0], np.cumsum(known)]).astype(np.int32)
        ones = np.ones(int(known.sum()))
        shape = (len(values), self.width)
        return sparse.csr_array((ones, columns[known], ends), shape=shape)

    def names(self) -> list[str]:
        """Return what each number stands for."""
        shown = [value or _SHOWN_MISSING for value in self.values_]
        return [*shown, *([_SHOWN_RARE] if self.groups_rare_ else [])]
