"""The figure of a version that was chosen on a holdout is corrected for the choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.metrics import Interval
from perennial.promotion.figure import LEAST_SINCE, Selection, Since, best_figure
from perennial.promotion.selection import corrected, optimism

ERROR = 0.01
Z = 1.959964


def gain(value: float, error: float = ERROR) -> Interval:
    return Interval(value, value - Z * error, value + Z * error)


@given(
    value=st.floats(-0.2, 0.2), error=st.floats(0, 0.1), asked=st.sampled_from([0.9, 0.95, 0.98])
)
def test_a_correction_takes_no_more_than_the_challengers_part_of_the_gain(
    value: float, error: float, asked: float
) -> None:
    found = optimism(gain(value, error), 0.95, asked)

    assert 0 <= found <= max(0.0, value) / 2 + 1e-9


@given(st.floats(2, 5), st.floats(0.1, 3))
def test_a_larger_gain_stays_the_larger_one_and_none_grows(found: float, more: float) -> None:
    limit = 1.96

    assert 0 <= corrected(found, limit) <= found
    assert corrected(found, limit) <= corrected(found + more, limit)


def test_a_gain_that_is_just_proved_may_be_all_chance_and_a_large_one_hardly() -> None:
    assert optimism(gain(0.02), 0.95, 0.95) == pytest.approx(0.01)
    assert optimism(gain(0.1), 0.95, 0.95) < 0.0001


@pytest.mark.parametrize("truth", [0.0, 0.02, 0.03, 0.05])
def test_the_figures_of_those_that_were_chosen_are_right_on_average(truth: float) -> None:
    rng = np.random.default_rng(7)
    # Documents are alike for both; each has chance of its own.
    lucky, unlucky = rng.normal(0, ERROR / np.sqrt(2), (2, 40_000))
    gains = truth + lucky - unlucky
    chosen = gains > Z * ERROR
    plain = lucky[chosen][:2_000]
    mended = [
        luck - optimism(gain(value), 0.95, 0.95)
        for luck, value in zip(plain, gains[chosen], strict=False)
    ]

    assert abs(np.mean(mended)) < 0.3 * ERROR
    if truth == 0:
        assert abs(np.mean(mended)) < np.mean(plain) / 3


def test_documents_since_are_believed_and_until_then_the_corrected_claim() -> None:
    chosen = Selection(metric="accuracy", claimed=0.9, optimism=0.01)
    few = Since(metric="accuracy", value=0.7, low=0.6, high=0.8, documents=LEAST_SINCE - 1)
    enough = few.model_copy(update={"documents": LEAST_SINCE})

    assert best_figure(chosen, None) == pytest.approx(0.89)
    assert best_figure(chosen, few) == pytest.approx(0.89)
    assert best_figure(chosen, enough) == 0.7
    assert best_figure(None, enough) == 0.7
    assert best_figure(None, few) is None


@pytest.mark.parametrize(
    ("metric", "expected", "words"), [("accuracy", 0.19, "high"), ("cost", 0.21, "low")]
)
def test_a_correction_makes_every_metric_worse(metric: str, expected: float, words: str) -> None:
    chosen = Selection.model_validate({"metric": metric, "claimed": 0.2, "optimism": 0.01})

    assert chosen.corrected == pytest.approx(expected)
    assert str(chosen) == (
        f"{metric} 0.2000, selected on this holdout, may be {words} by about 0.01"
    )
