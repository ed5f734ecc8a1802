"""Candidates of a retraining: three labels suit them all, and one that fails ends nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.settings import PROJECT, Settings

pytestmark = pytest.mark.usefixtures("prefect_api")

_WORDS = {"preparation": "plain", "features": {"min_documents": 2}}
SOUND = _WORDS | {"estimator": "multinomial_naive_bayes"}
BROKEN = _WORDS | {"estimator": "logistic_regression", "parameters": {"C": -1.0}}
WITHOUT_FEATURES = {
    "preparation": "plain",
    "features": {"min_documents": 100_000},
    "estimator": "multinomial_naive_bayes",
}


def test_a_candidate_that_cannot_be_fitted_is_a_row_of_the_report_with_its_reason(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_problem(candidates={"sound": SOUND, "broken": BROKEN, "empty": WITHOUT_FEATURES})
    collection.insert_many(documents(400))

    retraining = retrain("reviews")

    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted"
    reasons = {each.name: each.failure for each in retraining.candidates}
    assert reasons["sound"] == ""
    assert "'C' parameter of LogisticRegression" in reasons["broken"]
    assert reasons["empty"].startswith("no feature is left")
    assert "no feature is left" in " ".join(capsys.readouterr().out.split())
    experiment = client.get_experiment_by_name("reviews")
    tags = [run.data.tags for run in client.search_runs([experiment.experiment_id])]
    assert sum(each.get("perennial.outcome") == "failed" for each in tags) == 2


@pytest.mark.parametrize("number", [1, 2])
def test_candidates_that_all_fail_end_the_run_with_the_reason_of_each(
    number: int, write_problem: Callable[..., Problem], collection: Any, documents: Any
) -> None:
    candidates = {"broken": BROKEN, "empty": WITHOUT_FEATURES}
    write_problem(candidates=dict(list(candidates.items())[:number]))
    collection.insert_many(documents(100))

    with pytest.raises(
        OutsideError, match=r"^No candidate of 'reviews' could be fitted \("
    ) as error:
        retrain("reviews")

    assert "broken: " in str(error.value)
    assert ("empty: no feature is left" in str(error.value)) == (number == 2)


def test_the_problem_of_the_film_reviews_takes_three_labels_as_it_is(
    machine: Settings, collection: Any, documents: Any, tmp_path: Path, database_name: str
) -> None:
    content = YAML(typ="safe").load(PROJECT / "problems" / "sentiment.yaml")
    content["labels"] = {"negative": 0, "positive": 1, "long": 2}
    content["source"] |= {"database": database_name, "query": {}}
    for key in ("baseline", "experiment", "gates"):
        content.pop(key)
    with (machine.problems_dir / "three.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    reviews = documents(600)
    for each in reviews:
        each["label"] = 2 if len(each["text"]) > 140 else each["label"]
    collection.insert_many(reviews)

    retraining = retrain("three")

    assert {each.name: each.failure for each in retraining.candidates} == dict.fromkeys(
        content["candidates"], ""
    )
    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted"
