"""A challenger is promoted only when it is provably better, or newer and provably not worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.base import Anchor
from perennial.gates.better import Freshness
from perennial.metrics import MetricName, Predictions, difference
from tests.perennial.examples import right_at
from tests.perennial.gates.gated import (
    FAIR,
    GOOD,
    LONG,
    PRODUCTION,
    SHORT,
    asking,
    gated,
    named,
    right_in,
    verdict,
)


def test_a_truly_better_challenger_is_promoted(problem: Problem) -> None:
    found = verdict(gated(problem, accuracy=0.9), GOOD, FAIR)

    assert found.outcome == "promoted"
    assert (found.challenger, found.production) == (8, 7)
    assert found.failed == ()
    assert found.reason == "every gate is passed"


def test_a_coin_flip_challenger_is_kept_and_the_reason_says_why(problem: Problem) -> None:
    coin = right_at(0.85, documents=600, seed=3)

    found = verdict(gated(problem), coin, FAIR)

    gain = difference("accuracy", coin, FAIR, confidence=0.95, seed=problem.seed)
    assert found.outcome == "kept"
    assert [gate.name for gate in found.failed] == ["better than Production"]
    assert found.reason == (
        f"better than Production: accuracy {gain.value:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}], equal within 0.052 (600 documents can prove a gain "
        "of about 0.057), required 95% interval above 0"
    )


@pytest.mark.slow
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


# Freshness

EQUAL = replace(PRODUCTION)
NOT_WORSE = {"margin": 0.03, "budget": 0.05}


def test_newer_documents_are_a_reason_to_promote_a_challenger_that_is_not_worse(
    problem: Problem,
) -> None:
    asked = asking(problem, not_worse=NOT_WORSE)

    fresh = verdict(asked, EQUAL, PRODUCTION, {"better": Freshness(newer=True)})
    stale = verdict(asked, EQUAL, PRODUCTION, {"better": Freshness(newer=False)})

    assert fresh.outcome == "promoted"
    gate = named(fresh, "not worse than Production, on newer documents")
    assert gate.required == "95% interval above -0.03"
    assert stale.outcome == "kept"
    assert named(stale, "better than Production").required == "95% interval above 0"


def test_newer_documents_are_no_reason_unless_the_problem_says_so(problem: Problem) -> None:
    found = verdict(asking(problem), EQUAL, PRODUCTION, {"better": Freshness(newer=True)})

    assert found.outcome == "kept"


def test_a_challenger_that_may_be_worse_by_more_than_the_margin_is_kept(problem: Problem) -> None:
    asked = asking(problem, not_worse=NOT_WORSE)
    worse = right_in(700, (SHORT, 0.8), (LONG, 0.8))

    found = verdict(asked, worse, PRODUCTION, {"better": Freshness(newer=True)})

    assert found.outcome == "kept"


def test_a_margin_of_everything_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than 1"):
        Gates.model_validate({"not_worse": {"margin": 1.0, "budget": 0.5}})


def test_a_budget_for_all_steps_together_that_is_less_than_one_step_is_refused() -> None:
    with pytest.raises(ValidationError, match="no less than the margin"):
        Gates.model_validate({"not_worse": {"margin": 0.002, "budget": 0.001}})


def test_without_a_budget_all_steps_together_may_lose_as_much_as_one(problem: Problem) -> None:
    asked = asking(problem, not_worse={"margin": 0.03})
    anchor = Anchor(3, 1, EQUAL, PRODUCTION)

    found = verdict(asked, EQUAL, PRODUCTION, {"better": Freshness(newer=True, anchor=anchor)})

    gate = named(found, "not worse than version 3, the best so far")
    assert gate.required == "95% interval above -0.03, and steps of 0.03 in all"
    assert gate.found.endswith("; it is 2 steps of 0.03")
    assert found.outcome == "kept"


@pytest.mark.parametrize(("steps", "outcome"), [(1, "promoted"), (3, "promoted"), (4, "kept")])
def test_each_step_costs_its_margin_whatever_it_seems_to_lose(
    problem: Problem, steps: int, outcome: str
) -> None:
    asked = asking(problem, not_worse={"margin": 0.03, "budget": 0.12})
    anchor = Anchor(3, steps, EQUAL, PRODUCTION)

    found = verdict(asked, EQUAL, PRODUCTION, {"better": Freshness(newer=True, anchor=anchor)})

    assert found.outcome == outcome


# A first version of 700 documents, and three more that each lose a little.
BEST = right_in(700, (SHORT, 0.9), (LONG, 0.86))


@pytest.mark.parametrize(("best", "outcome"), [(BEST, "kept"), (PRODUCTION, "promoted")])
def test_steps_that_are_small_enough_may_not_add_up_to_more_than_the_budget(
    problem: Problem, best: Predictions, outcome: str
) -> None:
    asked = asking(problem, not_worse=NOT_WORSE)
    anchor = Anchor(3, 0, EQUAL, best)

    found = verdict(asked, EQUAL, PRODUCTION, {"better": Freshness(newer=True, anchor=anchor)})

    assert found.outcome == outcome
    gate = named(found, "not worse than version 3, the best so far")
    assert gate.required == ("95% interval above -0.05, and steps of 0.05 in all")


def test_what_is_proved_better_than_production_needs_no_budget(problem: Problem) -> None:
    asked = asking(problem, not_worse=NOT_WORSE)
    anchor = Anchor(3, 0, GOOD, right_at(1.0, documents=600, seed=1))

    found = verdict(asked, GOOD, FAIR, {"better": Freshness(newer=True, anchor=anchor)})

    assert found.outcome == "promoted"


def test_a_best_version_that_is_gone_leaves_the_way_by_being_better(problem: Problem) -> None:
    asked = asking(problem, not_worse=NOT_WORSE)
    gone = {"better": Freshness(newer=True, anchor=Anchor(3))}

    found = verdict(asked, EQUAL, PRODUCTION, gone)

    assert found.outcome == "kept"
    assert "it cannot be compared any more" in found.reason
