"""Accuracy: the share of documents that get the right label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import mean
from perennial.metrics.evaluation.metric import Metric, Outcomes

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _accuracy(p: Predictions, counts: Counts) -> Floats:
    import numpy as np

    return mean((p.truth == p.predicted).astype(np.float64), counts)


def _outcomes(p: Predictions) -> Outcomes:
    import numpy as np

    return Outcomes(p.truth == p.predicted, np.ones(len(p), np.bool_))


METRIC = Metric(
    name="accuracy",
    of_resamples=_accuracy,
    position=10,
    more_is_better=True,
    outcomes=_outcomes,
)
