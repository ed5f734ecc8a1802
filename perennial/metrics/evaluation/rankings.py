"""Metrics of rankings: one figure per class, of which some may not exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Ranking


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


def by_score(ranking: Ranking, counts: Counts) -> tuple[Floats, Floats]:
    """Return the weight of each distinct score, the lowest first: of the class, and in all.

    Parameters
    ----------
    ranking : Ranking
        The documents in the order of their scores.
    counts : ndarray of float64, shape (n_resamples, n_documents)
        How often each resample has each document.

    Returns
    -------
    tuple of ndarray of float64, shape (n_scores, n_resamples)
        Resamples lie side by side: NumPy adds up many of them at once then.
    """
    import numpy as np

    given = np.ascontiguousarray(counts.T).take(ranking.order, axis=0)
    positive = given * ranking.positive[:, None]
    return _by_group(positive, ranking.starts), _by_group(given, ranking.starts)


def weights_by_score(ranking: Ranking, sizes: Floats) -> tuple[Floats, Floats]:
    """Return the weight of each distinct score, the lowest first: of the class, and of others."""
    of_class, in_all = (each[:, 0] for each in by_score(ranking, sizes[None, :]))
    return of_class, in_all - of_class


def of_documents(ranking: Ranking, of_class: Floats, of_others: Floats) -> Floats:
    """Return for each document the number of its score: that of the class, or that of others."""
    import numpy as np

    is_start = np.zeros(len(ranking.order), np.int64)
    is_start[ranking.starts] = 1
    scores = np.cumsum(is_start) - 1
    found: Floats = np.empty(len(scores))
    found[ranking.order] = np.where(ranking.positive, of_class[scores], of_others[scores])
    return found


def _by_group(rows: Floats, starts: NDArray[np.int64]) -> Floats:
    """Return the sum of the rows from each start to the next one."""
    import numpy as np

    is_start = np.zeros(len(rows), np.bool_)
    is_start[starts] = True
    others = np.flatnonzero(~is_start)
    if len(others) > len(starts):
        grouped: Floats = np.add.reduceat(rows, starts, axis=0)
        return grouped
    # Most scores are those of one document.
    sums: Floats = rows.take(starts, axis=0)
    np.add.at(sums, np.searchsorted(starts, others) - 1, rows[others])
    return sums
