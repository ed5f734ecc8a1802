"""Recall: the share of a class's documents that are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import confusion, over_classes, ratio
from perennial.metrics.evaluation.metric import Metric, Outcomes

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _recall(p: Predictions, counts: Counts) -> Floats:
    right, _, actual = confusion(p, counts)
    return over_classes(ratio(right, actual), p)


def _outcomes(p: Predictions) -> Outcomes | None:
    """Return the outcomes of the positive class; the mean of several classes is no proportion."""
    if len(p.classes) > 2:
        return None
    positive = p.truth == 1
    return Outcomes(positive & (p.predicted == 1), positive)


METRIC = Metric(
    name="recall",
    of_resamples=_recall,
    position=30,
    more_is_better=True,
    of_positive_class=True,
    outcomes=_outcomes,
)
