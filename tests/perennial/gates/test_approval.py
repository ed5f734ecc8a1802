"""Who promotes a challenger that passes every gate: the flow, a person, or nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.approval import Approval
from tests.perennial.gates.gated import PRODUCTION, WORSE_ON_SHORT, asking, named, verdict


def test_what_is_never_automatic_is_kept_though_every_gate_is_passed(problem: Problem) -> None:
    found = verdict(asking(problem, promotion="never"), WORSE_ON_SHORT, PRODUCTION)

    assert (found.outcome, found.is_passed, found.waits) == ("kept", True, False)
    assert found.reason == "every gate is passed, but promotion is never automatic"


def test_a_challenger_waits_for_a_person_and_then_does_as_told(problem: Problem) -> None:
    asked = asking(problem, promotion="approve")
    yes, no = (Approval(approved=said, by="on call", why="I tried it") for said in (True, False))

    waiting = verdict(asked, WORSE_ON_SHORT, PRODUCTION)
    approved = verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=yes)
    refused = verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=no)

    assert (waiting.outcome, waiting.waits) == ("waiting", True)
    assert waiting.reason == "every gate is passed, but it waits for a person's answer"
    assert (approved.outcome, approved.waits) == ("promoted", False)
    assert named(approved, "approval").found == "yes, by on call: I tried it"
    assert (refused.outcome, refused.waits) == ("kept", False)
    assert refused.reason == "approval: no, by on call: I tried it, required a person's yes"


def test_a_verdict_that_waits_becomes_what_a_person_answers(problem: Problem) -> None:
    asked = asking(problem, promotion="approve")
    yes, no = (Approval(approved=said, by="on call", why="I tried it") for said in (True, False))
    waiting = verdict(asked, WORSE_ON_SHORT, PRODUCTION)

    approved, refused = waiting.answered(yes), waiting.answered(no)

    assert approved == verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=yes)
    assert refused == verdict(asked, WORSE_ON_SHORT, PRODUCTION, approval=no)


def test_a_long_answer_is_shortened() -> None:
    long = Approval(approved=True, by="on call", why="so " * 5_000)

    assert len(long.why) == 1_000
    assert long.why.endswith("...")


def test_nobody_is_asked_about_a_challenger_that_fails_a_gate(problem: Problem) -> None:
    found = verdict(asking(problem, promotion="approve"), PRODUCTION, WORSE_ON_SHORT)

    assert (found.outcome, found.waits) == ("kept", False)


def test_a_yes_does_not_help_a_challenger_that_fails_a_gate(problem: Problem) -> None:
    yes = Approval(approved=True, by="on call", why="I like it")

    found = verdict(asking(problem, promotion="approve"), PRODUCTION, WORSE_ON_SHORT, approval=yes)

    assert found.outcome == "kept"


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ({"promotion": "sometimes"}, "'auto', 'approve' or 'never'"),
        ({"answer_within": "PT0S"}, "greater than 0"),
        ({"answer_within": "P4000D"}, "less than or equal to"),
    ],
)
def test_a_rule_of_promotion_that_makes_no_sense_is_refused(
    gates: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        Gates.model_validate(gates)


def test_an_answer_may_take_days() -> None:
    assert Gates.model_validate({"answer_within": "P3D"}).answer_within == timedelta(days=3)
