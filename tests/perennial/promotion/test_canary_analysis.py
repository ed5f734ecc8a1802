"""Canary analysis: looking often proves nothing by itself, and harm is found."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.sections.rollout import Rollout
from perennial.promotion.canary_analysis import RequestCounts, choose_outcome, compute_checks
from perennial.promotion.confidence_sequences import (
    Bucket,
    Tally,
    difference_interval,
    log_evidence,
    log_evidence_of_difference,
    quantile_interval,
)
from tests.searches import tried

ALPHA = 0.05
DAY = timedelta(days=1)
ROLLOUT = Rollout.model_validate({"mode": "canary", "steps": [0.1, 0.5], "requests": 100})


def tally(hits: int, total: int) -> Tally:
    return Tally(hits, total)


tallies = st.integers(0, 400).flatmap(
    lambda total: st.builds(tally, st.integers(0, total), st.just(total))
)


@tried()
@given(tallies, tallies)
def test_the_interval_contains_what_was_observed_and_turns_with_the_samples(
    one: Tally, other: Tally
) -> None:
    found = difference_interval(one, other, ALPHA)
    turned = difference_interval(other, one, ALPHA)

    if one.total and other.total:
        assert found.low <= found.value <= found.high
    assert (found.low, found.high) == pytest.approx((-turned.high, -turned.low), abs=1e-9)
    assert -1 <= found.low <= found.high <= 1


@tried()
@given(tallies, tallies, st.floats(-0.99, 0.99))
def test_the_evidence_is_that_against_the_least_doubtful_pair_of_rates(
    one: Tally, other: Tally, difference: float
) -> None:
    rates = np.linspace(max(0.0, -difference), min(1.0, 1.0 - difference), 2001)
    shifted = np.clip(rates + difference, 0, 1)
    least = (log_evidence(other, rates) + log_evidence(one, shifted)).min()

    found = log_evidence_of_difference(one, other, difference)

    # A grid cannot hit the least exactly.
    assert found <= least + 1e-6
    assert found >= least - 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "share"), [(0.9, 0.5), (0.9, 0.05), (0.01, 0.25)])
def test_equal_versions_are_told_apart_in_at_most_alpha_of_all_rollouts_looked_at_without_end(
    rate: float, share: float
) -> None:
    rng = np.random.default_rng(1)
    rollouts, looks, per_look = 200, 60, 50
    to_canary = rng.binomial(per_look, share, (rollouts, looks))
    totals = to_canary.cumsum(axis=1), (per_look - to_canary).cumsum(axis=1)
    hits = (
        rng.binomial(to_canary, rate).cumsum(axis=1),
        rng.binomial(per_look - to_canary, rate).cumsum(axis=1),
    )
    told_apart = naive = 0
    for run in range(rollouts):
        counts = [
            [Tally(int(hits[arm][run, look]), int(totals[arm][run, look])) for arm in (0, 1)]
            for look in range(looks)
        ]
        told_apart += any(
            log_evidence_of_difference(one, other, 0.0) >= math.log(1 / ALPHA)
            for one, other in counts
        )
        naive += any(_z_test_rejects(one, other) for one, other in counts)

    assert told_apart / rollouts <= ALPHA
    # The test that is meant for one look shows that this simulation can fail.
    assert naive / rollouts > 2 * ALPHA


def _z_test_rejects(one: Tally, other: Tally) -> bool:
    if not (one.total and other.total):
        return False
    pooled = (one.hits + other.hits) / (one.total + other.total)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / one.total + 1 / other.total))
    return spread > 0 and abs(one.rate - other.rate) > 1.96 * spread


def test_a_worse_version_is_found_within_few_looks() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        # Feedback on 20 predictions of the canary and on 60 of Production between two looks.
        canary, production = (
            rng.binomial(size, rate, 10).cumsum() for size, rate in ((20, 0.7), (60, 0.9))
        )
        found += any(
            one.rate < other.rate
            and log_evidence_of_difference(one, other, 0.0) > math.log(8 / ALPHA)
            for one, other in (
                (
                    Tally(int(canary[look]), 20 * (look + 1)),
                    Tally(int(production[look]), 60 * (look + 1)),
                )
                for look in range(10)
            )
        )

    assert found >= 95


@pytest.mark.slow
def test_quantiles_of_equal_latencies_are_told_apart_in_at_most_alpha_of_all_rollouts() -> None:
    rng = np.random.default_rng(3)
    crossed = 0
    rollouts, looks, per_look = 100, 20, 40
    for _ in range(rollouts):
        seconds = rng.lognormal(-7, 1, (looks, per_look))
        groups = np.exp2(np.ceil(np.log2(seconds) * 4) / 4)
        is_canary = rng.random((looks, per_look)) < 0.3
        crossed += any(
            quantile_interval(_counts(groups[:look], is_canary[:look]), 0.95, ALPHA / 2).low
            > quantile_interval(_counts(groups[:look], ~is_canary[:look]), 0.95, ALPHA / 2).high
            for look in range(1, looks + 1)
        )

    assert crossed / rollouts <= ALPHA


def _counts(groups: np.ndarray, chosen: np.ndarray) -> dict[Bucket, int]:
    ends, counts = np.unique(groups[chosen], return_counts=True)
    return {(end / 2**0.25, end): n for end, n in zip(ends.tolist(), counts.tolist(), strict=True)}


def test_a_quantile_lies_in_its_interval_and_is_unbounded_while_little_is_known() -> None:
    few = quantile_interval({(0.0, 0.001): 3, (0.001, 0.002): 1}, 0.95, ALPHA)
    many = quantile_interval(
        {(0.0, 0.001): 9_000, (0.001, 0.002): 900, (0.002, 0.004): 100}, 0.95, ALPHA
    )

    assert few.high == math.inf
    assert (many.low, many.value, many.high) == (0.001, 0.002, 0.002)


def seen(
    negative: int = 500, positive: int = 500, *, failures: int = 0, right: int = 0, said: int = 0,
    seconds: float = 0.001,
) -> RequestCounts:  # fmt: skip
    return RequestCounts(
        failures,
        {"negative": negative, "positive": positive},
        Tally(right, said),
        {(0.9 * seconds, seconds): negative + positive},
    )


@pytest.mark.parametrize(
    ("canary", "named"),
    [
        (seen(failures=100), "error rate"),
        (seen(seconds=0.003), "latency"),
        (seen(right=100, said=200), "feedback accuracy"),
        (seen(negative=800, positive=200), "share of positive"),
    ],
    ids=["fails", "slow", "wrong", "other labels"],
)
def test_a_canary_that_crosses_a_limit_is_taken_back_and_the_reason_names_it(
    canary: RequestCounts, named: str
) -> None:
    checks = compute_checks(ROLLOUT, canary, seen(right=180, said=200))

    outcome, reason = choose_outcome(ROLLOUT, 0, canary, checks, DAY)

    assert outcome == "take back"
    assert named in reason


def test_one_failure_in_a_few_requests_takes_nothing_back() -> None:
    canary = seen(2, 2, failures=1)
    checks = compute_checks(ROLLOUT, canary, seen())

    outcome, reason = choose_outcome(ROLLOUT, 0, canary, checks, DAY)

    assert (outcome, reason) == ("wait", "the step needs 95 more logged requests")


def test_a_good_canary_goes_from_step_to_step_into_production() -> None:
    good = seen(right=90, said=100)
    checks = compute_checks(ROLLOUT, good, seen(right=90, said=100))

    assert choose_outcome(ROLLOUT, 0, good, checks, DAY)[0] == "next step"
    assert choose_outcome(ROLLOUT, 1, good, checks, DAY)[0] == "promote"


def test_a_step_lasts_its_least_time_and_not_longer_than_its_longest() -> None:
    good, checks = seen(), compute_checks(ROLLOUT, seen(), seen())
    idle, nothing = RequestCounts(), compute_checks(ROLLOUT, RequestCounts(), RequestCounts())

    early = choose_outcome(ROLLOUT, 0, good, checks, timedelta(minutes=5))
    forgotten = choose_outcome(ROLLOUT, 0, idle, nothing, timedelta(days=4))

    assert early == ("wait", "the step needs 600 s more")
    assert forgotten == ("take back", "after 4 days its step still needs 100 more logged requests")


def test_feedback_is_waited_for_when_it_is_asked_for() -> None:
    asked = ROLLOUT.model_copy(update={"feedback": 50})
    good = seen(right=30, said=40)

    outcome, reason = choose_outcome(asked, 0, good, compute_checks(asked, good, seen()), DAY)

    assert (outcome, reason) == ("wait", "the step needs 10 more feedback")


def test_of_three_labels_each_share_is_compared() -> None:
    one = RequestCounts(labels={"a": 5000, "b": 3000, "c": 2000})
    other = RequestCounts(labels={"a": 5000, "b": 500, "c": 4500})

    crossed = [check.name for check in compute_checks(ROLLOUT, one, other) if check.is_crossed]

    assert crossed == ["share of b", "share of c"]


def test_a_shift_that_the_holdout_showed_is_no_harm_and_one_beyond_it_is() -> None:
    one, other = seen(negative=300, positive=700), seen(negative=1000, positive=0)

    unknown, known, turned = (
        [check.name for check in compute_checks(ROLLOUT, one, other, shift) if check.is_crossed]
        for shift in ({}, {"positive": 0.65}, {"positive": -0.65})
    )

    assert known == []
    assert unknown == turned == ["share of positive"]


def test_the_name_of_a_rollout_alone_takes_the_defaults() -> None:
    assert Rollout.model_validate("canary") == Rollout(mode="canary")
    assert Rollout().mode == "immediate"
    with pytest.raises(ValueError, match="larger than the one before"):
        Rollout(steps=(0.5, 0.1))
