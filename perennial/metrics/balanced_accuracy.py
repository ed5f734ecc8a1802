"""Balanced accuracy: the mean over the classes of the share of their documents that are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import confusion, ratio
from perennial.metrics.evaluation.metric import Metric

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _balanced_accuracy(p: Predictions, counts: Counts) -> Floats:
    right, _, actual = confusion(p, counts)
    # A class without documents has no share: the mean is over the others.
    means: Floats = ratio(right, actual).sum(axis=1) / (actual > 0).sum(axis=1)
    return means


METRIC = Metric(
    name="balanced_accuracy",
    of_resamples=_balanced_accuracy,
    position=15,
    more_is_better=True,
    is_tuned_for=True,
)
