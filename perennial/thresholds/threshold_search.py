"""Exact search for the best threshold over the values of documents.

Only the order of the values matters, so a sorted list and running sums tell the outcome of every
cut at once, in O(n log n).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Sums of costs differ in the last bits by the order of summation alone.
_SAME = 1e-9


class ThresholdSweep:
    """Every way in which a cut divides documents into those above it and the others.

    Documents with equal values are never divided. A cut may lie anywhere between two neighbouring
    values without changing the outcome: a plateau is chosen first, and a place on it last.

    Parameters
    ----------
    values : ndarray, shape (n_documents,)
        Values of the documents, from `low` to `high`.
    low, high : float
        The least and the greatest cut; no document is above `high`.

    Attributes
    ----------
    lower, upper : ndarray, shape (n_cuts,)
        The ends of the plateaus, in order; the lower end belongs to a plateau, the upper does not.
    """

    def __init__(self, values: Floats, low: float, high: float) -> None:
        self._order = np.argsort(values, kind="stable")
        self.lower: Floats = np.unique(np.append(values, low))
        self.upper: Floats = np.append(self.lower[1:], high)
        self._first = np.searchsorted(values[self._order], self.lower, side="right")

    def above(self, amounts: Floats) -> Floats:
        """Return, for every cut, the sum of the amounts of the documents above it."""
        sums = np.append(np.cumsum(amounts[self._order][::-1])[::-1], 0.0)
        found: Floats = sums[self._first]
        return found

    def places(self, cuts: Floats) -> NDArray[np.int64]:
        """Return on which plateau each cut lies."""
        return np.searchsorted(self.lower, cuts, side="right") - 1

    def best(self, objective: Floats, preferred: float) -> float:
        """Return the cut with the largest objective, one value per cut; -inf forbids a cut.

        Of plateaus that are as good the one nearest to `preferred` is taken. On it the cut is
        `preferred` itself where that is possible, else the middle, which is as far as can be from
        the documents on either side.
        """
        largest = objective.max()
        tolerance = _SAME * max(1.0, abs(float(largest)))
        plateaus = np.flatnonzero(objective >= largest - tolerance)
        lower, upper = self.lower[plateaus], self.upper[plateaus]
        distance = np.maximum(0, np.maximum(lower - preferred, preferred - upper))
        # The upper end belongs to the next plateau.
        inside = (lower <= preferred) & (preferred < upper)
        if inside.any():
            return preferred
        nearest = int(distance.argmin())
        middle = float((lower[nearest] + upper[nearest]) / 2)
        # Between neighbouring numbers there is no middle.
        return middle if middle < upper[nearest] else float(lower[nearest])
