"""Intervals of proportions are exact, down to no document at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from perennial.metrics import Predictions, difference, intervals, metrics_of
from perennial.metrics.evaluation.proportions import (
    mid_p_value,
    paired_interval,
    proportion_interval,
)
from tests.perennial.examples import predictions, right_at, some_examples

counts = st.integers(0, 40)
confidences = st.sampled_from([0.8, 0.95, 0.999])


@given(counts, counts, confidences)
def test_one_proportion_has_the_interval_of_clopper_and_pearson(
    hits: int, misses: int, confidence: float
) -> None:
    found = proportion_interval(hits, hits + misses, confidence)

    if hits + misses:
        exact = binomtest(hits, hits + misses).proportion_ci(confidence, method="exact")
        assert found == pytest.approx((exact.low, exact.high), abs=1e-9)
    else:
        assert found == (0, 1)


@some_examples
@given(counts, counts, st.integers(0, 400), confidences)
def test_a_gain_is_proved_exactly_when_the_mid_p_test_of_mcnemar_proves_it(
    wins: int, losses: int, others: int, confidence: float
) -> None:
    low, high = paired_interval(wins, losses, wins + losses + others, confidence)

    different, tail = wins + losses, (1 - confidence) / 2
    by_chance = binom.sf(wins, different, 0.5) + binom.pmf(wins, different, 0.5) / 2
    if abs(by_chance - tail) > 1e-9:
        assert (low > 0) == (different > 0 and by_chance < tail)
        assert mid_p_value(wins, losses) == pytest.approx(by_chance, abs=1e-9)
    assert -1 <= low <= high <= 1


@some_examples
@given(counts, counts, st.integers(0, 400), confidences)
def test_what_one_wins_the_other_loses_and_the_difference_is_in_its_interval(
    wins: int, losses: int, others: int, confidence: float
) -> None:
    documents = wins + losses + others
    low, high = paired_interval(wins, losses, documents, confidence)

    assert paired_interval(losses, wins, documents, confidence) == pytest.approx(
        (-high, -low), abs=1e-6
    )
    if documents:
        assert low - 1e-6 <= (wins - losses) / documents <= high + 1e-6
    narrow = paired_interval(wins, losses, documents, 0.5)
    assert low - 1e-9 <= narrow[0]
    assert narrow[1] <= high + 1e-9


@pytest.mark.parametrize("wins", [0, 1, 4])
def test_a_few_documents_prove_no_gain_however_they_fall(wins: int) -> None:
    low, high = paired_interval(wins, 0, 50, 0.95)

    assert low < 0 < high


@pytest.mark.slow
@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c", "d")])
@pytest.mark.parametrize("documents", [8, 50, 1_000])
def test_a_model_that_is_always_right_may_be_wrong_about_the_next_document(
    classes: tuple[str, ...], documents: int
) -> None:
    flawless = right_at(1.0, documents=documents, seed=1, classes=classes)

    found = intervals(flawless, confidence=0.95, seed=1)

    assert set(found) == set(metrics_of(flawless))
    for name, each in found.items():
        assert each.low <= each.value <= each.high, name
        assert each.high > each.low, name
    assert found["accuracy"].low == pytest.approx(0.025 ** (1 / documents))


@some_examples
@given(p=predictions(), data=st.data())
def test_every_interval_has_its_value_within_it(p: Predictions, data: st.DataObject) -> None:
    codes = st.integers(0, len(p.classes) - 1)
    other = replace(
        p, predicted=np.array(data.draw(st.lists(codes, min_size=len(p), max_size=len(p))))
    )

    for name, each in intervals(p, confidence=0.9, seed=1).items():
        assert np.isnan(each.value) or each.low <= each.value <= each.high, name
    for name in ("accuracy", "recall", "balanced_accuracy", "f1"):
        gain = difference(name, p, other, confidence=0.9, seed=1)
        assert gain.low <= gain.value <= gain.high, name


def test_labels_that_only_one_model_gives_are_allowed_for() -> None:
    """Three of 100 are positive: of these few nothing is known."""
    truth = np.array([1, 1, 1] + [0] * 97)
    missing_all = Predictions(("no", "yes"), truth, 0 * truth, np.tile([0.9, 0.1], (100, 1)))
    missing_one = replace(missing_all, predicted=np.array([0, 1, 1] + [0] * 97))

    gain = difference("recall", missing_one, missing_all, confidence=0.95, seed=1)

    assert gain.value == pytest.approx(2 / 3)
    assert gain.low < 0
    assert gain.high > 0.9
