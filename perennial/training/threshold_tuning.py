"""Tuning: calibration and threshold of a challenger, from out-of-fold predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.config.problem import Problem
from perennial.config.sections.decision import DecisionConfig
from perennial.metrics import Interval, MetricName, Predictions, compute, difference
from perennial.thresholds.calibration import Calibrated, calibrate, probabilities_of
from perennial.thresholds.class_weights import soft_truth
from perennial.thresholds.cross_fitting import Part, Weights, cross_fit, divide, is_cheaper
from perennial.thresholds.threshold import (
    FloorFound,
    best_weights,
    decide,
    theory_weights,
    threshold_of,
)
from perennial.training.out_of_fold import out_of_fold, stratified_folds
from perennial.training.validation import Bonds

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class TooFewError(ValueError):
    """A class has too few documents to be divided."""


@dataclass(frozen=True, eq=False)
class TuningResult:
    """The weights and the calibration of a challenger, and the predictions they were tuned on.

    Attributes
    ----------
    goal : DecisionConfig
        The objective.
    weights : tuple of float, or None
        One per class, in the order of `out_of_fold.classes`; None gives the most probable label.
    floor : FloorFound or None
        The floor of the objective and the metric that was reached.
    calibrated : Calibrated or None
        The Brier scores without and with calibration; None if it was not tried.
    out_of_fold : Predictions
        The training documents, out of fold: calibrated probabilities, labels by the weights.
    cross_fitted : Predictions
        The same documents and probabilities, each label by a decision that was made without its
        fold: what the weights achieve on documents that they were not tuned on.
    asked : ndarray of bool, shape (n_documents,)
        Which training documents these are.
    """

    goal: DecisionConfig
    weights: tuple[float, ...] | None
    floor: FloorFound | None
    calibrated: Calibrated | None
    out_of_fold: Predictions
    cross_fitted: Predictions
    asked: NDArray[np.bool_]

    @property
    def threshold(self) -> float | None:
        """The probability of the positive class above which it is given; None for more classes."""
        return threshold_of(self.weights) if len(self.out_of_fold.classes) == 2 else None


@dataclass(frozen=True)
class TuningComparison:
    """A tuned threshold and the most probable label, compared on the same model.

    Attributes
    ----------
    metric : str
        The objective, or the metric of its floor.
    out_of_fold, out_of_fold_plain : float
        The metric on the training documents, with the threshold (cross-fitted) and with the most
        probable label.
    holdout, holdout_plain : float
        The metric on the holdout, likewise.
    gain : Interval
        Paired difference on the holdout; above 0 where the threshold is better.
    """

    metric: MetricName
    out_of_fold: float
    out_of_fold_plain: float
    holdout: float
    holdout_plain: float
    gain: Interval

    @property
    def figures(self) -> dict[str, float]:
        """The figures as metrics of a run, beside those of the holdout."""
        return {
            f"out_of_fold.{self.metric}": self.out_of_fold,
            f"out_of_fold.{self.metric}_of_most_probable": self.out_of_fold_plain,
            f"holdout.{self.metric}_of_most_probable": self.holdout_plain,
            f"decision.gain.{self.metric}": self.gain.value,
            f"decision.gain.{self.metric}.low": self.gain.low,
            f"decision.gain.{self.metric}.high": self.gain.high,
        }


def tune(
    problem: Problem,
    goal: DecisionConfig,
    classifier: Pipeline,
    matrix: object,
    labels: NDArray[np.str_],
    judged: NDArray[np.bool_] | None = None,
    bonds: Bonds | None = None,
) -> TuningResult:
    """Return the decision that serves a goal best on out-of-fold predictions.

    Parameters
    ----------
    problem : Problem
        Problem with its classes, costs, confidence and seed.
    goal : DecisionConfig
        Decision of the problem.
    classifier : Pipeline
        What is fitted on each part of the training documents; it is not changed itself.
    matrix : sparse array, shape (n_documents, n_features)
        The features of the training documents.
    labels : ndarray of str, shape (n_documents,)
        Their labels.
    judged : ndarray of bool, shape (n_documents,), optional
        Which of them the decision may be made from; the others are learned from only.
    bonds : Bonds, optional
        What holds documents together, and their order by time. By time the decision is made from
        all documents but the oldest ones, from which nothing older can be learned.

    Raises
    ------
    TooFewError
        If a class has fewer than two documents that the decision may be made from.
    """
    classes = np.array(problem.classes)
    if judged is None:
        judged = np.ones(len(labels), np.bool_)
    fewest, rarest = _fewest(problem.classes, labels, judged, bonds)
    folds = min(goal.folds, fewest)
    if folds < 2:
        raise TooFewError(
            f"{rarest} has {fewest} training document{_not_counting(judged)}, decision needs at "
            "least 2 of each label; load more documents, write rare_labels to drop or merge it, or "
            "remove decision from the problem's file"
        )
    parts = stratified_folds(labels, judged, bonds, folds=folds, seed=problem.seed)
    scores, asked = out_of_fold(classifier, matrix, labels, classes, parts, judged)
    truth = (labels[asked, None] == classes).argmax(axis=1)
    folds = min(folds, int(np.bincount(truth, minlength=len(classes)).min()))
    if folds < 2:
        raise TooFewError(
            "among the documents that the decision is made from, a label has fewer than 2; load "
            "more documents, write rare_labels to drop or merge it, or remove decision from the "
            "problem's file"
        )
    tried = None
    probabilities = probabilities_of(scores)
    if goal.calibrate == "auto":
        tried = calibrate(scores, truth, folds=folds, seed=problem.seed)
        if tried.calibration is not None:
            probabilities = tried.calibration.apply(scores)
    plain = Predictions(
        problem.classes,
        truth,
        probabilities.argmax(axis=1),
        probabilities,
        problem.costs,
        problem.least_precision,
    )
    is_calibrated = tried is not None and tried.calibration is not None
    divided = list(
        divide(scores, truth, folds=folds, seed=problem.seed, is_calibrated=is_calibrated)
    )
    weights, floor, given = _decide(problem, goal, plain, divided)
    return TuningResult(
        goal, weights, floor, tried, _with(plain, weights), replace(plain, predicted=given), asked
    )


def _decide(
    problem: Problem, goal: DecisionConfig, plain: Predictions, parts: list[Part]
) -> tuple[Weights, FloorFound | None, Codes]:
    """Return the weights of a goal, its floor, and the cross-fitted labels.

    By costs, the weights are those of theory unless tuned ones are proved to be cheaper: a few
    documents of a rare class, which lie by chance on this side of a threshold or the other, move it
    far, and cost more than they save.
    """

    def tuned(truth: Codes, probabilities: Floats) -> Weights:
        return _best(problem, goal, truth, probabilities)[0]

    labels = cross_fit(tuned, plain.truth, parts)
    if problem.costs is not None:
        theory = theory_weights(problem.costs)
        by_theory = cross_fit(lambda *_: theory, plain.truth, parts)
        confidence = problem.gates.confidence
        if not is_cheaper(problem.costs, plain.truth, labels, by_theory, confidence):
            return theory, None, by_theory
    return *_best(problem, goal, plain.truth, plain.probabilities), labels


def _fewest(
    classes: tuple[str, ...],
    labels: NDArray[np.str_],
    judged: NDArray[np.bool_],
    bonds: Bonds | None,
) -> tuple[int, str]:
    """Return the least number of different documents of a label that count, and the label."""
    rows = {label: judged & (labels == label) for label in classes}
    counts = {
        label: int(found.sum())
        if bonds is None
        else len(bonds.keys.filter(pa.array(found)).unique())
        for label, found in rows.items()
    }
    rarest = min(classes, key=counts.__getitem__)
    return counts[rarest], rarest


def _not_counting(judged: NDArray[np.bool_]) -> str:
    left_out = int((~judged).sum())
    return f" (not counting {left_out:,} from feedback)" if left_out else ""


def with_decision(model: Pipeline, tuned: TuningResult) -> Pipeline:
    """Return a fitted model with a decision in its last step."""
    name, fitted = model.steps[-1]
    order = [tuned.out_of_fold.classes.index(str(label)) for label in fitted.classes_]
    weights = tuned.weights
    if weights is not None:
        weights = tuple(weights[position] for position in order)
    calibration = tuned.calibrated.calibration if tuned.calibrated is not None else None
    if calibration is not None:
        offsets = tuple(calibration.offsets[position] for position in order)
        calibration = replace(calibration, offsets=offsets)
    return Pipeline(
        [*model.steps[:-1], (name, ThresholdClassifier.from_fitted(fitted, weights, calibration))]
    )


def at_best(problem: Problem, predictions: Predictions) -> Predictions:
    """Return predictions with the labels that serve the problem's goal best on them.

    That lets candidates be compared before any of them has a decision: each as if with the one
    that suits it, with the same optimism of one threshold for all.
    """
    goal = problem.goal
    if goal is None or not goal.is_tuned:
        return predictions
    weights, _ = best_weights(
        goal,
        problem.costs,
        predictions.truth,
        predictions.probabilities,
        problem.gates.confidence,
    )
    return _with(predictions, weights)


def compare(
    problem: Problem, tuned: TuningResult, holdout: Predictions
) -> tuple[TuningComparison, ...]:
    """Return how a tuned threshold compares with the most probable label, by metric.

    The objective comes first, then the metric of its floor; without tuning there are no metrics.
    """
    metrics: list[MetricName] = [] if tuned.goal.objective is None else [tuned.goal.objective]
    metrics += tuned.goal.floor or {}
    return tuple(_compare(problem, metric, tuned, holdout) for metric in metrics)


def _compare(
    problem: Problem, metric: MetricName, tuned: TuningResult, holdout: Predictions
) -> TuningComparison:
    plain = _with(holdout, None)
    confidence, seed = problem.gates.confidence, problem.seed
    return TuningComparison(
        metric=metric,
        out_of_fold=compute(metric, tuned.cross_fitted),
        out_of_fold_plain=compute(metric, _with(tuned.out_of_fold, None)),
        holdout=compute(metric, holdout),
        holdout_plain=compute(metric, plain),
        gain=difference(metric, holdout, plain, confidence=confidence, seed=seed),
    )


def _best(
    problem: Problem, goal: DecisionConfig, truth: Codes, probabilities: Floats
) -> tuple[Weights, FloorFound | None]:
    soft = soft_truth(truth, probabilities) if goal.calibrate == "auto" else None
    return best_weights(goal, problem.costs, truth, probabilities, problem.gates.confidence, soft)


def _with(predictions: Predictions, weights: tuple[float, ...] | None) -> Predictions:
    array = None if weights is None else np.array(weights)
    return replace(predictions, predicted=decide(predictions.probabilities, array))
