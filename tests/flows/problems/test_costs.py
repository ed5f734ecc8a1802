"""A problem that says what its errors cost gets a model that makes the cheaper ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient

from flows.retrain import retrain
from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.config.problem import Problem
from perennial.documents.documents import in_holdout
from perennial.errors import OutsideError, ProblemError
from perennial.inputs.identity import CURRENT_IDENTITY, content_hash
from perennial.registry.client import Registry
from tests.conftest import SMALL_PROBLEM

pytestmark = pytest.mark.usefixtures("prefect_api")

ONLY_BAYES = {"bow-bayes": SMALL_PROBLEM["candidates"]["bow-bayes"]}
DOCUMENTS = 600


@pytest.fixture
def filled(collection: Any, documents: Any) -> Any:
    """The collection of the small problem with reviews in it."""
    collection.insert_many(documents(DOCUMENTS))
    return collection


@pytest.mark.drawn
def test_dear_errors_are_made_less_often_and_the_saving_is_reported(
    filled: Any,
    write_problem: Callable[..., Problem],
    registry: Registry,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_problem(
        metric="cost",
        decision={"costs": {"negative": 1, "positive": 5}},
        gates={"floors": {"cost": 1.0}},
    )

    retraining = retrain("reviews")

    evaluation = retraining.evaluation
    assert evaluation is not None
    (compared,) = evaluation.compared
    assert compared.holdout < compared.holdout_plain
    assert evaluation.metrics["cost"].value == compared.holdout
    assert {"cost"} <= set(retraining.candidates[0].metrics)

    production = registry.production("reviews")
    assert production is not None
    assert evaluation.tuned is not None
    assert production.threshold == evaluation.tuned.threshold
    assert production.metrics["cost"] == pytest.approx(compared.holdout, abs=1e-4)
    model = registry.load(production)
    assert isinstance(model[-1], ThresholdClassifier)
    assert model[-1].weights[0] == pytest.approx(production.threshold)

    run = client.get_run(production.run_id)
    assert run.data.metrics["holdout.cost"] < run.data.metrics["holdout.cost_of_most_probable"]
    assert run.data.params["decision.threshold"] == str(production.threshold)
    plots = [file.path for file in client.list_artifacts(production.run_id, "plots")]
    assert "plots/cost_curve.png" in plots
    shown = capsys.readouterr().out
    assert f"positive above a probability of {production.threshold:.4f}" in " ".join(shown.split())
    assert f"{compared.holdout_plain:.4f}" in shown


def test_production_and_challenger_are_compared_by_what_they_cost(
    filled: Any, write_problem: Callable[..., Problem]
) -> None:
    floors = {"floors": {"accuracy": 0.1}, "confirm": "none"}
    write_problem(candidates=ONLY_BAYES, gates=floors)
    careless = retrain("reviews")
    write_problem(
        candidates=ONLY_BAYES,
        gates=floors,
        metric="cost",
        decision={"costs": {"negative": 1, "positive": 20}},
    )

    careful = retrain("reviews")

    assert careless.verdict is not None
    assert careful.verdict is not None
    (better,) = [gate for gate in careful.verdict.gates if gate.name == "better than Production"]
    assert better.passed
    assert better.found.startswith("cost +")
    assert careful.verdict.outcome == "promoted"


def test_a_floor_that_cannot_be_reached_keeps_the_challenger_out(
    filled: Any, write_problem: Callable[..., Problem], registry: Registry
) -> None:
    write_problem(candidates=ONLY_BAYES, metric="recall", decision={"floor": {"precision": 0.999}})

    verdict = retrain("reviews").verdict

    assert verdict is not None
    assert verdict.outcome == "kept"
    assert "threshold with enough precision" in verdict.reason
    assert "required at least 0.999" in verdict.reason
    assert registry.production("reviews") is None


def test_as_much_is_found_as_a_precision_allows_which_the_labels_keep(
    filled: Any, write_problem: Callable[..., Problem], registry: Registry
) -> None:
    write_problem(
        candidates=ONLY_BAYES,
        metric="recall_at_precision",
        decision={"floor": {"precision": 0.55}},
        gates={"floors": {"recall_at_precision": 0.1}},
    )

    retraining = retrain("reviews")

    evaluation, verdict = retraining.evaluation, retraining.verdict
    assert evaluation is not None
    assert verdict is not None
    assert evaluation.tuned is not None
    found = evaluation.metrics["recall_at_precision"]
    assert found.low <= found.value <= found.high
    assert verdict.outcome == "promoted", verdict.reason
    (floor,) = [gate for gate in verdict.gates if gate.name == "recall at precision"]
    assert floor.found == f"{found.value:.4f}"
    production = registry.production("reviews")
    assert production is not None
    assert production.threshold == evaluation.tuned.threshold
    assert production.metrics["recall_at_precision"] == pytest.approx(found.value, abs=1e-4)


def test_a_recall_at_a_precision_that_nobody_names_is_that_at_nine_in_ten(
    filled: Any, write_problem: Callable[..., Problem]
) -> None:
    write_problem(candidates=ONLY_BAYES, metric="recall_at_precision")

    verdict = retrain("reviews").verdict

    assert verdict is not None
    assert verdict.outcome == "kept"
    assert "threshold with enough precision" in verdict.reason
    assert "required at least 0.9 with confidence" in verdict.reason


def test_a_problem_without_a_decision_is_fitted_no_further(
    filled: Any, problem: Problem, registry: Registry
) -> None:
    retraining = retrain("reviews")

    assert "decide" not in retraining.seconds
    production = registry.production("reviews")
    assert production is not None
    assert production.threshold is None
    assert not isinstance(registry.load(production)[-1], ThresholdClassifier)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"decision": {"costs": {"positive": 5}}},
            r"line \d+: decision.costs is .*one cost for each of the labels negative, positive",
        ),
        (
            {"decision": {"costs": {"negative": -1, "positive": 5}}},
            r"line \d+: decision.costs.negative is -1; input should be greater than or equal to 0",
        ),
        (
            {"decision": {"costs": {"negative": 0, "positive": 0}}},
            r"line \d+: decision.costs is .*at least one cost above 0",
        ),
        (
            {"decision": {"costs": {"negative": {"neutral": 1}, "positive": 5}}},
            r"line \d+: decision.costs.negative is .*one cost for each other label: positive",
        ),
        (
            {"decision": {"costs": {"negative": 1, "positive": 5}, "maximise": "f1"}},
            r"line \d+: decision.maximise is 'f1'; allowed is nothing, as decision.costs decides",
        ),
        (
            {"decision": {"floor": {"precision": 0.9}, "maximise": "precision"}},
            r"line \d+: decision.maximise is 'precision'; allowed is another metric",
        ),
        (
            {
                "candidates": ONLY_BAYES,
                "labels": {"negative": 0, "neutral": 2, "positive": 1},
                "decision": {"floor": {"precision": 0.9}},
            },
            r"line \d+: decision.floor is .*nothing for 3 classes; give decision.costs instead",
        ),
        (
            {"metric": "accuracy", "decision": {"costs": {"negative": 1, "positive": 5}}},
            (
                r"line \d+: metric is 'accuracy'; allowed is cost, roc_auc, average_precision, "
                r"log_loss, brier, as"
            ),
        ),
        (
            {"metric": "cost"},
            r"line \d+: metric is 'cost'; no cost is possible without decision.costs, so add",
        ),
        (
            {"metric": "recall_at_precision", "decision": {}},
            (
                r"line \d+: metric is 'recall_at_precision'; no recall_at_precision is possible "
                r"without decision.floor.precision, so add it or name another metric"
            ),
        ),
        (
            {"metric": "recall_at_precision", "decision": {"floor": {"recall": 0.5}}},
            r"line \d+: metric is 'recall_at_precision'; no .* without decision.floor.precision",
        ),
        (
            {
                "candidates": ONLY_BAYES,
                "labels": {"negative": 0, "neutral": 2, "positive": 1},
                "metric": "recall_at_precision",
            },
            (
                r"line \d+: metric is 'recall_at_precision', which tells nothing of 3 labels; it "
                r"is for 2, so name another metric, such as accuracy"
            ),
        ),
        (
            {"gates": {"floors": {"recall_at_precision": 0.2}}},
            r"line \d+: gates.floors.recall_at_precision is 0.2; no .* decision.floor.precision",
        ),
        (
            {"gates": {"floors": {"cost": 0.2}}},
            r"line \d+: gates.floors.cost is 0.2; no cost is possible without decision.costs",
        ),
        (
            {"decision": {"cost": {"negative": 1}}},
            r"line \d+: decision.cost is not a key of the schema; allowed here are costs, floor",
        ),
    ],
)
def test_a_decision_that_makes_no_sense_is_named_with_its_line(
    changes: dict[str, Any], complaint: str, write_problem: Callable[..., Problem]
) -> None:
    with pytest.raises(ProblemError, match=complaint):
        write_problem(**changes)


def test_costs_may_depend_on_the_label_that_is_given_instead(
    write_problem: Callable[..., Problem],
) -> None:
    problem = write_problem(
        candidates=ONLY_BAYES,
        metric="cost",
        labels={"negative": 0, "neutral": 2, "positive": 1},
        decision={
            "costs": {"negative": {"neutral": 1, "positive": 3}, "neutral": 1, "positive": 5}
        },
    )

    assert problem.costs is not None
    assert problem.costs.tolist() == [[0, 1, 3], [1, 0, 1], [5, 5, 0]]


def test_too_few_documents_of_a_label_are_one_sentence(
    collection: Any, documents: Any, write_problem: Callable[..., Problem]
) -> None:
    problem = write_problem(
        candidates=ONLY_BAYES,
        metric="cost",
        decision={"costs": {"negative": 1, "positive": 5}},
    )
    rows = documents(200)
    content = pa.array([content_hash(row["text"], CURRENT_IDENTITY) for row in rows])
    held_out = in_holdout(content, problem.holdout)
    rare = [row for row, held in zip(rows, held_out, strict=True) if row["label"] and not held]
    collection.insert_many([row for row in rows if row not in rare[1:]])

    with pytest.raises(OutsideError, match="positive has 1 training document, decision needs"):
        retrain("reviews")
