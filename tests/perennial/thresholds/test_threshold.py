"""Thresholds and weights: no other would serve the goal better."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from perennial.config.sections.decision import DecisionConfig
from perennial.metrics import Predictions, compute
from perennial.thresholds.threshold import (
    best_threshold,
    cheapest_threshold,
    cheapest_weights,
    curve,
)
from tests.perennial.examples import many_examples, predictions, right_at, some_examples

ONE_TO_FIVE = DecisionConfig(costs={"negative": 1, "positive": 5})
# Few distinct numbers, so that documents tie; the ends, where every document is on one side.
scores_ = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.8, 0.99, 1.0])
documents_ = st.lists(st.tuples(st.booleans(), scores_), min_size=1, max_size=25)
costs_ = st.sampled_from([0.1, 0.3, 1.0, 5.0])


def split(documents: list[tuple[bool, float]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth, scores = zip(*documents, strict=True)
    return np.array(truth, np.int64), np.array(scores)


def every_threshold(scores: NDArray[np.float64]) -> list[float]:
    """Return a threshold for every way in which one can divide the documents."""
    ends = [0.0, *np.unique(scores).tolist(), 1.0]
    return sorted({*ends, *((low + high) / 2 for low, high in pairwise(ends))})


def cost_at(
    costs: NDArray[np.float64],
    truth: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
) -> float:
    return float(costs[truth, (scores > threshold).astype(int)].sum())


def wilson(successes: int, trials: int, confidence: float) -> float:
    """Return the lower end of a one-sided interval, which is that of a wider two-sided one."""
    if not trials:
        return 0.0
    two_sided = 2 * confidence - 1
    return float(binomtest(successes, trials).proportion_ci(two_sided, method="wilson").low)


@many_examples
@given(documents_, costs_, costs_)
def test_no_threshold_is_cheaper_than_the_tuned_one(
    documents: list[tuple[bool, float]], false_positive: float, false_negative: float
) -> None:
    truth, scores = split(documents)
    costs = np.array([[0, false_positive], [false_negative, 0]])

    found = cheapest_threshold(costs, truth, scores)

    cheapest = min(cost_at(costs, truth, scores, each) for each in every_threshold(scores))
    assert cost_at(costs, truth, scores, found) == pytest.approx(cheapest, abs=1e-9)
    at = np.array(every_threshold(scores))
    np.testing.assert_allclose(
        curve("cost", costs, truth, scores, at),
        [cost_at(costs, truth, scores, each) / len(truth) for each in at],
        atol=1e-12,
    )


@many_examples
@given(
    documents_,
    st.sampled_from(["accuracy", "precision", "recall", "f1"]),
    st.sampled_from([None, ("precision", 0.6), ("precision", 0.3), ("recall", 0.5)]),
)
def test_no_threshold_that_keeps_the_floor_has_a_larger_metric(
    documents: list[tuple[bool, float]], metric: str, floor: tuple[str, float] | None
) -> None:
    truth, scores = split(documents)

    found, became = best_threshold(
        metric, dict([floor]) if floor else None, truth == 1, scores, confidence=0.8
    )

    def metrics(threshold: float) -> tuple[float, float]:
        """Return the metric, and the lower end of the floor's."""
        given_ = scores > threshold
        p = Predictions(
            ("no", "yes"), truth, given_.astype(np.int64), np.column_stack([1 - scores, scores])
        )
        right = int((given_ & (truth == 1)).sum())
        trials = int(given_.sum() if floor and floor[0] == "precision" else truth.sum())
        return compute(metric, p), wilson(right, trials, 0.8)

    all_of_them = [metrics(each) for each in every_threshold(scores)]
    value, low = metrics(found)
    if floor is None:
        assert became is None
        assert value == pytest.approx(max(each for each, _ in all_of_them), abs=1e-9)
        return
    assert became is not None
    assert became.low == pytest.approx(low, abs=1e-9)
    kept = [each for each, end in all_of_them if end >= floor[1]]
    assert became.reached == bool(kept)
    if kept:
        assert low >= floor[1]
        assert value == pytest.approx(max(kept), abs=1e-9)
    else:
        assert low == pytest.approx(max(end for _, end in all_of_them), abs=1e-9)


def test_a_threshold_among_equals_is_that_of_theory_and_else_far_from_all_documents() -> None:
    truth, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])
    even, one_to_five = np.array([[0, 1.0], [1, 0]]), np.array([[0, 1.0], [5, 0]])

    assert cheapest_threshold(even, truth, scores) == 0.5
    assert cheapest_threshold(one_to_five, truth, scores) == pytest.approx(0.4)


@pytest.mark.parametrize("label", [0, 1])
def test_documents_of_one_class_only_get_that_label(label: int) -> None:
    truth, scores = np.full(5, label), np.linspace(0.2, 0.8, 5)

    found = cheapest_threshold(np.array([[0, 1.0], [1, 0]]), truth, scores)

    assert ((scores > found) == label).all()


@some_examples
@given(predictions(min_classes=3, max_classes=3), st.lists(costs_, min_size=6, max_size=6))
def test_weights_of_many_classes_are_never_dearer_than_those_of_theory(
    p: Predictions, costs: list[float]
) -> None:
    matrix = np.zeros((3, 3))
    matrix[~np.eye(3, dtype=bool)] = costs

    def cost(weights: Any) -> float:
        return float(matrix[p.truth, (p.probabilities * weights).argmax(axis=1)].sum())

    found = cheapest_weights(matrix, p.truth, p.probabilities)

    assert cost(np.array(found)) <= cost(matrix.sum(axis=1) / 2) + 1e-9
    assert min(found) > 0


def test_weights_of_three_classes_reach_nearly_the_best_of_a_grid() -> None:
    p = right_at(0.6, documents=90, seed=3, classes=("a", "b", "c"))
    matrix = np.array([[0, 1, 1], [6, 0, 6], [2, 2, 0.0]])

    def cost(weights: Any) -> float:
        return float(matrix[p.truth, (p.probabilities * weights).argmax(axis=1)].sum())

    found = cost(np.array(cheapest_weights(matrix, p.truth, p.probabilities)))

    grid = np.geomspace(0.1, 10, 15)
    assert found <= 1.05 * min(cost(np.array([1.0, b, c])) for b, c in product(grid, grid))
    assert found < cost(np.ones(3))
