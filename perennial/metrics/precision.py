"""Precision: the share of a label's answers that are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import confusion, over_classes, ratio
from perennial.metrics.evaluation.metric import Metric, Outcomes

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _precision(p: Predictions, counts: Counts) -> Floats:
    right, predicted, _ = confusion(p, counts)
    return over_classes(ratio(right, predicted), p)


def _outcomes(p: Predictions) -> Outcomes | None:
    """Return the outcomes of the positive class; the mean of several classes is no proportion."""
    if len(p.classes) > 2:
        return None
    given = p.predicted == 1
    return Outcomes(given & (p.truth == 1), given)


METRIC = Metric(
    name="precision",
    of_resamples=_precision,
    position=20,
    more_is_better=True,
    of_positive_class=True,
    outcomes=_outcomes,
)
