"""Average precision: the area under the curve of precision and recall, in steps.

Of a rare class it shows more than ROC-AUC, to which many true negatives lend their weight.
"""

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


def _slopes(p: Predictions, sizes: Floats) -> Floats:
    import numpy as np

    by_class = [_slopes_of_area(ranking, sizes) for ranking in p.rankings]
    slopes: Floats = np.mean(by_class, axis=0)
    return slopes


def _slopes_of_area(ranking: Ranking, sizes: Floats) -> Floats:
    """Return how much the area changes with the weight of each document.

    A document changes the precision down to each document of the class that is not above it.
    """
    import numpy as np

    right, wrong = weights_by_score(ranking, sizes)
    found, asked = (np.cumsum(each[::-1])[::-1] for each in (right, right + wrong))
    in_all, precision = right.sum(), found / asked
    area = right @ precision / in_all
    diluted = -np.cumsum(right * precision / asked)
    raised = np.cumsum(right / asked)
    return of_documents(ranking, (precision + raised + diluted - area) / in_all, diluted / in_all)


METRIC = Metric(
    name="average_precision",
    of_resamples=_average_precision,
    position=55,
    more_is_better=True,
    needs_probabilities=True,
    slopes=_slopes,
    of_positive_class=True,
)
