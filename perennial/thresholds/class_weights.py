"""Weights of any number of classes that make a metric of labels large.

Documents may count as a bit of every class: see `soft_truth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
# Metrics that weights of more than two classes can serve.
ClassMetric = Literal["accuracy", "balanced_accuracy", "f1"]

# So many documents of a class weigh as much as what their probabilities say.
_PRIOR_DOCUMENTS = 100.0
# Weights are improved one after the other; they settle within a few rounds.
_ROUNDS = 5
# More numbers take time and tell nothing more.
_NUMBERS = 2_000_000
_FARTHEST = 300.0
_LEAST_GAIN = 1e-6
# A class with a smaller weight would hardly ever be named again.
_LEAST_WEIGHT = 1e-9


def soft_truth(truth: Codes, probabilities: Floats) -> Floats:
    """Return to which part each document counts as one of each class.

    It is its label where a class has many documents, and its probability where it has few: a few
    documents that lie by chance on this side of a threshold or the other move it far, their
    probabilities do not. With calibrated probabilities, what is best for these alone is the optimum
    of theory (Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1
    Measure, ECML 2014).

    Parameters
    ----------
    truth : ndarray of int, shape (n_documents,)
        Positions of the labels.
    probabilities : ndarray, shape (n_documents, n_classes)
        Calibrated probabilities of models that have not seen the documents.
    """
    n_classes = probabilities.shape[1]
    counts = np.bincount(truth, minlength=n_classes)
    if n_classes == 2:
        counts = np.full(2, counts.min())
    share = counts / (counts + _PRIOR_DOCUMENTS)
    soft: Floats = share * np.eye(n_classes)[truth] + (1 - share) * probabilities
    return soft


def best_class_weights(
    metric: ClassMetric, soft: Floats, probabilities: Floats
) -> tuple[float, ...]:
    """Return the weights of classes with a metric that is as large as can be found.

    One weight after the other is set to its optimum, the others fixed, as long as that gains
    anything: a local optimum, never worse than the start, which is the most probable label.

    Parameters
    ----------
    metric : {"accuracy", "balanced_accuracy", "f1"}
        What is to be large; of F1 the mean over the classes.
    soft : ndarray, shape (n_documents, n_classes)
        See `soft_truth`.
    probabilities : ndarray, shape (n_documents, n_classes)
        From models that have not seen these documents.
    """
    step = max(1, soft.size // _NUMBERS)
    soft, probabilities = soft[::step], probabilities[::step]
    weights = np.ones(soft.shape[1])

    def value(weights: Floats) -> float:
        return _value(metric, _Tally.of(soft, (probabilities * weights).argmax(axis=1)))

    best = value(weights)
    for _ in range(_ROUNDS):
        before = best
        for position in range(len(weights)):
            scores = _logs(probabilities) + np.log(weights)
            tried = weights.copy()
            tried[position] *= np.exp(_best_shift(metric, soft, scores, position))
            tried /= tried.max()
            # Where probabilities are 0, no weight brings what their logarithms promise.
            if tried.min() > _LEAST_WEIGHT and (found := value(tried)) > best + _LEAST_GAIN:
                weights, best = tried, found
        if best == before:
            break
    return tuple(weights.tolist())


@dataclass(frozen=True)
class _Tally:
    """How much of each class was given its label rightly, was given it at all, and there is."""

    right: Floats
    given: Floats
    actual: Floats

    @classmethod
    def of(cls, soft: Floats, given: Codes) -> _Tally:
        n_classes = soft.shape[1]
        own = soft[np.arange(len(soft)), given]
        return cls(
            np.bincount(given, weights=own, minlength=n_classes).astype(np.float64),
            np.bincount(given, minlength=n_classes).astype(np.float64),
            soft.sum(axis=0),
        )


def _value(metric: ClassMetric, tally: _Tally) -> float:
    return float(_values(metric, tally.right[None], tally.given[None], tally.actual)[0])


def _values(metric: ClassMetric, right: Floats, given: Floats, actual: Floats) -> Floats:
    """Return the metric for each row of tallies, shape (n_rows, n_classes)."""
    if metric == "accuracy":
        accuracy: Floats = right.sum(axis=1) / actual.sum()
        return accuracy
    whole = np.broadcast_to(actual, right.shape) if metric == "balanced_accuracy" else None
    parts, whole = (right, whole) if whole is not None else (2 * right, given + actual)
    shares = np.divide(parts, whole, out=np.zeros_like(right), where=whole > 0)
    mean: Floats = shares.mean(axis=1)
    return mean


def _best_shift(metric: ClassMetric, soft: Floats, scores: Floats, position: int) -> float:
    """Return what is best added to the logarithm of one weight."""
    others = scores.copy()
    others[:, position] = -np.inf
    rival = others.argmax(axis=1)
    ahead = scores[:, position] - others.max(axis=1)
    order = np.argsort(-ahead, kind="stable")
    ahead, rival, soft = ahead[order], rival[order], soft[order]
    start = _Tally.of(soft, rival)
    n_documents, n_classes = soft.shape
    # The documents that come first get the label, one more in each row; their rivals lose them.
    lost = np.zeros((n_documents, n_classes))
    lost[np.arange(n_documents), rival] = 1.0
    given = start.given - np.cumsum(lost, axis=0)
    right = start.right - np.cumsum(lost * soft, axis=0)
    given[:, position] += np.arange(1, n_documents + 1)
    right[:, position] += np.cumsum(soft[:, position])
    # Documents that are equally far ahead are never divided.
    ends = np.flatnonzero(np.append(ahead[1:] < ahead[:-1], True))
    values = _values(metric, right[ends], given[ends], start.actual)
    best = int(values.argmax())
    cut = ahead[ends[best]]
    following = ahead[ends[best] + 1] if ends[best] + 1 < n_documents else cut - 1.0
    return float(np.clip(-(cut + following) / 2, -_FARTHEST, _FARTHEST))


def _logs(values: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(values, np.exp(-_FARTHEST)))
    return logs
