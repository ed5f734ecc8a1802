"""Holm's correction, worked out by hand, and what holds of it whatever the p-values are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perennial.monitoring.holm import corrected


def test_the_smallest_counts_for_all_and_none_for_less_than_a_smaller_one() -> None:
    assert corrected([0.04, 0.01, 0.03, 0.005]) == [0.06, 0.03, 0.06, 0.02]
    assert corrected([0.9, 0.8]) == [1.0, 1.0]
    assert corrected([]) == []


@given(p_values=st.lists(st.floats(0, 1), max_size=8))
def test_no_correction_lowers_a_p_value_or_changes_its_rank(p_values: list[float]) -> None:
    found = corrected(p_values)

    assert all(1 >= after >= before for before, after in zip(p_values, found, strict=True))
    order = sorted(range(len(found)), key=p_values.__getitem__)
    assert sorted(found) == [found[place] for place in order]
