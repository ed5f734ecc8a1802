"""Recall: the share of a class's documents that are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import confusion, over_classes, ratio
from perennial.metrics.evaluation.metric import Metric

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _recall(p: Predictions, counts: Counts) -> Floats:
    right, _, actual = confusion(p, counts)
    return over_classes(ratio(right, actual), p)


METRIC = Metric(
    name="recall",
    of_resamples=_recall,
    position=30,
    more_is_better=True,
    of_positive_class=True,
)
