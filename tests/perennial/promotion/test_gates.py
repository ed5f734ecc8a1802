"""Each gate keeps out what it is there for, says what it found, and lets the rest pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from perennial.config.cases import CaseFile
from perennial.config.gates import Gates
from perennial.config.problem import Problem
from perennial.promotion.behavioral import GroupResult, judge
from perennial.promotion.latency import Latency, measure_latency
from perennial.promotion.slices import Slice
from perennial.promotion.verdict import Approval, Evidence
from tests.perennial.gated import (
    LONG,
    PRODUCTION,
    SHORT,
    WORSE_ON_SHORT,
    asking,
    named,
    right_in,
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


def test_a_challenger_that_is_better_overall_but_worse_on_a_slice_is_kept_out_and_the_slice_named(
    problem: Problem,
) -> None:
    asked = asking(problem, slices={"margin": 0.02, "min_documents": 100})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, Evidence(slices=(SHORT, LONG)))

    assert named(found, "better than Production").passed
    assert found.outcome == "kept"
    assert [gate.name for gate in found.failed] == ["slice short"]
    assert "slice short: accuracy -0.1000 [" in found.reason
    assert named(found, "slice long").found.endswith("on 500 documents")


def test_a_slice_may_be_worse_by_less_than_the_margin(problem: Problem) -> None:
    asked = asking(problem, slices={"margin": 0.15, "min_documents": 100})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, Evidence(slices=(SHORT, LONG)))

    assert found.outcome == "promoted"


def test_a_slice_with_few_documents_is_named_as_not_judged(problem: Problem) -> None:
    asked = asking(problem, slices={"margin": 0.02, "min_documents": 201})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, Evidence(slices=(SHORT, LONG)))

    assert found.outcome == "promoted"
    assert named(found, "slices not judged").found == "short (200)"


def test_a_metric_that_a_slice_does_not_have_leaves_it_unjudged(problem: Problem) -> None:
    odd = Slice("odd", np.arange(700) % 2 == 1)
    asked = asking(problem, slices={"margin": 0.02}).model_copy(update={"metric": "roc_auc"})

    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, Evidence(slices=(odd, LONG)))

    assert named(found, "slices not judged").found == "odd (350)"
    assert named(found, "slice long").passed


# Behavioural cases


def answers(cases: CaseFile, **positive: float) -> tuple[GroupResult, ...]:
    """Judge a model that gives these probabilities of being positive, and 0.9 to all else."""
    rows = [positive.get(each.replace(" ", "_"), 0.9) for each in cases.inputs]
    return judge(
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
    found = verdict(asked, WORSE_ON_SHORT, PRODUCTION, Evidence(cases=results))

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
    found = verdict(asked, PRODUCTION, None, Evidence(cases=results))

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


def test_cases_of_objects_are_quoted_by_their_fields() -> None:
    case = {"input": {"length": 1.5, "width": 2}, "label": "negative"}
    cases = CaseFile.model_validate({"groups": {"small": {"minimum_function": [case]}}})

    (result,) = judge(
        cases,
        labels=["positive"],
        classes=("negative", "positive"),
        probabilities=np.array([[0.1, 0.9]]),
    )

    assert result.failures == ("'length 1.5, width 2' is positive, not negative",)


# Budgets


@pytest.mark.parametrize(
    ("gates", "evidence", "name", "says"),
    [
        (
            {"latency": {"milliseconds": 5}},
            Evidence(latency=Latency(median=0.4, p99=5.01)),
            "latency",
            "latency: 99% within 5.010 ms, half within 0.400 ms, required 99% within 5 ms",
        ),
        (
            {"size": {"megabytes": 100}},
            Evidence(file_bytes=100_000_001),
            "size",
            "size: 100.0 MB, required at most 100 MB",
        ),
        ({"latency": {"milliseconds": 5}}, Evidence(), "latency", "latency: not measured"),
        ({"size": {"megabytes": 100}}, Evidence(), "size", "size: not measured"),
        ({"cases": CASES}, Evidence(), "cases negation", "cases negation: not measured"),
    ],
    ids=["too slow", "too large", "latency unknown", "size unknown", "cases unknown"],
)
def test_what_is_over_its_budget_or_was_not_measured_is_kept_out(
    gates: dict[str, Any], evidence: Evidence, name: str, says: str, problem: Problem
) -> None:
    found = verdict(asking(problem, **gates), PRODUCTION, None, evidence)

    assert found.outcome == "kept"
    assert not named(found, name).passed
    assert says in found.reason


def test_a_model_within_its_budgets_is_promoted(problem: Problem) -> None:
    asked = asking(problem, latency={"milliseconds": 5}, size={"megabytes": 100})
    evidence = Evidence(latency=Latency(median=0.4, p99=5.0), file_bytes=100_000_000)

    assert verdict(asked, PRODUCTION, None, evidence).outcome == "promoted"


class Clock:
    """Time that passes only while something is scored, and sometimes because of other work."""

    classes = ("negative", "positive")

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def probabilities(self, inputs: Sequence[str]) -> Any:
        (text,) = inputs
        self.calls += 1
        busy = 0.5 if self.calls % 3 == 0 else 0.0
        self.now += len(text) / 1000 + busy
        return np.array([[0.5, 0.5]])

    def explain(self, text: str, label: str, limit: int | None = 20) -> Any:
        raise NotImplementedError


def test_latency_is_that_of_the_model_not_of_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("perennial.promotion.latency.time.perf_counter", clock)

    found = measure_latency(clock, ["x" * length for length in range(101)])

    assert found.median == pytest.approx(50)
    assert found.p99 == pytest.approx(99)


def test_latency_of_nothing_is_no_latency() -> None:
    with pytest.raises(ValueError, match="without an input"):
        measure_latency(Clock(), [])


# Freshness

EQUAL = replace(PRODUCTION)


def test_newer_documents_are_a_reason_to_promote_a_challenger_that_is_not_worse(
    problem: Problem,
) -> None:
    asked = asking(problem, not_worse={"margin": 0.002})

    fresh = verdict(asked, EQUAL, PRODUCTION, Evidence(newer_documents=True))
    stale = verdict(asked, EQUAL, PRODUCTION, Evidence(newer_documents=False))

    assert fresh.outcome == "promoted"
    gate = named(fresh, "not worse than Production, on newer documents")
    assert gate.required == "95% interval above -0.002"
    assert stale.outcome == "kept"
    assert named(stale, "better than Production").required == "95% interval above 0"


def test_newer_documents_are_no_reason_unless_the_problem_says_so(problem: Problem) -> None:
    found = verdict(asking(problem), EQUAL, PRODUCTION, Evidence(newer_documents=True))

    assert found.outcome == "kept"


def test_a_challenger_that_may_be_worse_by_more_than_the_margin_is_kept(problem: Problem) -> None:
    asked = asking(problem, not_worse={"margin": 0.002})
    worse = right_in(700, (SHORT, 0.88), (LONG, 0.8))

    found = verdict(asked, worse, PRODUCTION, Evidence(newer_documents=True))

    assert found.outcome == "kept"


# Who promotes


def test_what_is_never_automatic_is_kept_though_every_gate_is_passed(problem: Problem) -> None:
    found = verdict(asking(problem, promotion="never"), WORSE_ON_SHORT, PRODUCTION)

    assert (found.outcome, found.is_passed, found.waits) == ("kept", True, False)
    assert found.reason == "every gate is passed, but promotion is never automatic"


def test_a_challenger_waits_for_a_person_and_then_does_as_told(problem: Problem) -> None:
    asked = asking(problem, promotion="approve")
    yes, no = (Approval(approved=said, by="Ana", why="I tried it") for said in (True, False))

    waiting = verdict(asked, WORSE_ON_SHORT, PRODUCTION)
    approved = verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=yes)
    refused = verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=no)

    assert (waiting.outcome, waiting.waits) == ("waiting", True)
    assert waiting.reason == "every gate is passed, but it waits for a person's answer"
    assert (approved.outcome, approved.waits) == ("promoted", False)
    assert named(approved, "approval").found == "yes, by Ana: I tried it"
    assert (refused.outcome, refused.waits) == ("kept", False)
    assert refused.reason == "approval: no, by Ana: I tried it, required a person's yes"


def test_a_verdict_that_waits_becomes_what_a_person_answers(problem: Problem) -> None:
    asked = asking(problem, promotion="approve")
    yes, no = (Approval(approved=said, by="Ana", why="I tried it") for said in (True, False))
    waiting = verdict(asked, WORSE_ON_SHORT, PRODUCTION)

    approved, refused = waiting.answered(yes), waiting.answered(no)

    assert approved == verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=yes)
    assert refused == verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=no)


def test_a_long_answer_is_shortened() -> None:
    long = Approval(approved=True, by="Ana", why="so " * 5_000)

    assert len(long.why) == 1_000
    assert long.why.endswith("...")


def test_nobody_is_asked_about_a_challenger_that_fails_a_gate(problem: Problem) -> None:
    found = verdict(asking(problem, promotion="approve"), PRODUCTION, WORSE_ON_SHORT)

    assert (found.outcome, found.waits) == ("kept", False)


def test_a_yes_does_not_help_a_challenger_that_fails_a_gate(problem: Problem) -> None:
    yes = Approval(approved=True, by="Ana", why="I like it")

    found = verdict(asking(problem, promotion="approve"), PRODUCTION, WORSE_ON_SHORT, approval=yes)

    assert found.outcome == "kept"


# The file


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ({"slices": {"margin": 0.0}}, "greater than 0"),
        ({"slices": {"margin": 0.1, "text_length": 1}}, "greater than or equal to 2"),
        ({"slices": {"margin": 0.1, "text_length": [500, 0]}}, "should rise"),
        ({"latency": {"milliseconds": 0}}, "greater than 0"),
        ({"promotion": "sometimes"}, "'auto', 'approve' or 'never'"),
        ({"answer_within": "PT0S"}, "greater than 0"),
        ({"answer_within": "P4000D"}, "less than or equal to"),
        ({"not_worse": {"margin": 1.0}}, "less than 1"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(gates: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Gates.model_validate(gates)


def test_an_answer_may_take_days() -> None:
    assert Gates.model_validate({"answer_within": "P3D"}).answer_within == timedelta(days=3)
