"""Metrics of predictions, for one sample or for thousands of bootstrap resamples at once.

A resample of a holdout is a vector of counts: how often each document was drawn. Every metric here
is computed from such counts, for many vectors in a few matrix products, which makes intervals cost
milliseconds instead of one scikit-learn call per resample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from perennial.concurrency import ahead
from perennial.schema import MetricName

Floats = NDArray[np.float64]
Counts = NDArray[np.float64]

# Metrics of which less is better.
LOSSES: frozenset[MetricName] = frozenset({"log_loss", "brier", "cost"})
# Metrics that depend on the labels alone, not on the probabilities.
_OF_LABELS: frozenset[MetricName] = frozenset({"accuracy", "precision", "recall", "f1", "cost"})
RESAMPLES = 2_000
_RESAMPLES_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Ranking:
    """Documents in the order of their scores.

    Attributes
    ----------
    order : ndarray of int64, shape (n_documents,)
        The documents, the lowest score first.
    starts : ndarray of int64, shape (n_scores,)
        Where each distinct score begins in that order.
    positive : ndarray of bool, shape (n_documents,)
        Which documents, in that order, are of the class in question.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    positive: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about documents whose labels are known.

    Attributes
    ----------
    classes : tuple of str
        The labels; the last one is the positive class of a problem with two.
    truth : ndarray of int64, shape (n_documents,)
        Position in `classes` of each document's label.
    predicted : ndarray of int64, shape (n_documents,)
        Position in `classes` of the label that the model gives.
    probabilities : ndarray of float64, shape (n_documents, n_classes)
        The model's probability of each class.
    costs : ndarray of float64, shape (n_classes, n_classes), or None
        What it costs to give a label (column) to a document of a class (row), if that is known.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: Floats
    costs: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """The documents by the probability of each class that has an area under its ROC curve."""
        n_classes = len(self.classes)
        classes = range(n_classes) if n_classes != 2 else [1]
        return tuple(_rank(self.probabilities[:, k], self.truth == k) for k in classes)

    def take(self, rows: NDArray[np.bool_]) -> Predictions:
        """Return the predictions about the documents where `rows` is true."""
        return replace(
            self,
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            probabilities=self.probabilities[rows],
        )


def join(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions about the documents of all parts, of which there is one or more."""
    return replace(
        parts[0],
        truth=np.concatenate([part.truth for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


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

    With two classes precision, recall and F1 are those of the positive class, otherwise the mean
    over the classes; ROC-AUC of more than two classes is the mean of one class against the rest.
    The cost is the mean over documents, in the unit of the problem's costs.

    Raises
    ------
    ValueError
        If the cost is asked for, and the predictions do not say what errors cost.
    """
    return float(_METRICS[metric](predictions, np.ones((1, len(predictions))))[0])


def metrics_of(predictions: Predictions) -> tuple[MetricName, ...]:
    """Return the metrics that can be computed: the cost only where errors have one."""
    return METRICS if predictions.costs is None else (*METRICS, "cost")


def intervals(
    predictions: Predictions, *, confidence: float, seed: int
) -> dict[MetricName, Interval]:
    """Return every metric with its percentile bootstrap interval over documents.

    All metrics are computed on the same resamples, which are drawn once.
    """
    draws: dict[MetricName, list[Floats]] = {metric: [] for metric in metrics_of(predictions)}
    for counts in ahead(_resamples(len(predictions), seed)):
        for metric, drawn in draws.items():
            drawn.append(_METRICS[metric](predictions, counts))
    return {
        metric: _interval(compute(metric, predictions), np.concatenate(drawn), confidence)
        for metric, drawn in draws.items()
    }


def interval(
    metric: MetricName, predictions: Predictions, *, confidence: float, seed: int
) -> Interval:
    """Return one metric with the interval that `intervals` gives it."""
    draws = [
        _METRICS[metric](predictions, counts)
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
    if not np.array_equal(challenger.truth, production.truth):
        raise ValueError("challenger and Production did not predict the same documents")
    sign = -1.0 if metric in LOSSES else 1.0
    value = compute(metric, challenger) - compute(metric, production)
    resamples: Iterable[Counts]
    if metric in _OF_LABELS:
        challenger, production, counts = _kinds(challenger, production, seed)
        resamples = [counts]
    else:
        resamples = ahead(_resamples(len(challenger), seed))
    draws = [
        _METRICS[metric](challenger, counts) - _METRICS[metric](production, counts)
        for counts in resamples
    ]
    return _interval(sign * value, sign * np.concatenate(draws), confidence)


def _interval(value: float, draws: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def _kinds(
    challenger: Predictions, production: Predictions, seed: int
) -> tuple[Predictions, Predictions, Counts]:
    """Return one document of each kind as both see it, and how often resamples draw each kind."""
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
    rng = np.random.default_rng(seed)
    shift = np.arange(_RESAMPLES_AT_ONCE)[:, None] * n
    for _ in range(0, RESAMPLES, _RESAMPLES_AT_ONCE):
        drawn = rng.integers(0, n, size=(_RESAMPLES_AT_ONCE, n))
        flat = np.bincount((drawn + shift).ravel(), minlength=_RESAMPLES_AT_ONCE * n)
        yield flat.reshape(_RESAMPLES_AT_ONCE, n).astype(np.float64)


def _sums(counts: Counts, columns: Floats) -> Floats:
    """Return ``counts @ columns``, which is too narrow for BLAS to share out among threads.

    Column by column, NumPy adds up many numbers at once; all columns at once take four times as
    long.
    """
    sums = [np.einsum("rd,d->r", counts, column) for column in np.ascontiguousarray(columns.T)]
    return np.column_stack(sums)


def _mean(per_document: Floats, counts: Counts) -> Floats:
    means: Floats = _sums(counts, per_document[:, None])[:, 0] / counts.sum(axis=1)
    return means


def _accuracy(p: Predictions, counts: Counts) -> Floats:
    return _mean((p.truth == p.predicted).astype(np.float64), counts)


def _cost(p: Predictions, counts: Counts) -> Floats:
    if p.costs is None:
        raise ValueError("there is no cost without decision.costs in the problem's file")
    return _mean(p.costs[p.truth, p.predicted], counts)


def _log_loss(p: Predictions, counts: Counts) -> Floats:
    eps = np.finfo(np.float64).eps
    clipped = np.clip(p.probabilities, eps, 1 - eps)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return _mean(-np.log(clipped[np.arange(len(p)), p.truth]), counts)


def _brier(p: Predictions, counts: Counts) -> Floats:
    squares = ((p.probabilities - _one_hot(p.truth, p)) ** 2).sum(axis=1)
    return _mean(squares / 2 if len(p.classes) == 2 else squares, counts)


def _precision(p: Predictions, counts: Counts) -> Floats:
    right, predicted, _ = _confusion(p, counts)
    return _over_classes(_ratio(right, predicted), p)


def _recall(p: Predictions, counts: Counts) -> Floats:
    right, _, actual = _confusion(p, counts)
    return _over_classes(_ratio(right, actual), p)


def _f1(p: Predictions, counts: Counts) -> Floats:
    right, predicted, actual = _confusion(p, counts)
    return _over_classes(_ratio(2 * right, predicted + actual), p)


def _roc_auc(p: Predictions, counts: Counts) -> Floats:
    mean: Floats = np.mean([_area(ranking, counts) for ranking in p.rankings], axis=0)
    return mean


def _rank(scores: Floats, positive: NDArray[np.bool_]) -> Ranking:
    _, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return Ranking(order, starts, positive[order])


def _area(ranking: Ranking, counts: Counts) -> Floats:
    """Return the share of pairs (positive, negative) in the right order; ties count half."""
    counts = counts.take(ranking.order, axis=1)
    above = np.add.reduceat(counts * ranking.positive, ranking.starts, axis=1)
    # Whole numbers: nothing is lost by taking one from the other.
    below = np.add.reduceat(counts, ranking.starts, axis=1) - above
    before = np.cumsum(below, axis=1) - below / 2
    pairs = above.sum(axis=1) * below.sum(axis=1)
    # A resample with one class only has no pairs, and no area.
    with np.errstate(invalid="ignore"):
        areas: Floats = (above * before).sum(axis=1) / pairs
    return areas


def _one_hot(codes: NDArray[np.int64], p: Predictions) -> Floats:
    hot: Floats = (codes[:, None] == np.arange(len(p.classes))).astype(np.float64)
    return hot


def _confusion(p: Predictions, counts: Counts) -> tuple[Floats, Floats, Floats]:
    """Return, per resample and class: rightly predicted, predicted, actual documents."""
    actual, predicted = _one_hot(p.truth, p), _one_hot(p.predicted, p)
    right = actual * predicted
    return _sums(counts, right), _sums(counts, predicted), _sums(counts, actual)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _over_classes(values: Floats, p: Predictions) -> Floats:
    result: Floats = values[:, -1] if len(p.classes) == 2 else values.mean(axis=1)
    return result


_METRICS: dict[MetricName, Callable[[Predictions, Counts], Floats]] = {
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
    "brier": _brier,
    "cost": _cost,
}
# What every problem has.
METRICS: tuple[MetricName, ...] = tuple(metric for metric in _METRICS if metric != "cost")
