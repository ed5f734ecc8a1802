"""Metrics of one sample, and their intervals from thousands of bootstrap resamples at once.

A resample of a holdout is a vector of counts: how often each document was drawn. Every metric is
computed from such counts, for many vectors in a few matrix products, which makes intervals cost
milliseconds instead of one scikit-learn call per resample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.concurrency import ahead
from perennial.metrics.evaluation.registry import METRICS, MetricName

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.predictions import Floats, Predictions

RESAMPLES = 2_000
_RESAMPLES_AT_ONCE = 50


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def compute(metric: MetricName, predictions: Predictions) -> float:
    """Return one metric; equal to scikit-learn's for the same predictions.

    With two classes precision, recall, F1 and average precision are those of the positive class,
    otherwise the mean over the classes; ROC-AUC of more than two classes is the mean of one class
    against the rest.
    The cost is the mean over documents, in the unit of the problem's costs.

    Raises
    ------
    ValueError
        If the cost is asked for, and the predictions do not say what errors cost.
    """
    import numpy as np

    return float(METRICS[metric].of_resamples(predictions, np.ones((1, len(predictions))))[0])


def metrics_of(predictions: Predictions) -> tuple[MetricName, ...]:
    """Return the metrics that tell something: the cost only where errors have one, say."""
    return tuple(
        name
        for name, metric in METRICS.items()
        if (predictions.costs is not None or not metric.needs_costs)
        and len(predictions.classes) >= metric.least_classes
    )


def intervals(
    predictions: Predictions, *, confidence: float, seed: int
) -> dict[MetricName, Interval]:
    """Return every metric with its percentile bootstrap interval over documents.

    All metrics are computed on the same resamples, which are drawn once.
    """
    import numpy as np

    draws: dict[MetricName, list[Floats]] = {metric: [] for metric in metrics_of(predictions)}
    for counts in ahead(_resamples(len(predictions), seed)):
        for metric, drawn in draws.items():
            drawn.append(METRICS[metric].of_resamples(predictions, counts))
    return {
        metric: _interval(compute(metric, predictions), np.concatenate(drawn), confidence)
        for metric, drawn in draws.items()
    }


def interval(
    metric: MetricName, predictions: Predictions, *, confidence: float, seed: int
) -> Interval:
    """Return one metric with the interval that `intervals` gives it."""
    import numpy as np

    draws = [
        METRICS[metric].of_resamples(predictions, counts)
        for counts in ahead(_resamples(len(predictions), seed))
    ]
    return _interval(compute(metric, predictions), np.concatenate(draws), confidence)


def difference(
    metric: MetricName,
    challenger: Predictions,
    production: Predictions,
    *,
    confidence: float,
    seed: int,
) -> Interval:
    """Return how much better the challenger is, paired: both models on the same resamples.

    The paired percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    chapter 13) serves every metric here alike; an exact test exists for accuracy only. For losses
    the sign is turned, so that more is always better.

    To metrics of labels, documents are alike whose label and whose two predicted labels are the
    same. How often a resample draws each kind of document is multinomial; drawing these few numbers
    at once gives the same distribution as drawing documents, some hundred times as fast.

    Raises
    ------
    ValueError
        If the two were not made on the same documents.
    """
    import numpy as np

    if not np.array_equal(challenger.truth, production.truth):
        raise ValueError("challenger and Production did not predict the same documents")
    judged = METRICS[metric]
    value = compute(metric, challenger) - compute(metric, production)
    resamples: Iterable[Counts]
    if not judged.needs_probabilities:
        challenger, production, counts = _kinds(challenger, production, seed)
        resamples = [counts]
    else:
        resamples = ahead(_resamples(len(challenger), seed))
    draws = [
        judged.of_resamples(challenger, counts) - judged.of_resamples(production, counts)
        for counts in resamples
    ]
    return _interval(judged.sign * value, judged.sign * np.concatenate(draws), confidence)


def _interval(value: float, draws: Floats, confidence: float) -> Interval:
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def _kinds(
    challenger: Predictions, production: Predictions, seed: int
) -> tuple[Predictions, Predictions, Counts]:
    """Return one document of each kind as both see it, and how often resamples draw each kind."""
    import numpy as np

    shape = (len(challenger.classes),) * 3
    labels = (challenger.truth, challenger.predicted, production.predicted)
    _, one, sizes = np.unique(
        np.ravel_multi_index(labels, shape), return_index=True, return_counts=True
    )
    # In the order of the documents, which is the same whichever of the two comes first.
    order = np.argsort(one)
    shares = sizes[order] / sizes.sum()
    counts = np.random.default_rng(seed).multinomial(sizes.sum(), shares, RESAMPLES)
    kinds = np.zeros(len(challenger), np.bool_)
    kinds[one] = True
    return challenger.take(kinds), production.take(kinds), counts.astype(np.float64)


def _resamples(n: int, seed: int) -> Iterator[Counts]:
    """Yield matrices of counts, shape (some, n); each row is one draw of n with replacement."""
    import numpy as np

    rng = np.random.default_rng(seed)
    shift = np.arange(_RESAMPLES_AT_ONCE)[:, None] * n
    for _ in range(0, RESAMPLES, _RESAMPLES_AT_ONCE):
        drawn = rng.integers(0, n, size=(_RESAMPLES_AT_ONCE, n))
        flat = np.bincount((drawn + shift).ravel(), minlength=_RESAMPLES_AT_ONCE * n)
        yield flat.reshape(_RESAMPLES_AT_ONCE, n).astype(np.float64)
