"""Average precision: the area under the curve of precision and recall, in steps.

Of a rare class it shows more than ROC-AUC, to which many true negatives lend their weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.metric import Metric
from perennial.metrics.evaluation.rankings import by_score, mean_of_known

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions, Ranking


def _average_precision(p: Predictions, counts: Counts) -> Floats:
    return mean_of_known([_area(ranking, counts) for ranking in p.rankings])


def _area(ranking: Ranking, counts: Counts) -> Floats:
    """Return the mean, over the documents of the class, of the precision down to each of them."""
    import numpy as np

    right, given = by_score(ranking, counts)
    found, asked = (np.cumsum(each[::-1], axis=0)[::-1] for each in (right, given))
    precision = np.divide(found, asked, out=np.zeros_like(found), where=asked > 0)
    with np.errstate(invalid="ignore"):
        areas: Floats = np.einsum("sr,sr->r", right, precision) / right.sum(axis=0)
    return areas


METRIC = Metric(
    name="average_precision",
    of_resamples=_average_precision,
    position=55,
    more_is_better=True,
    needs_probabilities=True,
    of_positive_class=True,
)
