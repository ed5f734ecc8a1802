"""A decision is judged on documents that it was not made from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.thresholds.calibration import fit_calibration
from perennial.thresholds.cross_fitting import Part, cross_fit, divide, is_cheaper
from perennial.thresholds.threshold import decide, theory_weights

COSTS = np.array([[0.0, 1.0], [20.0, 0.0]])


def scored(documents: int, seed: int, sureness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return log-odds of two classes, and truths of which every second one is positive."""
    rng = np.random.default_rng(seed)
    truth = np.arange(documents) % 2
    log_odds = sureness * (rng.normal(size=documents) + 2 * truth - 1)
    return np.stack([np.zeros(documents), log_odds], axis=1), truth


@given(documents=st.integers(20, 200), folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_every_document_is_judged_once_and_never_by_what_was_fitted_on_it(
    documents: int, folds: int, seed: int
) -> None:
    scores, truth = scored(documents, seed)

    parts = list(divide(scores, truth, folds=folds, seed=seed, is_calibrated=False))

    judged = np.concatenate([part.judged for part in parts])
    assert sorted(judged) == list(range(documents))
    assert all(not np.isin(part.judged, part.fitted).any() for part in parts)


def test_a_calibration_is_fitted_without_the_documents_that_it_is_judged_on() -> None:
    scores, truth = scored(200, seed=1, sureness=5)

    for part in divide(scores, truth, folds=4, seed=0, is_calibrated=True):
        alone = fit_calibration(scores[part.fitted], truth[part.fitted]).apply(scores)
        np.testing.assert_array_equal(part.probabilities, alone)


def test_a_rule_that_remembers_its_documents_gains_nothing_on_the_others() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 400)
    noise = rng.random(400)
    probabilities = np.stack([1 - noise, noise], axis=1)
    parts = [
        Part(
            np.flatnonzero(np.arange(400) % 2 != turn),
            np.flatnonzero(np.arange(400) % 2 == turn),
            probabilities,
        )
        for turn in (0, 1)
    ]

    def majority(labels: np.ndarray, _: np.ndarray) -> tuple[float, float]:
        return (0.0, 1.0) if labels.mean() > 0.5 else (1.0, 0.0)

    found = cross_fit(majority, truth, parts)

    for part in parts:
        assert set(found[part.judged]) == {int(truth[part.fitted].mean() > 0.5)}


@pytest.mark.parametrize(("saved", "is_proved"), [(40, True), (3, False), (0, False)])
def test_a_saving_is_proved_where_it_is_more_than_chance(saved: int, is_proved: bool) -> None:
    truth = np.ones(400, np.int64)
    one, other = truth.copy(), truth.copy()
    other[:saved] = 0

    assert is_cheaper(COSTS, truth, one, other, 0.95) is is_proved


def test_the_weights_of_theory_name_a_class_where_that_costs_least_to_expect() -> None:
    share = np.linspace(0.001, 0.999, 500)
    probabilities = np.stack([1 - share, share], axis=1)

    given_labels = decide(probabilities, np.array(theory_weights(COSTS)))

    expected = probabilities @ COSTS
    np.testing.assert_array_equal(given_labels, expected.argmin(axis=1))
