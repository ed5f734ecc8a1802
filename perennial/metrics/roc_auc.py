"""ROC-AUC: the area under the curve of the true and the false positive rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.metric import Metric
from perennial.metrics.evaluation.rankings import mean_of_known

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions, Ranking


def _roc_auc(p: Predictions, counts: Counts) -> Floats:
    return mean_of_known([_area(ranking, counts) for ranking in p.rankings])


def _area(ranking: Ranking, counts: Counts) -> Floats:
    """Return the share of pairs (positive, negative) in the right order; ties count half."""
    import numpy as np

    counts = counts.take(ranking.order, axis=1)
    above = np.add.reduceat(counts * ranking.positive, ranking.starts, axis=1)
    # Whole numbers: nothing is lost by taking one from the other.
    below = np.add.reduceat(counts, ranking.starts, axis=1) - above
    before = np.cumsum(below, axis=1) - below / 2
    pairs = above.sum(axis=1) * below.sum(axis=1)
    # Without documents on both sides of the ranking there is no pair, and no area.
    with np.errstate(invalid="ignore"):
        areas: Floats = (above * before).sum(axis=1) / pairs
    return areas


METRIC = Metric(
    name="roc_auc",
    of_resamples=_roc_auc,
    position=50,
    more_is_better=True,
    needs_probabilities=True,
)
