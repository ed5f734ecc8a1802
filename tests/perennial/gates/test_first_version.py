"""A first version must be worth something: enough documents, and better than a constant answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.metrics import Predictions
from tests.perennial.examples import right_at
from tests.perennial.gates.gated import FAIR, GOOD, named, verdict

SIZE, GAIN = "first version, holdout", "first version, better than a constant answer"


def asking(problem: Problem, **gates: Any) -> Problem:
    return problem.model_copy(update={"gates": Gates.model_validate(gates)})


def answering(*counts: tuple[int, int, int]) -> Predictions:
    """Return predictions about so many documents, each count with its true and its given label."""
    truth, predicted = (
        np.concatenate([np.full(count, pair[place]) for count, *pair in counts]) for place in (0, 1)
    )
    probabilities = np.where(np.eye(2)[predicted] > 0, 0.8, 0.2)
    return Predictions(("negative", "positive"), truth, predicted, probabilities)


def test_a_first_version_that_is_better_than_any_constant_answer_is_promoted(
    problem: Problem,
) -> None:
    found = verdict(asking(problem), GOOD)

    assert found.outcome == "promoted"
    assert named(found, SIZE).found == "600 documents"
    assert named(found, GAIN).required == (
        "95% interval above 0, compared with always negative (0.5000)"
    )


def test_one_that_gives_everybody_the_frequent_label_is_kept_out(problem: Problem) -> None:
    found = verdict(asking(problem), answering((970, 0, 0), (30, 1, 0)))

    assert found.outcome == "kept"
    assert found.reason == (
        f"{GAIN}: accuracy +0.0000 [-0.0023, +0.0023], required 95% interval above 0, compared "
        "with always negative (0.9700)"
    )


def test_one_that_may_be_better_by_chance_is_kept_out(problem: Problem) -> None:
    found = verdict(asking(problem), answering((52, 0, 0), (48, 0, 1), (53, 1, 1), (47, 1, 0)))

    assert found.outcome == "kept"
    assert found.reason.startswith(f"{GAIN}: accuracy +0.0250 [-0.")


@pytest.mark.parametrize(
    ("predictions", "found"),
    [
        (answering((12, 0, 0), (12, 1, 1)), "24 documents"),
        (answering((198, 0, 0), (2, 1, 1)), "200 documents, 2 of positive"),
    ],
)
def test_one_that_is_judged_by_too_few_documents_is_kept_out(
    predictions: Predictions, found: str, problem: Problem
) -> None:
    given = verdict(asking(problem), predictions)

    assert f"{SIZE}: {found}, required 30 documents, 3 of each label" in given.reason


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        ({"first_version": None}, "promoted"),
        ({"first_version": {"documents": 10}}, "promoted"),
        ({"first_version": {"documents": 10, "of_each_label": 13}}, "kept"),
        ({}, "kept"),
    ],
)
def test_the_file_may_ask_for_less(asked: dict[str, Any], outcome: str, problem: Problem) -> None:
    assert verdict(asking(problem, **asked), answering((12, 0, 0), (12, 1, 1))).outcome == outcome


def test_the_comparison_with_a_constant_answer_can_be_turned_off(problem: Problem) -> None:
    asked = asking(problem, first_version={"better_than_constant": False})

    found = verdict(asked, answering((970, 0, 0), (30, 1, 0)))

    assert found.outcome == "promoted"
    assert [gate.name for gate in found.gates] == [SIZE]


@pytest.mark.parametrize("metric", ["log_loss", "brier", "roc_auc", "average_precision"])
def test_probabilities_are_compared_with_the_shares_of_the_labels(
    metric: str, problem: Problem
) -> None:
    asked = asking(problem).model_copy(update={"metric": metric})
    shares = replace(GOOD, probabilities=np.full((len(GOOD), 2), 0.5))

    assert verdict(asked, right_at(0.99, documents=600, seed=1)).outcome == "promoted"
    kept = verdict(asked, shares)
    assert kept.outcome == "kept"
    assert "compared with the shares of the labels" in kept.reason


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "balanced_accuracy"])
def test_by_no_metric_of_labels_is_one_label_for_everybody_worth_something(
    metric: str, problem: Problem
) -> None:
    asked = asking(problem).model_copy(update={"metric": metric})

    assert verdict(asked, answering((970, 0, 1), (30, 1, 1))).outcome == "kept"
    assert verdict(asked, GOOD).outcome == "promoted"


def test_many_labels_are_compared_with_the_most_frequent_one(problem: Problem) -> None:
    classes = ("low", "middle", "high")

    found = verdict(asking(problem), right_at(0.8, documents=90, seed=3, classes=classes))

    assert found.outcome == "promoted"
    assert named(found, GAIN).required.endswith("compared with always low (0.3333)")


def test_the_cheapest_constant_answer_is_the_one_to_beat(problem: Problem) -> None:
    costs = np.array([[0.0, 1.0], [100.0, 0.0]])
    asked = asking(problem).model_copy(update={"metric": "cost"})
    good = replace(answering((90, 0, 0), (10, 0, 1), (90, 1, 1), (10, 1, 0)), costs=costs)

    found = verdict(asked, good)

    assert found.outcome == "kept"
    assert "compared with always positive (0.5000)" in found.reason


def test_later_versions_have_production_to_beat(problem: Problem) -> None:
    found = verdict(asking(problem), GOOD, FAIR)

    assert found.outcome == "promoted"
    assert not [gate for gate in found.gates if gate.name.startswith("first version")]


def test_the_default_starts_no_retraining() -> None:
    assert "first_version" not in Gates().model_dump()
    assert Gates.model_validate({"first_version": None}).model_dump()["first_version"] is None
