"""A comparison that proves nothing says what it could have proved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.metrics import Interval, conclusion, provable
from perennial.metrics.evaluation.proportions import mid_p_value, paired_interval


@pytest.mark.parametrize("documents", [300, 1_000, 5_000])
def test_a_gain_of_the_size_that_is_named_is_proved_in_about_four_of_five_comparisons(
    documents: int,
) -> None:
    rng, differing = np.random.default_rng(1), 0.1
    usual = round(documents * differing / 2)
    named = provable(Interval(0, *paired_interval(usual, usual, documents, 0.95)), 0.95)

    wins, losses, _ = rng.multinomial(
        documents,
        [(differing + named) / 2, (differing - named) / 2, 1 - differing],
        size=2_000,
    ).T
    found = [mid_p_value(*each) < 0.025 for each in zip(wins, losses, strict=True)]

    assert 0.75 <= np.mean(found) <= 0.85


ends = st.floats(-1, 1, allow_nan=False)


@given(ends, ends, st.floats(0, 1))
def test_what_is_not_proved_is_worse_or_equal_or_cannot_be_told(
    one: float, other: float, left: float
) -> None:
    low, high = sorted((one, other))
    gain = Interval((low + high) / 2, low, high)

    found = conclusion(gain, 0.95, left)

    if high < 0:
        assert found == "worse"
    elif found != "too few documents to say":
        assert found == f"equal within {max(high, -low):.2g}"
        assert provable(gain, 0.95) <= left / 2


@pytest.mark.parametrize(
    ("low", "high", "meaning"),
    [
        (-0.03, -0.001, "worse"),
        (-0.01, 0.012, "equal within 0.012"),
        (-0.08, 0.09, "too few documents to say"),
    ],
)
def test_where_a_tenth_is_left_to_gain(low: float, high: float, meaning: str) -> None:
    assert conclusion(Interval(0, low, high), 0.95, 0.1) == meaning
