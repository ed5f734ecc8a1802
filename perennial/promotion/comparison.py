"""Metrics of challenger and Production, beside each other on the same documents."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from perennial.metrics import MetricName, Predictions, compute, metrics_of


class MetricPair(BaseModel):
    """One metric of both versions.

    Attributes
    ----------
    metric : str
        Its name.
    challenger, production : float
        Its values.
    """

    model_config = ConfigDict(frozen=True)

    metric: MetricName
    challenger: float
    production: float


def compare_metrics(challenger: Predictions, production: Predictions) -> tuple[MetricPair, ...]:
    """Return every metric of two versions that have predicted the same documents."""
    return tuple(
        MetricPair(
            metric=metric,
            challenger=compute(metric, challenger),
            production=compute(metric, production),
        )
        for metric in metrics_of(challenger)
    )
