"""Thresholds and weights that choose a label from probabilities, and serve a goal best."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from perennial.config.sections.decision import (
    DecisionConfig,
    FloorMetric,
    GoalMetric,
    ThresholdMetric,
)
from perennial.thresholds.class_weights import ClassMetric, best_class_weights
from perennial.thresholds.threshold_search import ThresholdSweep

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

HALF = 0.5
# Weights of classes are improved one after the other; they settle within a few rounds.
_ROUNDS = 20
# Logarithms of weights and probabilities beyond it are as good as infinite, and may overflow.
_FARTHEST = 300.0


@dataclass(frozen=True)
class FloorFound:
    """Floor that a threshold reached: the metric, with the lower end of its interval.

    Attributes
    ----------
    metric : str
        Precision or recall of the positive class.
    required : float
        The floor.
    value : float
        The metric at the threshold.
    low : float
        Lower end of its one-sided interval.
    """

    metric: FloorMetric
    required: float
    value: float
    low: float

    @property
    def reached(self) -> bool:
        """Whether the whole interval is above the floor."""
        return self.low >= self.required


def weights_of(threshold: float) -> tuple[float, float]:
    """Return the weights of two classes that mean: the second one iff ``p > threshold``."""
    return threshold, 1 - threshold


def threshold_of(weights: tuple[float, ...] | None) -> float:
    """Return the threshold that two weights mean; one half without weights."""
    return HALF if weights is None else weights[0] / (weights[0] + weights[1])


def decide(probabilities: Floats, weights: Floats | None) -> Codes:
    """Return the position of the label for each row: the largest weighted probability."""
    weighted = probabilities if weights is None else probabilities * weights
    codes: Codes = weighted.argmax(axis=1)
    return codes


def best_weights(
    goal: DecisionConfig,
    costs: Floats | None,
    truth: Codes,
    probabilities: Floats,
    confidence: float,
    soft: Floats | None = None,
) -> tuple[tuple[float, ...] | None, FloorFound | None]:
    """Return the weights of the classes that serve a goal best on these documents.

    Parameters
    ----------
    goal : DecisionConfig
        What is to be achieved.
    costs : ndarray, shape (n_classes, n_classes), or None
        The goal's costs, as a matrix.
    truth : ndarray of int, shape (n_documents,)
        Positions of the true labels; the last class is positive.
    probabilities : ndarray, shape (n_documents, n_classes)
        From models that have not seen these documents.
    confidence : float
        With which a floor must hold.
    soft : ndarray, shape (n_documents, n_classes), optional
        To which part each document counts as one of each class, where a metric is served without a
        floor; its label alone by default.

    Returns
    -------
    weights : tuple of float, or None
        None if the most probable label serves the goal.
    floor : FloorFound or None
        What became of the floor, if the goal has one.
    """
    if costs is not None:
        if probabilities.shape[1] == 2:
            return weights_of(cheapest_threshold(costs, truth, probabilities[:, 1])), None
        return cheapest_weights(costs, truth, probabilities), None
    if goal.metric is None:
        return None, None
    if soft is None or goal.floor is not None:
        soft = np.eye(probabilities.shape[1])[truth]
    if probabilities.shape[1] > 2:
        if goal.metric not in get_args(ClassMetric):
            raise ValueError(f"{goal.metric} of more than two classes cannot be tuned for")
        metric: ClassMetric = goal.metric  # type: ignore[assignment]
        return best_class_weights(metric, soft, probabilities), None
    threshold, floor = best_threshold(
        goal.metric, goal.floor, soft[:, 1], probabilities[:, 1], confidence
    )
    return weights_of(threshold), floor


def cheapest_threshold(costs: Floats, truth: Codes, scores: Floats) -> float:
    """Return the threshold with the least cost on these documents, over all thresholds.

    Of equally cheap ones it is the nearest to that of theory, ``c / (c + d)`` for the cost c of a
    false positive and d of a false negative (Elkan, The Foundations of Cost-Sensitive Learning,
    IJCAI 2001), which is the optimum for perfect probabilities.
    """
    sweep = ThresholdSweep(scores, 0.0, 1.0)
    saved = costs[truth, 0] - costs[truth, 1]
    return sweep.best(sweep.above(saved), threshold_of(theory_weights(costs)))


def theory_weights(costs: Floats) -> tuple[float, ...]:
    """Return the weights with the least cost for perfect probabilities: that of missing each class.

    For more than two classes they are the optimum where the cost of missing a class does not depend
    on the label given instead (Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001).
    """
    missed = costs.sum(axis=1) / (len(costs) - 1)
    if len(costs) == 2:
        return weights_of(float(missed[0] / missed.sum()))
    # A class that costs nothing is never worth its label; a weight of 0 has no logarithm.
    return tuple(np.maximum(missed, np.exp(-_FARTHEST)).tolist())


def cheapest_weights(costs: Floats, truth: Codes, probabilities: Floats) -> tuple[float, ...]:
    """Return weights of any number of classes, with the least cost on these documents.

    They start at the cost of missing each class, which is the optimum for perfect probabilities
    where that cost does not depend on the label given instead (Elkan 2001). Then one weight after
    the other is set to its exact optimum, the others fixed, as long as that saves anything: a
    local optimum, never dearer than the start.
    """
    weights = np.array(theory_weights(costs))
    cost = _cost(costs, truth, probabilities, weights)
    for _ in range(_ROUNDS):
        before = cost
        for position in range(len(weights)):
            tried = weights.copy()
            tried[position] = _cheapest_weight(costs, truth, probabilities, weights, position)
            if (now := _cost(costs, truth, probabilities, tried)) < cost:
                weights, cost = tried, now
        if cost == before:
            break
    return tuple(weights.tolist())


def _cost(costs: Floats, truth: Codes, probabilities: Floats, weights: Floats) -> float:
    return float(costs[truth, (probabilities * weights).argmax(axis=1)].sum())


def _cheapest_weight(
    costs: Floats, truth: Codes, probabilities: Floats, weights: Floats, position: int
) -> float:
    """Return the best weight of one class: documents get it above a cut in log-odds."""
    others = probabilities * weights
    others[:, position] = -1.0
    rival = others.argmax(axis=1)
    values = _logs(probabilities[:, position]) - _logs(others.max(axis=1))
    # A cut beyond all values gives the label to every document, or to none.
    sweep = ThresholdSweep(values, float(values.min()) - 1, float(values.max()) + 1)
    saved = costs[truth, rival] - costs[truth, position]
    cut = sweep.best(sweep.above(saved), -float(np.log(weights[position])))
    return float(np.exp(np.clip(-cut, -_FARTHEST, _FARTHEST)))


def _logs(values: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(values, np.exp(-_FARTHEST)))
    return logs


def best_threshold(
    metric: ThresholdMetric,
    floor: dict[FloorMetric, float] | None,
    positive: NDArray[np.bool_] | Floats,
    scores: Floats,
    confidence: float,
) -> tuple[float, FloorFound | None]:
    """Return the threshold with the largest metric of those that keep a floor.

    A floor is kept where the lower end of the metric's one-sided interval is not below it
    (Wilson, Probable Inference, JASA 1927). The largest metric under a bare floor lies on its very
    edge: every other holdout would find it broken.

    A floor that no threshold keeps gives the one that comes closest, and says so.
    """
    sweep = ThresholdSweep(scores, 0.0, 1.0)
    right, given = sweep.above(positive.astype(np.float64)), sweep.above(np.ones(len(scores)))
    metrics = _metrics(right, given, float(positive.sum()), len(positive))
    if floor is None:
        return sweep.best(metrics[metric], HALF), None
    name, required = next(iter(floor.items()))
    trials = given if name == "precision" else np.full_like(given, positive.sum())
    lows = _lower_ends(right, trials, confidence)
    kept = lows >= required
    objective = np.where(kept, metrics[metric], -np.inf) if kept.any() else lows
    threshold = sweep.best(objective, HALF)
    found = int(sweep.places(np.array([threshold]))[0])
    return threshold, FloorFound(name, required, float(metrics[name][found]), float(lows[found]))


def curve(
    metric: GoalMetric,
    costs: Floats | None,
    truth: Codes,
    scores: Floats,
    thresholds: Floats,
) -> Floats:
    """Return a metric of two classes at each threshold, the cost per document where it is that."""
    sweep = ThresholdSweep(scores, 0.0, 1.0)
    if costs is not None and metric == "cost":
        saved = sweep.above(costs[truth, 0] - costs[truth, 1])
        values: Floats = (costs[truth, 0].sum() - saved) / len(truth)
    else:
        positive = (truth == 1).astype(np.float64)
        right, given = sweep.above(positive), sweep.above(np.ones(len(truth)))
        values = _metrics(right, given, float(positive.sum()), len(truth))[metric]
    return values[sweep.places(thresholds)]


def _metrics(right: Floats, given: Floats, positives: float, documents: int) -> dict[str, Floats]:
    """Return every metric at every cut; `right` of the `given` positive labels are right."""
    negatives_right = documents - positives - (given - right)
    recall = _ratio(right, np.full_like(right, positives))
    of_negatives = _ratio(negatives_right, np.full_like(right, documents - positives))
    return {
        "balanced_accuracy": (recall + of_negatives) / 2,
        "accuracy": (right + negatives_right) / documents,
        "precision": _ratio(right, given),
        "recall": recall,
        "f1": _ratio(2 * right, given + positives),
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _lower_ends(successes: Floats, trials: Floats, confidence: float) -> Floats:
    z = NormalDist().inv_cdf(confidence)
    n = np.maximum(trials, 1.0)
    share = successes / n
    spread = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    lows = (share + z**2 / (2 * n) - spread) / (1 + z**2 / n)
    return cast("Floats", np.where(trials > 0, lows, 0.0))
