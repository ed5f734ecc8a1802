"""Calibration: probabilities that were wrong become right, and right ones stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import calibration as sklearn_calibration

from perennial.thresholds.calibration import Calibration, calibrate, fit_calibration


def drawn(slope: float, *, documents: int, seed: int) -> tuple[NDArray[np.float64], Any]:
    """Return scores of which the truth would be drawn with these times `slope`, and the truth."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 3, documents)
    truth = (rng.random(documents) < 1 / (1 + np.exp(-(slope * odds + 0.5)))).astype(np.int64)
    return np.column_stack([np.zeros(documents), odds]), truth


def test_two_classes_are_calibrated_as_by_scikit_learn() -> None:
    scores, truth = drawn(0.5, documents=400, seed=1)

    found = fit_calibration(scores, truth)

    theirs = sklearn_calibration._SigmoidCalibration().fit(scores[:, 1], truth)
    np.testing.assert_allclose(
        found.apply(scores)[:, 1], theirs.predict(scores[:, 1]), rtol=0, atol=1e-4
    )


def test_calibration_finds_what_made_probabilities_wrong() -> None:
    scores, truth = drawn(0.25, documents=4_000, seed=2)

    found = calibrate(scores * 100, truth, folds=5, seed=0)

    assert found.calibration is not None
    assert found.calibration.slope == pytest.approx(0.0025, rel=0.1)
    assert found.calibration.offsets[1] == pytest.approx(0.5, abs=0.15)
    assert found.after < found.before


def test_calibration_of_three_classes_finds_temperature_and_offsets() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 3, (6_000, 3))
    right = Calibration(0.4, (0.0, 1.0, -0.5))
    truth = np.array([rng.choice(3, p=row) for row in right.apply(scores)])

    found = calibrate(scores, truth, folds=5, seed=0).calibration

    assert found is not None
    assert found.slope == pytest.approx(0.4, rel=0.1)
    np.testing.assert_allclose(found.offsets, right.offsets, atol=0.15)


@pytest.mark.slow
def test_probabilities_that_are_right_are_left_alone_most_of_the_time() -> None:
    used = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        odds = rng.normal(0, 2, 200)
        truth = (rng.random(200) < 1 / (1 + np.exp(-odds))).astype(np.int64)
        scores = np.column_stack([np.zeros(200), odds])
        used += calibrate(scores, truth, folds=5, seed=0).calibration is not None

    assert used <= 4


def test_perfectly_separated_classes_have_a_finite_calibration() -> None:
    truth = np.arange(40) % 2
    scores = np.column_stack([np.zeros(40), np.where(truth, 700.0, -700.0)])

    found = fit_calibration(scores, truth)

    assert np.isfinite(found.slope)
    assert 0.9 < found.apply(scores)[truth == 1, 1].min() < 1


def test_calibration_keeps_the_order_of_the_documents() -> None:
    scores, truth = drawn(-1.0, documents=300, seed=4)

    found = fit_calibration(scores, truth)

    assert found.slope > 0
    assert (np.diff(found.apply(scores)[np.argsort(scores[:, 1]), 1]) >= 0).all()
