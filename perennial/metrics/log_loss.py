"""Log loss: the mean of the negative logarithm of the true class's probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import mean, slopes_of_mean
from perennial.metrics.evaluation.metric import Metric

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _log_loss(p: Predictions, counts: Counts) -> Floats:
    return mean(_losses(p), counts)


def _slopes(p: Predictions, sizes: Floats) -> Floats:
    return slopes_of_mean(_losses(p), sizes)


def _losses(p: Predictions) -> Floats:
    import numpy as np

    eps = np.finfo(np.float64).eps
    clipped = np.clip(p.probabilities, eps, 1 - eps)
    clipped /= clipped.sum(axis=1, keepdims=True)
    losses: Floats = -np.log(clipped[np.arange(len(p)), p.truth])
    return losses


METRIC = Metric(
    name="log_loss",
    of_resamples=_log_loss,
    position=60,
    more_is_better=False,
    needs_probabilities=True,
    slopes=_slopes,
)
