"""Metrics of rankings: one figure per class, of which some may not exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.metrics.evaluation.predictions import Floats


def mean_of_known(areas: Sequence[Floats]) -> Floats:
    """Return the mean over the classes of each resample.

    A class that no document of a resample has, or all have, has no area; the mean is over the
    others.

    Parameters
    ----------
    areas : sequence of ndarray of float64, shape (n_resamples,)
        For each class its areas; NaN where it has none.
    """
    import numpy as np

    stacked = np.array(areas)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0)
    return mean
