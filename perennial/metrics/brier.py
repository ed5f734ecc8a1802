"""Brier score: the mean squared distance of the probabilities to the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.metrics.evaluation.counting import mean, one_hot, slopes_of_mean
from perennial.metrics.evaluation.metric import Metric

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions


def _brier(p: Predictions, counts: Counts) -> Floats:
    return mean(_distances(p), counts)


def _slopes(p: Predictions, sizes: Floats) -> Floats:
    return slopes_of_mean(_distances(p), sizes)


def _distances(p: Predictions) -> Floats:
    squares: Floats = ((p.probabilities - one_hot(p.truth, p)) ** 2).sum(axis=1)
    return squares / 2 if len(p.classes) == 2 else squares


METRIC = Metric(
    name="brier",
    of_resamples=_brier,
    position=70,
    more_is_better=False,
    needs_probabilities=True,
    slopes=_slopes,
)
