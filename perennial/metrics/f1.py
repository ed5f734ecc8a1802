"""F1: the harmonic mean of precision and recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import confusion, over_classes, ratio
from perennial.metrics.evaluation.metric import Metric, Outcomes

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _f1(p: Predictions, counts: Counts) -> Floats:
    right, predicted, actual = confusion(p, counts)
    return over_classes(ratio(2 * right, predicted + actual), p)


def _outcomes(p: Predictions) -> Outcomes | None:
    """Return the outcomes of the positive class; the mean of several classes is no proportion."""
    if len(p.classes) > 2:
        return None
    positive, given = p.truth == 1, p.predicted == 1
    # Of the documents that are positive, or are called so, as many are both as F1 says.
    return Outcomes(positive & given, positive | given, lambda share: 2 * share / (1 + share))


METRIC = Metric(
    name="f1",
    of_resamples=_f1,
    position=40,
    more_is_better=True,
    of_positive_class=True,
    is_tuned_for=True,
    outcomes=_outcomes,
)
