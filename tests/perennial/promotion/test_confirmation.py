"""A challenger takes over when what it has shown once is shown a second time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.problem import Problem
from perennial.gates.base import GateResult
from perennial.gates.confirmation import better_on_fresh, not_asked, passed_again
from perennial.metrics import Interval, Predictions
from perennial.promotion.confirmation import (
    find_before,
    find_first,
    same_candidate,
    specification_of,
)
from perennial.registry.model_version import ModelVersion
from perennial.registry.tags import TAG, VerdictTags, VersionTags
from tests.perennial.gates.gated import FAIR, GOOD, gated, verdict

PRODUCTION = ModelVersion("reviews", 1, "run", {})


def made(
    number: int,
    confirmation: str | None = None,
    *,
    against: int | None = 1,
    outcome: str = "kept",
    specification: str | None = "a",
) -> ModelVersion:
    """Return a version with a verdict."""
    tags = {
        **VersionTags(specification=specification).as_tags(),
        **VerdictTags(outcome, "", against, [], confirmation).as_tags(),
    }
    return ModelVersion("reviews", number, "run", {TAG + key: text for key, text in tags.items()})


def before(challenger: ModelVersion, *earlier: ModelVersion) -> list[int]:
    newest_first = sorted((challenger, *earlier), key=lambda each: -each.version)
    return [each.version for each in same_candidate(challenger, PRODUCTION, newest_first)]


def test_versions_of_the_same_candidate_against_the_same_production_count_newest_first() -> None:
    assert before(made(5), made(2), made(3, "awaited"), made(4)) == [4, 3, 2]


@pytest.mark.parametrize(
    "other",
    [
        made(3, "awaited", specification="b"),
        made(3, "awaited", specification=None),
        made(3, "awaited", against=2),
        made(3, "awaited", against=None),
        made(6, "awaited"),
    ],
    ids=["another candidate", "an old version", "another Production", "the first", "a later one"],
)
def test_other_versions_confirm_nothing(other: ModelVersion) -> None:
    assert before(made(5), other) == []


def test_a_challenger_whose_candidate_nobody_wrote_down_is_confirmed_by_none() -> None:
    assert before(made(5, specification=None), made(4, "awaited", specification=None)) == []


def test_what_passed_before_a_promotion_that_was_undone_does_not_count() -> None:
    undone = made(4, outcome="promoted")

    by_hand = made(4, against=7)

    for between in (undone, by_hand):
        assert before(made(6), made(3, "awaited"), between, made(5)) == [5]


def test_the_newest_version_of_fewer_documents_decides_and_equal_ones_are_passed_over() -> None:
    versions = [made(4, "awaited"), made(3), made(2, "awaited")]

    found = find_before(versions, lambda each: each.version < 4)

    assert found is not None
    assert found.version == 3
    assert find_before(versions, lambda _: False) is None


@given(st.lists(st.sampled_from([None, "awaited", "confirmed"]), max_size=8))
def test_fresh_documents_are_counted_from_the_first_version_that_has_passed(
    states: Sequence[str | None],
) -> None:
    versions = [made(number, state) for number, state in enumerate(states, 2)]

    found = find_first(reversed(versions))

    passed = [each.version for each in versions if each.confirmation is not None]
    assert (None if found is None else found.version) == (passed[0] if passed else None)


def test_renaming_a_candidate_leaves_its_specification_and_a_parameter_changes_it(
    problem: Problem,
) -> None:
    (name, chosen), *_ = problem.candidates.items()
    tuned = chosen.model_copy(update={"parameters": {**chosen.parameters, "tol": 0.123}})

    def changed(**candidates: Any) -> Problem:
        return problem.model_copy(update={"candidates": candidates})

    before = specification_of(problem, name)
    assert specification_of(changed(another=chosen), "another") == before
    assert specification_of(changed(another=tuned), "another") != before
    assert specification_of(problem.model_copy(update={"metric": "f1"}), name) != before
    assert specification_of(problem.model_copy(update={"description": "!"}), name) == before
    assert specification_of(gated(problem, accuracy=0.9), name) == before


# Verdicts

FIRST = passed_again(None, passed=False, production=7, again=())


def test_a_challenger_that_passes_once_is_kept_and_says_what_it_waits_for(problem: Problem) -> None:
    found = verdict(gated(problem), GOOD, FAIR).confirmed(FIRST)

    assert (found.outcome, found.confirmation, found.is_unconfirmed) == ("kept", "awaited", True)
    assert found.reason == (
        "confirmation: passed for the first time against version 7, required the same candidate "
        "passes twice running, on newer documents"
    )


@pytest.mark.parametrize("policy", ["auto", "approve", "never"])
def test_a_confirmed_challenger_goes_on_as_the_problem_says(problem: Problem, policy: str) -> None:
    gates = gated(problem).gates.model_copy(update={"promotion": policy})
    passed = verdict(problem.model_copy(update={"gates": gates}), GOOD, FAIR)

    found = passed.confirmed(passed_again(6, passed=True, production=7, again=passed.again))

    assert (found.outcome, found.confirmation) == (passed.outcome, "confirmed")
    assert not found.is_unconfirmed
    assert found.gates[:-1] == passed.gates


def test_the_reason_of_a_promotion_says_what_has_confirmed_it(problem: Problem) -> None:
    passed = verdict(gated(problem), GOOD, FAIR)

    again = passed.confirmed(passed_again(6, passed=True, production=7, again=passed.again))
    urgent = passed.confirmed(not_asked("the retraining is urgent"))

    assert again.reason == ("every gate is passed; version 6 has passed before, on fewer documents")
    assert urgent.outcome == "promoted"
    assert urgent.reason == "every gate is passed; not confirmed: the retraining is urgent"


def _seen(wins: int, losses: int) -> tuple[Predictions, Predictions]:
    """Return what two models say about 200 documents, of which each wins some over the other."""
    truth = np.arange(200) % 2
    one, other = truth.copy(), truth.copy()
    other[:wins] ^= 1
    one[wins : wins + losses] ^= 1
    first, second = (
        Predictions(("no", "yes"), truth, said, np.eye(2)[said]) for said in (one, other)
    )
    return first, second


@pytest.mark.parametrize(
    ("wins", "losses", "outcome"),
    # One-sided mid-p values: 0.0245, 0.0155 and 0.0096, where 0.025 passes once and 0.01 twice.
    [(12, 4, "kept"), (13, 4, "kept"), (14, 4, "promoted")],
)
def test_the_second_time_a_gain_has_to_be_surer(
    problem: Problem, wins: int, losses: int, outcome: str
) -> None:
    once = verdict(gated(problem), *_seen(wins, losses))

    twice = once.confirmed(passed_again(6, passed=True, production=7, again=once.again))

    assert once.is_passed
    assert twice.outcome == outcome
    assert ("98% interval above 0" in twice.reason) == (outcome == "kept")
    assert ("now the gain is less sure" in twice.reason) == (outcome == "kept")


@pytest.mark.parametrize("confirm", ["fresh", "none"])
def test_nothing_is_looked_at_again_where_no_second_pass_is_asked_for(
    problem: Problem, confirm: str
) -> None:
    gates = gated(problem).gates.model_copy(update={"confirm": confirm})

    found = verdict(problem.model_copy(update={"gates": gates}), GOOD, FAIR)

    assert found.is_passed
    assert found.again == ()


def test_what_fails_another_gate_has_nothing_to_confirm(problem: Problem) -> None:
    with pytest.raises(ValueError, match="passed every gate"):
        verdict(gated(problem), FAIR, GOOD).confirmed(FIRST)


@pytest.mark.parametrize(
    ("gain", "passed"),
    [(Interval(0.02, 0.001, 0.04), True), (Interval(0.02, 0.0, 0.04), False), (None, False)],
)
def test_fresh_documents_confirm_by_the_whole_interval(gain: Interval | None, passed: bool) -> None:
    found: GateResult = better_on_fresh(3, gain, 120, "accuracy", 0.95)

    assert found.passed is passed
    assert "120 documents" in found.found
    assert "95% interval above 0 on 100 documents or more" in found.required
