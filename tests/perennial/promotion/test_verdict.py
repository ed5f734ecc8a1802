"""A challenger is promoted only when it is provably better and every floor holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from perennial.config.gates import Gates
from perennial.config.problem import Problem
from perennial.metrics import MetricName, Predictions, compute, difference
from perennial.promotion.verdict import Gate, Verdict, decide
from tests.perennial.examples import right_at

GOOD = right_at(0.95, documents=600, seed=1)
FAIR = right_at(0.85, documents=600, seed=2)


def gated(problem: Problem, metric: MetricName = "accuracy", **floors: float) -> Problem:
    return problem.model_copy(update={"metric": metric, "gates": Gates(floors=floors)})


def verdict(
    problem: Problem, challenger: Predictions, production: Predictions | None = None
) -> Verdict:
    return decide(
        problem,
        challenger=(8, challenger),
        production=None if production is None else (7, production),
    )


def test_a_truly_better_challenger_is_promoted(problem: Problem) -> None:
    found = verdict(gated(problem, accuracy=0.9), GOOD, FAIR)

    assert found.outcome == "promoted"
    assert (found.challenger, found.production) == (8, 7)
    assert found.failed == ()
    assert found.reason == "every gate is passed"


def test_the_gates_name_their_figures(problem: Problem) -> None:
    floor, better = verdict(gated(problem, roc_auc=0.9), GOOD, FAIR).gates

    gain = difference("accuracy", GOOD, FAIR, confidence=0.95, seed=problem.seed)
    assert floor == Gate(
        name="roc auc",
        passed=True,
        found=f"{compute('roc_auc', GOOD):.4f}",
        required="at least 0.9",
    )
    assert better == Gate(
        name="better than Production",
        passed=True,
        found=f"accuracy {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
        required="95% interval above 0",
    )


def test_a_coin_flip_challenger_is_kept_and_the_reason_says_why(problem: Problem) -> None:
    coin = right_at(0.85, documents=600, seed=3)

    found = verdict(gated(problem), coin, FAIR)

    gain = difference("accuracy", coin, FAIR, confidence=0.95, seed=problem.seed)
    assert found.outcome == "kept"
    assert [gate.name for gate in found.failed] == ["better than Production"]
    assert found.reason == (
        f"better than Production: accuracy {gain.value:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}], required 95% interval above 0"
    )


def test_coin_flip_challengers_are_promoted_at_most_5_times_of_100(problem: Problem) -> None:
    floorless = gated(problem)
    flips = [right_at(0.85, documents=200, seed=seed) for seed in range(200)]

    outcomes = [
        verdict(floorless, one, other).outcome
        for one, other in zip(flips[::2], flips[1::2], strict=True)
    ]

    assert outcomes.count("promoted") <= 5


def test_the_very_same_predictions_are_no_reason_to_promote(problem: Problem) -> None:
    assert verdict(gated(problem), GOOD, GOOD).outcome == "kept"


def test_a_worse_challenger_is_kept(problem: Problem) -> None:
    assert verdict(gated(problem), FAIR, GOOD).outcome == "kept"


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_loss_decides_for_the_model_that_loses_less(problem: Problem, metric: MetricName) -> None:
    assert verdict(gated(problem, metric), GOOD, FAIR).outcome == "promoted"
    assert verdict(gated(problem, metric), FAIR, GOOD).outcome == "kept"


def test_the_problem_says_which_metric_decides(problem: Problem) -> None:
    sure = replace(FAIR, probabilities=np.eye(2)[FAIR.truth])

    assert verdict(gated(problem, "log_loss"), sure, FAIR).outcome == "promoted"
    assert verdict(gated(problem, "accuracy"), sure, FAIR).outcome == "kept"


def test_the_problem_says_how_much_confidence_it_needs(problem: Problem) -> None:
    gained = np.flatnonzero(FAIR.predicted != FAIR.truth)[:8]
    lost = np.flatnonzero(FAIR.predicted == FAIR.truth)[:3]
    predicted = FAIR.predicted.copy()
    predicted[[*gained, *lost]] = 1 - predicted[[*gained, *lost]]
    perhaps_better = replace(FAIR, predicted=predicted)
    daring = problem.model_copy(update={"gates": Gates(confidence=0.2)})

    assert verdict(gated(problem), perhaps_better, FAIR).outcome == "kept"
    assert verdict(daring, perhaps_better, FAIR).outcome == "promoted"


@pytest.mark.parametrize("confidence", [0.8, 0.975, 0.995])
def test_a_gate_names_the_confidence_that_the_problem_asks_for(
    problem: Problem, confidence: float
) -> None:
    asked = problem.model_copy(update={"gates": Gates(confidence=confidence)})

    (gate,) = verdict(asked, GOOD, FAIR).gates

    assert gate.required == f"{confidence * 100:g}% interval above 0"


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


@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "f1", "roc_auc"])
def test_a_floor_is_the_least_value_of_a_score(problem: Problem, metric: MetricName) -> None:
    value = compute(metric, GOOD)

    assert verdict(gated(problem, **{metric: value}), GOOD).outcome == "promoted"
    assert verdict(gated(problem, **{metric: value + 0.001}), GOOD).outcome == "kept"


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_floor_is_the_most_of_a_loss(problem: Problem, metric: MetricName) -> None:
    value = compute(metric, GOOD)

    kept = verdict(gated(problem, **{metric: value - 0.001}), GOOD)

    assert verdict(gated(problem, **{metric: value}), GOOD).outcome == "promoted"
    assert kept.outcome == "kept"
    assert f"{value:.4f}, required at most {value - 0.001}" in kept.reason


def test_a_floor_of_a_metric_that_cannot_be_computed_is_not_met(problem: Problem) -> None:
    positive_only = replace(GOOD, truth=np.ones_like(GOOD.truth))

    assert verdict(gated(problem, roc_auc=0.0), positive_only).outcome == "kept"


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
