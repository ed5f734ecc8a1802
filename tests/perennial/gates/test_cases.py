"""A challenger must get enough behavioural cases of each group right."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.gates.cases import CaseFile, GroupResult, check_cases
from tests.perennial.gates.gated import (
    PRODUCTION,
    WORSE_ON_SHORT,
    asking,
    named,
    verdict,
)

CASES = {
    "groups": {
        "negation": {
            "pass_rate": 0.6,
            "minimum_function": [
                {"input": "not good", "label": "negative"},
                {"input": "not bad", "label": "positive"},
            ],
            "direction": [
                {"input": "good", "changed": "not good", "label": "negative", "rises": 0.1}
            ],
        },
        "names": {"invariance": [{"input": "Ann", "changed": "Bob", "tolerance": 0.05}]},
    }
}


def answers(cases: CaseFile, **positive: float) -> tuple[GroupResult, ...]:
    """Check a model that gives these probabilities of being positive, and 0.9 to all else."""
    rows = [positive.get(each.replace(" ", "_"), 0.9) for each in cases.inputs]
    return check_cases(
        cases,
        labels=["positive" if row > 0.5 else "negative" for row in rows],
        classes=("negative", "positive"),
        probabilities=np.array([[1 - row, row] for row in rows]),
    )


def test_a_challenger_that_fails_a_behavioural_case_is_kept_out_and_the_case_named(
    problem: Problem,
) -> None:
    asked = asking(problem, cases=CASES)
    assert asked.gates.cases is not None

    results = answers(asked.gates.cases, not_good=0.9, not_bad=0.9, good=0.9)
    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, {"cases": results})

    assert named(found, "better than Production").passed
    assert found.outcome == "kept"
    (gate,) = found.failed
    assert gate.name == "cases negation"
    assert gate.found.startswith("1 of 3 pass: ")
    assert "'not good' is positive, not negative" in found.reason
    assert "'good' to 'not good' moves negative by +0.000, less than +0.1" in found.reason
    assert gate.required == "at least 60%"


def test_a_group_passes_when_enough_of_its_cases_do(problem: Problem) -> None:
    asked = asking(problem, cases=CASES)
    assert asked.gates.cases is not None

    results = answers(asked.gates.cases, not_good=0.2, not_bad=0.2)
    found = verdict(asked, PRODUCTION, None, {"cases": results})

    assert found.outcome == "promoted"
    assert named(found, "cases negation").found == "2 of 3 pass"


@pytest.mark.parametrize(
    ("bob", "says"),
    [
        (0.96, "'Ann' to 'Bob' moves positive by 0.060, more than 0.05"),
        (0.3, "'Ann' to 'Bob' turns positive into negative"),
        (0.94, None),
    ],
)
def test_a_change_that_must_not_matter_may_move_a_probability_by_the_tolerance(
    bob: float, says: str | None
) -> None:
    cases = CaseFile.model_validate(CASES)

    _, names = answers(cases, Bob=bob)

    assert names.failures == (() if says is None else (says,))


@pytest.mark.parametrize(("fall", "passes"), [(0.04, True), (0.06, False)])
def test_a_direction_may_allow_a_small_fall(fall: float, passes: bool) -> None:
    case = {"input": "bad", "changed": "very bad", "label": "negative", "rises": -0.05}
    cases = CaseFile.model_validate({"groups": {"intensifiers": {"direction": [case]}}})

    (result,) = answers(cases, bad=0.2, very_bad=0.2 + fall)

    assert (result.passed == 1) is passes


def test_a_case_about_a_rare_label_that_was_left_out_fails_and_says_so() -> None:
    case = {"input": "a film", "changed": "a dull film", "label": "dull", "rises": 0.1}
    asked = {"minimum_function": [{"input": "dull", "label": "dull"}], "direction": [case]}
    cases = CaseFile.model_validate({"groups": {"dullness": asked}})

    (found,) = check_cases(
        cases,
        labels=["bad", "bad", "bad"],
        classes=["bad", "good"],
        probabilities=np.tile([0.9, 0.1], (3, 1)),
    )

    assert found.failures == (
        "'dull' is bad, not dull",
        "'a film' to 'a dull film' cannot move dull, a rare label that the model does not know",
    )


def test_cases_of_objects_are_quoted_by_their_fields() -> None:
    case = {"input": {"length": 1.5, "width": 2}, "label": "negative"}
    cases = CaseFile.model_validate({"groups": {"small": {"minimum_function": [case]}}})

    (result,) = check_cases(
        cases,
        labels=["positive"],
        classes=("negative", "positive"),
        probabilities=np.array([[0.1, 0.9]]),
    )

    assert result.failures == ("'length 1.5, width 2' is positive, not negative",)


def test_a_group_that_was_not_measured_keeps_a_challenger_out(problem: Problem) -> None:
    found = verdict(asking(problem, cases=CASES), PRODUCTION, None, {})

    assert found.outcome == "kept"
    assert not named(found, "cases negation").passed
    assert "cases negation: not measured" in found.reason
