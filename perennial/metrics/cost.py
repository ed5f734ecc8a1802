"""Cost: the mean of what errors cost, in the unit of the problem's costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import mean
from perennial.metrics.evaluation.metric import Metric

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _cost(p: Predictions, counts: Counts) -> Floats:
    if p.costs is None:
        raise ValueError("there is no cost without decision.costs in the problem's file")
    return mean(p.costs[p.truth, p.predicted], counts)


METRIC = Metric(
    name="cost",
    of_resamples=_cost,
    position=80,
    more_is_better=False,
    needs="decision.costs",
)
