"""ROC-AUC: the area under the curve of the true and the false positive rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.metric import Metric
from perennial.metrics.evaluation.rankings import (
    by_score,
    mean_of_known,
    of_documents,
    weights_by_score,
)

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions, Ranking


def _roc_auc(p: Predictions, counts: Counts) -> Floats:
    return mean_of_known([_area(ranking, counts) for ranking in p.rankings])


def _area(ranking: Ranking, counts: Counts) -> Floats:
    """Return the share of pairs (positive, negative) in the right order; ties count half."""
    import numpy as np

    above, given = by_score(ranking, counts)
    # Whole numbers: nothing is lost by taking one from the other.
    below = given - above
    before = np.cumsum(below, axis=0) - below / 2
    pairs = above.sum(axis=0) * below.sum(axis=0)
    # Without documents on both sides of the ranking there is no pair, and no area.
    with np.errstate(invalid="ignore"):
        areas: Floats = np.einsum("sr,sr->r", above, before) / pairs
    return areas


def _slopes(p: Predictions, sizes: Floats) -> Floats:
    import numpy as np

    by_class = [_slopes_of_area(ranking, sizes) for ranking in p.rankings]
    slopes: Floats = np.mean(by_class, axis=0)
    return slopes


def _slopes_of_area(ranking: Ranking, sizes: Floats) -> Floats:
    """Return how much the area changes with the weight of each document."""
    import numpy as np

    above, below = weights_by_score(ranking, sizes)
    n_above, n_below = above.sum(), below.sum()
    lower = (np.cumsum(below) - below / 2) / n_below
    higher = 1 - (np.cumsum(above) - above / 2) / n_above
    area = above @ lower / n_above
    of_positive, of_negative = (lower - area) / n_above, (higher - area) / n_below
    return of_documents(ranking, of_positive, of_negative)


METRIC = Metric(
    name="roc_auc",
    of_resamples=_roc_auc,
    position=50,
    more_is_better=True,
    needs_probabilities=True,
    slopes=_slopes,
)
