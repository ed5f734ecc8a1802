"""How often to retrain follows from what models lose with their age."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from perennial.metrics import Interval
from perennial.monitoring.staleness import Aged, propose


def aged(days: int, *, is_worse: bool) -> Aged:
    loss = Interval(0.02, 0.01, 0.03) if is_worse else Interval(0.0, -0.01, 0.01)
    return Aged(timedelta(days=days), 1, 0.9, loss)


ages = st.lists(
    st.builds(lambda days, worse: aged(days, is_worse=worse), st.integers(1, 400), st.booleans()),
    max_size=8,
    unique_by=lambda each: each.age,
)


@given(ages)
def test_whatever_is_proved_to_be_worse_is_older_than_the_proposal(found: list[Aged]) -> None:
    proposed = propose(found)

    stale = [each.age for each in found if each.loss.low > 0]
    assert (proposed is None) == (not stale)
    if proposed is not None:
        assert timedelta(0) < proposed < min(stale)


def test_the_greatest_age_that_loses_nothing_is_proposed_and_half_of_one_that_always_does() -> None:
    fresh, stale = aged(7, is_worse=False), aged(28, is_worse=True)

    assert propose([stale, aged(14, is_worse=False), fresh]) == timedelta(days=14)
    assert propose([stale]) == timedelta(days=14)
    # A lucky older model does not make younger ones better.
    assert propose([fresh, stale, aged(56, is_worse=False)]) == timedelta(days=7)
