"""Metrics of one sample and their intervals: exact where a metric is a proportion, else resampled.

A resample of a holdout is a vector of weights, one for each document (Rubin, The Bayesian
Bootstrap, Annals of Statistics 9, 1981). Every metric is computed from such weights, for many
vectors in a few matrix products, which makes intervals cost milliseconds instead of one
scikit-learn call per resample.

A bootstrap knows nothing of what it has not seen, and is too sure of itself where errors or labels
are rare. So each end of an interval has seen a little more: the lower one a further document about
which the model is as wrong as it is about any, the upper one a further document about which it is
as right. `benchmarks.promotion` has the coverage of every metric.

Of 20,000 documents or more, areas and losses have the interval that resamples would tend to, which
needs none: see `perennial.metrics.evaluation.large`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.concurrency import ahead
from perennial.metrics.evaluation.further import further_documents
from perennial.metrics.evaluation.large import are_many, ends_of_many
from perennial.metrics.evaluation.metric import Needed
from perennial.metrics.evaluation.proportions import paired_interval, proportion_interval
from perennial.metrics.evaluation.registry import METRICS, MetricName

if TYPE_CHECKING:
    from perennial.metrics.evaluation.counting import Counts
    from perennial.metrics.evaluation.further import Ends
    from perennial.metrics.evaluation.predictions import Floats, Predictions

RESAMPLES = 2_000
_RESAMPLES_AT_ONCE = 50
# Of a few kinds of documents resamples are cheap: so many lie beyond each end of an interval then,
# and so many there are at most.
_FEW, _BEYOND, _MOST_RESAMPLES = 64, 50, 100_000


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
        If the cost is asked for, and the predictions do not say what errors cost; or the recall at
        a precision, and they do not say which one.
    """
    import numpy as np

    return float(METRICS[metric].of_resamples(predictions, np.ones((1, len(predictions))))[0])


def metrics_of(predictions: Predictions) -> tuple[MetricName, ...]:
    """Return the metrics that tell something: the cost only where errors have one, say."""
    there: dict[Needed | None, bool] = {
        None: True,
        "decision.costs": predictions.costs is not None,
        "decision.floor.precision": predictions.least_precision is not None,
    }
    return tuple(
        name
        for name, metric in METRICS.items()
        if there[metric.needs] and metric.tells_of(len(predictions.classes))
    )


def intervals(
    predictions: Predictions, *, confidence: float, seed: int
) -> dict[MetricName, Interval]:
    """Return every metric with its interval over documents.

    All metrics that need resamples have the same ones, which are drawn once.
    """
    return _intervals(metrics_of(predictions), predictions, confidence, seed)


def interval(
    metric: MetricName, predictions: Predictions, *, confidence: float, seed: int
) -> Interval:
    """Return one metric with the interval that `intervals` gives it."""
    return _intervals((metric,), predictions, confidence, seed)[metric]


def difference(
    metric: MetricName,
    challenger: Predictions,
    production: Predictions,
    *,
    confidence: float,
    seed: int,
) -> Interval:
    """Return how much better the challenger is, paired: both models on the same documents.

    Where the metric is a proportion of the same documents for both, the interval is nearly exact
    (`perennial.metrics.evaluation.proportions.paired_interval`); else both are weighted by the same
    resamples. For losses the sign is turned, so that more is always better.

    Raises
    ------
    ValueError
        If the two were not made on the same documents.
    """
    import numpy as np

    if not np.array_equal(challenger.truth, production.truth):
        raise ValueError("challenger and Production did not predict the same documents")
    judged = METRICS[metric]
    value = judged.sign * (compute(metric, challenger) - compute(metric, production))
    if _are_same(challenger, production):
        return Interval(value, value, value)
    paired = _paired(metric, challenger, production, confidence)
    if paired is not None:
        return Interval(value, min(value, paired[0]), max(value, paired[1]))
    ends = further_documents((challenger, production), labels=not judged.needs_probabilities)
    of_many = ends_of_many(judged, ends, confidence) if are_many(judged, challenger) else None
    if of_many is not None:
        return Interval(value, min(value, of_many[0]), max(value, of_many[1]))
    lows: list[Floats] = []
    highs: list[Floats] = []
    for weights in _weights(ends.sizes, confidence, seed):
        for found, (one, other) in ((lows, ends.low), (highs, ends.high)):
            gain = judged.of_resamples(one, weights) - judged.of_resamples(other, weights)
            found.append(judged.sign * gain)
    return _between(value, np.concatenate(lows), np.concatenate(highs), confidence)


def _intervals(
    metrics: tuple[MetricName, ...], predictions: Predictions, confidence: float, seed: int
) -> dict[MetricName, Interval]:
    exact = {name: _exact(name, predictions, confidence) for name in metrics}
    found = {name: each for name, each in exact.items() if each is not None}
    for by_labels in (True, False):
        left = [
            name
            for name in metrics
            if name not in found and METRICS[name].needs_probabilities is not by_labels
        ]
        if left:
            found |= _resampled(left, predictions, confidence, seed, by_labels=by_labels)
    return {name: found[name] for name in metrics}


def _resampled(
    metrics: list[MetricName],
    predictions: Predictions,
    confidence: float,
    seed: int,
    *,
    by_labels: bool,
) -> dict[MetricName, Interval]:
    import numpy as np

    ends = further_documents((predictions,), labels=by_labels)
    found = _of_many(metrics, predictions, ends, confidence)
    metrics = [name for name in metrics if name not in found]
    if not metrics:
        return found
    drawn: dict[MetricName, tuple[list[Floats], list[Floats]]] = {m: ([], []) for m in metrics}
    for weights in _weights(ends.sizes, confidence, seed):
        for name, (lows, highs) in drawn.items():
            judged = METRICS[name]
            lows.append(judged.sign * judged.of_resamples(ends.low[0], weights))
            highs.append(judged.sign * judged.of_resamples(ends.high[0], weights))
    for name, (lows, highs) in drawn.items():
        sign, value = METRICS[name].sign, compute(name, predictions)
        each = _between(sign * value, np.concatenate(lows), np.concatenate(highs), confidence)
        low, high = sorted((sign * each.low, sign * each.high))
        found[name] = Interval(value, low, high)
    return found


def _of_many(
    metrics: list[MetricName], predictions: Predictions, ends: Ends, confidence: float
) -> dict[MetricName, Interval]:
    """Return the intervals that need no resamples, as there are many documents."""
    found = {}
    for name in metrics:
        judged = METRICS[name]
        both = ends_of_many(judged, ends, confidence) if are_many(judged, predictions) else None
        if both is not None:
            value = compute(name, predictions)
            low, high = sorted(judged.sign * each for each in both)
            found[name] = Interval(value, min(value, low), max(value, high))
    return found


def _exact(metric: MetricName, predictions: Predictions, confidence: float) -> Interval | None:
    """Return the interval of a metric that is a proportion; None if it is none."""
    outcomes = METRICS[metric].outcomes
    found = None if outcomes is None else outcomes(predictions)
    if found is None:
        return None
    low, high = proportion_interval(found.n_hits, found.n_trials, confidence)
    return Interval(compute(metric, predictions), found.value_of(low), found.value_of(high))


def _paired(
    metric: MetricName, challenger: Predictions, production: Predictions, confidence: float
) -> tuple[float, float] | None:
    """Return the interval of a difference of proportions of the same documents; None for others."""
    import numpy as np

    outcomes = METRICS[metric].outcomes
    if outcomes is None:
        return None
    one, other = outcomes(challenger), outcomes(production)
    if one is None or other is None or not one.is_share:
        return None
    if not np.array_equal(one.trials, other.trials):
        return None
    wins = int((one.hits & ~other.hits).sum())
    losses = int((other.hits & ~one.hits).sum())
    return paired_interval(wins, losses, one.n_trials, confidence)


def _are_same(one: Predictions, other: Predictions) -> bool:
    import numpy as np

    return np.array_equal(one.predicted, other.predicted) and np.array_equal(
        one.probabilities, other.probabilities
    )


def _between(value: float, lows: Floats, highs: Floats, confidence: float) -> Interval:
    """Return a value with the ends of its interval; all there is where nothing is known."""
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = float(np.nanquantile(lows, tail)), float(np.nanquantile(highs, 1 - tail))
    if math.isnan(value):
        return Interval(value, low, high)
    return Interval(value, min(value, low), max(value, high))


def _weights(sizes: Floats, confidence: float, seed: int) -> Iterator[Counts]:
    """Yield matrices of weights, shape (some, n); each row is one resample.

    Parameters
    ----------
    sizes : ndarray, shape (n,)
        How many documents each of the n stands for.
    confidence : float
        Of the interval whose ends are looked for.
    seed : int
        The same seed gives the same weights.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    if len(sizes) <= _FEW:
        wanted = min(max(10 * RESAMPLES, int(2 * _BEYOND / (1 - confidence))), _MOST_RESAMPLES)
        yield rng.standard_gamma(sizes, size=(wanted, len(sizes)))
        return
    yield from ahead(
        rng.standard_gamma(sizes, size=(_RESAMPLES_AT_ONCE, len(sizes)))
        for _ in range(0, RESAMPLES, _RESAMPLES_AT_ONCE)
    )
