"""Recall at a precision: the largest recall of the thresholds that keep the precision asked for.

Like average precision it judges how the documents are ranked, but only down to where the positive
label is still right often enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import ratio
from perennial.metrics.evaluation.metric import Metric
from perennial.metrics.evaluation.rankings import by_score

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions

# Sums of weights that should reach the precision exactly may miss it by their last digits.
_TOLERANCE = 1e-9


def _recall_at_precision(p: Predictions, counts: Counts) -> Floats:
    if p.least_precision is None:
        raise ValueError(
            "there is no recall at a precision without decision.floor.precision in the problem's "
            "file"
        )
    import numpy as np

    right, given = by_score(p.rankings[-1], counts)
    found, asked = (np.cumsum(each[::-1], axis=0) for each in (right, given))
    kept = ratio(found, asked) >= p.least_precision - _TOLERANCE
    largest: Floats = np.where(kept, found, 0.0).max(axis=0)
    return ratio(largest, found[-1])


METRIC = Metric(
    name="recall_at_precision",
    of_resamples=_recall_at_precision,
    position=57,
    more_is_better=True,
    needs_probabilities=True,
    needs="decision.floor.precision",
    of_positive_class=True,
    most_classes=2,
)
