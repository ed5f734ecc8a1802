"""Weights of classes make a metric of labels large, on documents that are not there yet too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from perennial.metrics import Predictions
from perennial.thresholds.class_weights import (
    ClassMetric,
    best_class_weights,
    soft_truth,
)
from perennial.thresholds.threshold import best_threshold, decide
from tests.perennial.examples import predictions, some_examples

METRICS: dict[ClassMetric, Any] = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "f1": lambda truth, given: f1_score(truth, given, average="macro", zero_division=0),
}
every_metric = pytest.mark.parametrize("metric", METRICS)


def hard(p: Predictions) -> NDArray[np.float64]:
    return np.eye(len(p.classes))[p.truth]


def drawn(
    documents: int, shares: list[float], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels of classes with these shares, and the true probabilities of each document."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(shares), documents, p=shares)
    scores = 1.5 * np.eye(len(shares))[truth] + rng.normal(size=(documents, len(shares)))
    odds = np.array(shares) * np.exp(1.5 * scores)
    return truth, odds / odds.sum(axis=1, keepdims=True)


@every_metric
@some_examples
@given(p=predictions(min_classes=3))
def test_weights_are_never_worse_than_the_most_probable_label(
    metric: ClassMetric, p: Predictions
) -> None:
    score = METRICS[metric]

    weights = best_class_weights(metric, hard(p), p.probabilities)

    tuned = decide(p.probabilities, np.array(weights))
    plain = p.probabilities.argmax(axis=1)
    assert score(p.truth, tuned) >= score(p.truth, plain) - 1e-9


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1"])
def test_weights_find_rare_classes_in_documents_that_nobody_has_seen(metric: ClassMetric) -> None:
    score = METRICS[metric]
    truth, probabilities = drawn(3_000, [0.9, 0.07, 0.03], seed=1)
    later, later_probabilities = drawn(20_000, [0.9, 0.07, 0.03], seed=2)

    weights = best_class_weights(metric, soft_truth(truth, probabilities), probabilities)

    tuned = score(later, decide(later_probabilities, np.array(weights)))
    plain = score(later, later_probabilities.argmax(axis=1))
    assert tuned > plain + 0.02


def test_with_few_documents_the_threshold_varies_less_than_that_of_the_labels_alone() -> None:
    samples = [drawn(600, [0.94, 0.06], seed=seed) for seed in range(40)]

    def threshold(truth: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        return best_threshold("f1", None, truth, scores, 0.95)[0]

    soft = [threshold(soft_truth(truth, p)[:, 1], p[:, 1]) for truth, p in samples]
    alone = [threshold((truth == 1).astype(float), p[:, 1]) for truth, p in samples]

    assert np.std(soft) < 0.8 * np.std(alone)


def test_many_documents_count_as_their_labels_and_few_as_their_probabilities() -> None:
    truth, probabilities = np.array([0] * 9_990 + [1] * 10), np.tile([0.7, 0.2, 0.1], (10_000, 1))

    soft = soft_truth(truth, probabilities)

    assert soft[0, 0] > 0.99
    assert soft[-1, 1] == pytest.approx(0.2 + 0.8 * 10 / 110)


def test_labels_do_not_depend_on_the_scale_of_weights() -> None:
    truth, probabilities = drawn(500, [0.6, 0.3, 0.1], seed=3)

    weights = best_class_weights("f1", soft_truth(truth, probabilities), probabilities)

    assert max(weights) == 1.0
    assert min(weights) > 0
