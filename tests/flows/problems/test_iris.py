"""Iris, from the 150 flowers to a Production model, by the flows that texts take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from flows.experiment import experiment
from flows.monitor import monitor
from flows.reproduce import reproduce
from flows.retrain import retrain
from flows.score import score
from flows.seed import seed
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import Settings
from tasks.reporting.retraining import Retraining
from tasks.scoring.classify import classify
from tests.flowers import SETOSA, VIRGINICA, write_iris

pytestmark = pytest.mark.usefixtures("prefect_api")

ALGORITHMS = {"logistic_regression", "decision_tree", "random_forest", "svm", "xgboost"}
DATA_PLOTS = {"plots/data/bars.png", "plots/data/scatter_matrix.png"}


@pytest.fixture
def iris(machine: Settings) -> Problem:
    return write_iris(machine.problems_dir, f"test_{uuid4().hex}")


@pytest.fixture
def collection(mongodb_server: str, iris: Problem) -> Iterator[Any]:
    from pymongo import MongoClient

    with MongoClient(mongodb_server, tz_aware=True) as client:
        yield client[iris.source.database][iris.source.collection]
        client.drop_database(iris.source.database)


def _runs(problem: Problem) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name(problem.name)
    return list(client.search_runs([experiment.experiment_id]))


def _files(run_id: str, folder: str) -> set[str]:
    from mlflow import MlflowClient

    return {entry.path for entry in MlflowClient().list_artifacts(run_id, folder)}


def _retrain_iris() -> Retraining:
    retraining: Retraining = retrain("iris")
    return retraining


@pytest.mark.drawn
def test_the_flowers_become_a_production_model_by_five_algorithms(
    iris: Problem, collection: Any
) -> None:
    seeded = seed("iris")
    retraining = _retrain_iris()

    assert (seeded.documents, seeded.added, collection.count_documents({})) == (150, 150, 150)
    accounts = retraining.ingested.accounts
    assert (accounts.used, accounts.duplicates) == (150, 0)
    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted", retraining.verdict.reason
    assert retraining.evaluation is not None
    assert retraining.evaluation.metrics["accuracy"].value >= 0.93
    assert retraining.diagnosis is not None
    assert {each.field for each in retraining.diagnosis.ablation} == set(iris.inputs or {})
    runs = _runs(iris)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.data.params["estimator"] for run in nested} == ALGORITHMS
    assert all(run.data.metrics["validation.accuracy"] > 0.85 for run in nested)
    assert _files(parent.info.run_id, "plots/data") == DATA_PLOTS
    answers = classify("iris", [SETOSA, VIRGINICA])
    assert [answer.label for answer in answers] == ["setosa", "virginica"]

    again = _retrain_iris()

    assert seed("iris").added == 0
    assert again.verdict is None


@pytest.mark.e2e
def test_every_other_flow_takes_flowers_as_it_takes_texts(iris: Problem, collection: Any) -> None:
    seed("iris")
    retraining = _retrain_iris()
    assert retraining.evaluation is not None

    experimented = experiment("iris")
    scored = score("iris")
    monitored = monitor("iris")
    said = reproduce("iris", 1)

    assert {each.outcome for each in experimented.results} == {"complete"}
    assert experimented.evaluation.metrics["accuracy"].value >= 0.93
    assert (scored.classified, dict(scored.skipped)) == (150, {})
    scores = list(collection.database["flowers_iris_scores"].find())
    labels = {flower["_id"]: flower["label"] for flower in collection.find()}
    assert sum(labels[each["_id"]] == each["label"] for each in scores) >= 140
    assert monitored is not None
    assert monitored.quality.holdout is not None
    assert monitored.quality.holdout.value >= 0.93
    assert "reproduced" in said


def test_a_dataset_without_the_fields_of_the_problem_is_named(
    iris: Problem, machine: Settings
) -> None:
    file = machine.problems_dir / "iris.yaml"
    file.write_text(file.read_text().replace("  sepal_width:", "  sepal_colour:"))

    with pytest.raises(
        OutsideError, match=r"'iris' has no field 'sepal_colour', .* it has sepal_l"
    ):
        seed("iris")


@pytest.mark.parametrize(
    ("dataset", "says"),
    [("", "names no source.dataset"), ("  dataset: tulips", "names source.dataset 'tulips'")],
)
def test_a_problem_without_a_known_dataset_says_which_there_are(
    dataset: str, says: str, iris: Problem, machine: Settings
) -> None:
    file = machine.problems_dir / "iris.yaml"
    lines = [
        dataset if line.startswith("  dataset:") else line for line in file.read_text().split("\n")
    ]
    file.write_text("\n".join(lines))

    with pytest.raises(OutsideError, match=f"{says}: name a file, or one of .*film-reviews, iris"):
        seed("iris")


def test_a_file_of_records_becomes_documents_with_typed_fields(
    collection: Any, tmp_path: Any
) -> None:
    file = tmp_path / "flowers.csv"
    file.write_text(
        "number,sepal_length,sepal_width,petal_length,petal_width,species\n"
        "1,5,3.5,1.4,0.2,setosa\n2,6.3,3.3,6,2.5,virginica\n"
    )

    seeded = seed("iris", file=file, label_column="species")

    assert seeded.added == 2
    document = collection.find_one({"label": "virginica"})
    assert {name: document[name] for name in VIRGINICA} == VIRGINICA
    assert document["source"] == "flowers"
