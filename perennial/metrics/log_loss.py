"""Log loss: the mean of the negative logarithm of the true class's probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import mean
from perennial.metrics.evaluation.metric import Metric

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _log_loss(p: Predictions, counts: Counts) -> Floats:
    import numpy as np

    eps = np.finfo(np.float64).eps
    clipped = np.clip(p.probabilities, eps, 1 - eps)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return mean(-np.log(clipped[np.arange(len(p)), p.truth]), counts)


METRIC = Metric(
    name="log_loss",
    of_resamples=_log_loss,
    position=60,
    more_is_better=False,
    needs_probabilities=True,
)
