"""The learning curve says what more labels would bring, and when nobody can tell."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from perennial.metrics import Interval, Predictions
from perennial.training.learning_curve import CurvePoint, LearningCurve, learning_curve

HOLDOUT = 2_000


def _right(share: float) -> Predictions:
    """Return predictions of which so many are right."""
    truth = np.arange(HOLDOUT) % 2
    predicted = np.where(np.arange(HOLDOUT) < share * HOLDOUT, truth, 1 - truth)
    likely = np.where(predicted == 1, 0.9, 0.1)
    return Predictions(("a", "b"), truth, predicted, np.column_stack([1 - likely, likely]))


def _curve(errors: dict[int, float], metric: str = "accuracy") -> LearningCurve:
    points = tuple(CurvePoint(documents, error) for documents, error in errors.items())
    return LearningCurve(metric, points, Interval(0.1, 0.05, 0.15))


def test_errors_that_shrink_by_a_fifth_with_each_doubling_go_on_doing_so() -> None:
    curve = _curve({100: 1 - 0.5, 200: 1 - 0.4, 400: 1 - 0.32})

    assert curve.next_doubling == pytest.approx(0.32 * 0.2)


def test_of_a_loss_less_is_better() -> None:
    assert _curve({100: 0.5, 200: 0.4, 400: 0.32}, "log_loss").next_doubling == pytest.approx(0.064)


@pytest.mark.parametrize(
    "errors", [{100: 0.9, 200: 0.9, 400: 0.9}, {100: 0.95, 200: 0.9}, {100: 0.9, 200: 1.0}]
)
def test_where_nothing_was_gained_nothing_is_promised(errors: dict[int, float]) -> None:
    assert _curve(errors).next_doubling == pytest.approx(0.0)


def test_each_part_is_within_the_next_and_the_last_doubling_has_an_interval() -> None:
    places, parts = np.linspace(0, 1, 1_000, endpoint=False), []

    def fit_and_predict(part: NDArray[np.bool_]) -> Predictions:
        parts.append(part)
        return _right({125: 0.7, 250: 0.75, 500: 0.8}[int(part.sum())])

    curve = learning_curve(
        "accuracy", places, _right(0.85), fit_and_predict, confidence=0.95, seed=0
    )

    assert curve is not None
    assert [(each.documents, each.value) for each in curve.points] == [
        (125, 0.7),
        (250, 0.75),
        (500, 0.8),
        (1_000, 0.85),
    ]
    assert all((small <= large).all() for small, large in pairwise(parts))
    assert curve.last_doubling.low < 0.05 < curve.last_doubling.high
    assert curve.is_seen


def test_too_few_documents_have_no_curve() -> None:
    def never(part: NDArray[np.bool_]) -> Predictions:
        return _right(0.5)

    places = np.linspace(0, 1, 100, endpoint=False)

    assert learning_curve("accuracy", places, _right(0.5), never, confidence=0.95, seed=0) is None
