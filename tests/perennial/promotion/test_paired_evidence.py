"""A fall in accuracy is told from texts that both versions have scored, and from few labels."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.sections.rollout import Rollout
from perennial.promotion.canary_analysis import (
    PAIRED,
    RequestCounts,
    alpha_of,
    choose_outcome,
    compute_checks,
)
from perennial.promotion.confidence_sequences import Tally, proportion_interval
from perennial.promotion.paired_evidence import Paired, fall_interval, labels_needed
from tests.searches import tried

ALPHA = 0.01
HOUR = timedelta(hours=1)
ROLLOUT = Rollout.model_validate({"mode": "canary", "steps": [0.5], "must_see": 0.05})
ENOUGH = RequestCounts(0, {"yes": 5_000}, Tally(0, 0))

paired = st.integers(0, 400).flatmap(
    lambda inputs: st.integers(0, inputs).flatmap(
        lambda differ: st.integers(0, differ).flatmap(
            lambda labelled: st.integers(0, labelled).flatmap(
                lambda lost: st.builds(
                    Paired,
                    st.just(inputs),
                    st.just(differ),
                    st.just(labelled),
                    st.just(lost),
                    st.integers(0, labelled - lost),
                )
            )
        )
    )
)


@tried()
@given(paired)
def test_an_interval_holds_what_was_seen_and_never_more_than_the_versions_may_differ(
    found: Paired,
) -> None:
    interval = fall_interval(found, ALPHA)

    assert -1 <= interval.low <= interval.high <= 1
    assert interval.low - 1e-9 <= interval.value <= interval.high + 1e-9


@tried()
@given(paired)
def test_who_exchanges_the_versions_exchanges_the_sign(found: Paired) -> None:
    turned = Paired(found.inputs, found.disagreements, found.labelled, found.won, found.lost)

    one, other = fall_interval(found, ALPHA), fall_interval(turned, ALPHA)

    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-9)


def test_versions_that_hardly_differ_need_no_labels_at_all() -> None:
    assert fall_interval(Paired(5_000, 50), ALPHA).high < 0.05
    assert labels_needed(0.01, 0.05, ALPHA) == 0


def test_labels_needed_are_just_enough_for_an_equal_canary() -> None:
    needed = labels_needed(0.2, 0.05, ALPHA)
    rng = np.random.default_rng(4)

    def excluded(labels: int) -> float:
        """Return in which share of rollouts of equal canaries the fall is excluded."""
        lost = rng.binomial(labels, 0.5, 200)
        known = [proportion_interval(Tally(hits, labels), ALPHA / 2).high for hits in lost]
        return float(np.mean([0.2 * (2 * high - 1) < 0.05 for high in known]))

    assert excluded(needed) > 0.7
    assert excluded(needed // 2) < 0.6
    assert labels_needed(0.2, 0.1, ALPHA) < needed


def test_a_rate_of_parts_of_hits_is_missed_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(200):
        parts = rng.choice([0.0, 0.5, 1.0], 300, p=[0.3, 0.2, 0.5]).cumsum()
        looks = range(20, 300, 40)
        missed += any(
            not found.low <= 0.6 <= found.high
            for found in (proportion_interval(Tally(parts[look - 1], look), 0.05) for look in looks)
        )

    assert missed <= 20


@pytest.mark.parametrize(
    ("seen", "outcome", "words"),
    [
        (Paired(5_000, 500, 0, 0, 0), "wait", "must be excluded"),
        (Paired(5_000, 500, 40, 20, 20), "wait", "must be excluded"),
        (Paired(5_000, 500, 200, 100, 100), "promote", "accuracy has not fallen by"),
        (Paired(5_000, 500, 200, 150, 50), "take back", PAIRED),
    ],
)
def test_no_canary_passes_before_the_fall_that_must_be_seen_is_excluded(
    seen: Paired, outcome: str, words: str
) -> None:
    checks = compute_checks(ROLLOUT, ENOUGH, ENOUGH, paired=seen)

    found, reason = choose_outcome(ROLLOUT, 0, ENOUGH, checks, HOUR)

    assert found == outcome
    assert words in reason


def test_a_canary_without_evidence_is_taken_back_when_its_time_is_over() -> None:
    checks = compute_checks(ROLLOUT, ENOUGH, ENOUGH, paired=Paired(5_000, 500))

    found, reason = choose_outcome(ROLLOUT, 0, ENOUGH, checks, timedelta(days=4))

    assert found == "take back"
    assert "a fall of 0.1" in reason


def test_a_rollout_that_need_not_see_a_fall_is_judged_as_before() -> None:
    plain = ROLLOUT.model_copy(update={"must_see": None})

    assert alpha_of(plain) > alpha_of(ROLLOUT)
    checks = compute_checks(plain, ENOUGH, ENOUGH)
    assert PAIRED not in [check.name for check in checks]
    assert choose_outcome(plain, 0, ENOUGH, checks, HOUR)[0] == "promote"
