"""Baselines: what a challenger is worth beside a constant answer and beside a simple model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from perennial.gates.first_version import best_constant
from perennial.metrics import Interval, MetricName, Predictions, compute, difference


class Baseline(BaseModel):
    """An answer that costs little, beside the challenger's on the same documents.

    Attributes
    ----------
    name : str
        What answers.
    metric : str
        The metric.
    value : float
        Its value.
    gain : Interval
        By how much the challenger is better.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    metric: MetricName
    value: float
    gain: Interval

    @property
    def conclusion(self) -> str:
        """What that says of the challenger, in a few words."""
        if self.gain.low > 0:
            return "the challenger is better"
        return "the challenger is worse" if self.gain.high < 0 else "not proved to be worse"


def compare_baselines(
    metric: MetricName,
    challenger: Predictions,
    simpler: Mapping[str, Predictions],
    *,
    confidence: float,
    seed: int,
) -> Iterator[Baseline]:
    """Yield the best constant answer, and then simpler models.

    Parameters
    ----------
    metric : str
        The metric of the problem.
    challenger : Predictions
        The challenger's predictions.
    simpler : mapping of str to Predictions
        Name of a simpler model -> its predictions for the same documents.
    confidence : float
        Of the intervals.
    seed : int
        Of those that are resampled.
    """
    asked, constant = best_constant(metric, challenger)
    label = constant.classes[int(constant.predicted[0])]
    for name, each, judged in (
        (f"the best constant answer, {label}", constant, asked),
        *((name, each, metric) for name, each in simpler.items()),
    ):
        yield Baseline(
            name=name,
            metric=judged,
            value=compute(judged, each),
            gain=difference(judged, challenger, each, confidence=confidence, seed=seed),
        )
