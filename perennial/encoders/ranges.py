"""Ranges of numbers: between which of them most documents are."""

from __future__ import annotations

import numpy as np

from perennial.encoders.blocks import Floats

# What lies outside may be somebody's own.
_PERCENT = (1, 99)
_MOST_ROWS = 100_000


def usual_range(numbers: Floats) -> Floats:
    """Return between which numbers 98% of the documents are, shape (2, n_numbers).

    It is NaN where no document has a number. Of very many documents it looks at a share.
    """
    numbers = numbers[:: max(1, len(numbers) // _MOST_ROWS)]
    found: Floats = np.full((2, numbers.shape[1]), np.nan)
    some = ~np.isnan(numbers).all(axis=0)
    if some.any():
        found[:, some] = np.nanpercentile(numbers[:, some], _PERCENT, axis=0)
    return found
