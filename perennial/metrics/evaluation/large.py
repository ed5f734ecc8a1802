"""Intervals of many documents, without resamples: by how much each document moves a metric.

A metric of so many documents is all but a sum over them, so that its resamples are all but normally
distributed around the metric itself. Their variance follows from its slopes by the weights of the
documents, its influence function (Hampel 1974; of areas under ROC curves that is the method of
DeLong, DeLong and Clarke-Pearson, 1988), and so does their skewness, by which the quantiles are
corrected (Cornish and Fisher, 1938). All that is worked out once, where resampling looks at every
document thousands of times.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.metrics.evaluation.further import Ends
    from perennial.metrics.evaluation.metric import Metric
    from perennial.metrics.evaluation.predictions import Floats, Predictions

# So many documents, and of each class, are many, if what they say is not said by a few of them: by
# no fewer than would say as much if all of them moved the metric alike.
_MANY, _OF_CLASS, _SAYING = 20_000, 1_000, 100


def are_many(metric: Metric, predictions: Predictions) -> bool:
    """Tell whether a metric of these documents may have an interval without resamples."""
    import numpy as np

    if metric.slopes is None or len(predictions) < _MANY:
        return False
    of_class = np.bincount(predictions.truth, minlength=len(predictions.classes))
    return bool(of_class.min() >= _OF_CLASS)


def ends_of_many(metric: Metric, ends: Ends, confidence: float) -> tuple[float, float] | None:
    """Return both ends of the interval of a metric, or of how much better one model is.

    Parameters
    ----------
    metric : Metric
        The metric.
    ends : Ends
        One model or two, as each end of the interval sees them.
    confidence : float
        Of the interval.

    Returns
    -------
    tuple of float, or None
        More is always better. None if few documents decide: such resamples are skewed.
    """
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    found = []
    for sign, models in ((-1, ends.low), (1, ends.high)):
        value, slopes = _middle(metric, models, ends.sizes)
        squares = slopes**2
        spread = float(ends.sizes @ squares)
        if spread**2 < _SAYING * float(ends.sizes @ squares**2):
            return None
        # The weights of documents that stand for s each have a Dirichlet distribution; they are
        # gamma variates, whose third moment is 2 s, but for their sum.
        in_all = float(ends.sizes.sum())
        deviation = math.sqrt(in_all * spread / (in_all + 1))
        skewness = 2 * float(ends.sizes @ (squares * slopes)) / spread**1.5 if spread else 0.0
        corrected = sign * quantile + skewness * (quantile**2 - 1) / 6
        found.append(value + corrected * deviation)
    return found[0], found[1]


def _middle(metric: Metric, models: tuple[Predictions, ...], sizes: Floats) -> tuple[float, Floats]:
    """Return the middle of the resamples, and how much it changes with each document's weight."""
    assert metric.slopes is not None
    value, slopes = 0.0, sizes * 0.0
    for sign, model in zip((1, -1), models, strict=False):
        value += sign * float(metric.of_resamples(model, sizes[None, :])[0])
        slopes += sign * metric.slopes(model, sizes)
    return metric.sign * value, slopes
