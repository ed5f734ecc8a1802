"""The learning curve: what a model would be with fewer labels, and perhaps with more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.metrics import METRICS, Interval, MetricName, Predictions, compute, difference

Masks = NDArray[np.bool_]

SHARES = (0.125, 0.25, 0.5)
# Of fewer documents a model says more about chance than about their number.
_LEAST_DOCUMENTS = 40
# Points that a slope is fitted to; further back the curve may have been another one.
_LEAST_POINTS = 2


@dataclass(frozen=True)
class CurvePoint:
    """A model of some of the documents.

    Attributes
    ----------
    documents : int
        How many it has learned from.
    value : float
        Its metric on the holdout.
    """

    documents: int
    value: float


@dataclass(frozen=True)
class LearningCurve:
    """What the same candidate reaches with fewer documents.

    Attributes
    ----------
    metric : str
        By which it is judged.
    points : tuple of CurvePoint
        By number of documents, the last one with all of them.
    last_doubling : Interval
        How much better it is with all documents than with half of them; above 0 is better.
    """

    metric: MetricName
    points: tuple[CurvePoint, ...]
    last_doubling: Interval

    @property
    def next_doubling(self) -> float:
        """How much better it would be with twice the documents; 0 if nothing suggests it.

        Errors shrink by about the same factor whenever documents are doubled (Hestness et al., Deep
        Learning Scaling is Predictable, Empirically, 2017): the factor is that of all points.
        """
        sign = METRICS[self.metric].sign
        errors = np.array([1 - each.value if sign > 0 else each.value for each in self.points])
        if (errors <= 0).any():
            return 0.0
        documents = np.array([each.documents for each in self.points], np.float64)
        slope = float(np.polyfit(np.log2(documents), np.log2(errors), 1)[0])
        shrinks_to = float(2.0 ** min(slope, 0.0))
        return float(errors[-1]) * (1 - shrinks_to)

    @property
    def is_seen(self) -> bool:
        """Whether the holdout shows that the last doubling made a difference."""
        return self.last_doubling.low > 0


def learning_curve(
    metric: MetricName,
    places: NDArray[np.float64],
    full: Predictions,
    fit_and_predict: Callable[[Masks], Predictions],
    *,
    confidence: float,
    seed: int,
    shares: Sequence[float] = SHARES,
) -> LearningCurve | None:
    """Return the learning curve of a candidate; None of too few documents.

    Each part of the documents is within the next larger one.

    Parameters
    ----------
    metric : str
        By which models are judged.
    places : ndarray of float64, shape (n_documents,)
        A number in [0, 1) for each document, the same for what belongs together.
    full : Predictions
        What a model of all documents says of the holdout.
    fit_and_predict : callable
        Takes a mask of documents, and returns what a model of these says of the holdout.
    confidence, seed : float, int
        Of the interval.
    shares : sequence of float
        Which parts are tried, the last one about a half.
    """
    points, half = [], None
    for share in shares:
        part = places < share
        if part.sum() < _LEAST_DOCUMENTS:
            continue
        half = fit_and_predict(part)
        points.append(CurvePoint(int(part.sum()), compute(metric, half)))
    if half is None or len(points) < _LEAST_POINTS:
        return None
    points.append(CurvePoint(len(places), compute(metric, full)))
    gained = difference(metric, full, half, confidence=confidence, seed=seed)
    return LearningCurve(metric, tuple(points), gained)
