"""A challenger is promoted only when it is provably better and every floor holds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from perennial.config.problem import Problem
from perennial.gates.base import GateResult
from perennial.gates.catalogue import find_gates
from perennial.metrics import Predictions, compute, difference
from perennial.promotion.verdict import Verdict, reach_verdict
from tests.perennial.examples import right_at
from tests.perennial.gates.gated import FAIR, GOOD, gated


def verdict(
    problem: Problem, challenger: Predictions, production: Predictions | None = None
) -> Verdict:
    return reach_verdict(
        problem,
        challenger=(8, challenger),
        production=None if production is None else (7, production),
        gates=[gate for gate in find_gates() if gate.looks_at == "predictions"],
    )


def test_the_gates_name_their_figures(problem: Problem) -> None:
    floor, better = verdict(gated(problem, roc_auc=0.9), GOOD, FAIR).gates

    gain = difference("accuracy", GOOD, FAIR, confidence=0.95, seed=problem.seed)
    assert floor == GateResult(
        name="roc auc",
        passed=True,
        found=f"{compute('roc_auc', GOOD):.4f}",
        required="at least 0.9",
    )
    assert better == GateResult(
        name="better than Production",
        passed=True,
        found=f"accuracy {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
        required="95% interval above 0",
    )


def test_a_better_challenger_below_a_floor_is_kept(problem: Problem) -> None:
    found = verdict(gated(problem, accuracy=0.99, f1=0.9), GOOD, FAIR)

    accuracy = compute("accuracy", GOOD)
    assert found.outcome == "kept"
    assert found.reason == f"accuracy: {accuracy:.4f}, required at least 0.99"


def test_every_failed_gate_is_named(problem: Problem) -> None:
    found = verdict(gated(problem, accuracy=0.99, f1=0.98), FAIR, GOOD)

    assert [gate.name for gate in found.failed] == ["accuracy", "f1", "better than Production"]
    assert found.reason.count("; ") == 2
    assert all(gate.found in found.reason for gate in found.failed)


def test_without_production_the_floors_alone_decide(problem: Problem) -> None:
    first = verdict(gated(problem, accuracy=0.8), FAIR)

    assert first.outcome == "promoted"
    assert first.production is None
    assert [gate.name for gate in first.gates] == ["accuracy"]
    assert first.reason == "every gate is passed, and there was no Production version"


def test_the_committed_problem_keeps_out_a_first_model_that_is_too_bad(problem: Problem) -> None:
    found = verdict(problem, right_at(0.6, documents=600, seed=1))

    assert found.outcome == "kept"
    assert {gate.name for gate in found.failed} == {"accuracy", "f1"}


def test_models_of_other_documents_are_not_compared(problem: Problem) -> None:
    with pytest.raises(ValueError, match="same documents"):
        verdict(gated(problem), GOOD, right_at(0.85, documents=500, seed=2))


def test_a_verdict_is_final(problem: Problem) -> None:
    found = verdict(gated(problem), FAIR, GOOD)

    with pytest.raises(ValidationError):
        found.outcome = "promoted"


def test_a_verdict_survives_being_stored_as_json(problem: Problem) -> None:
    found = verdict(gated(problem, accuracy=0.99), GOOD, FAIR)

    assert Verdict.model_validate_json(found.model_dump_json()) == found
