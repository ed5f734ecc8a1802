"""Candidates of a retraining suit languages and labels, and one that fails ends nothing."""

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
from perennial.inference.compiled_characters import CompiledCharacterPredictor
from perennial.inference.predictor import build_predictor
from perennial.registry.client import Registry
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
    for key in ("baseline", "experiment"):
        content.pop(key)
    # Whether it is worth something is not what this asks.
    content["gates"] = {"first_version": None}
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


CHINESE = {
    1: ("很好看", "非常喜欢", "值得推荐", "质量不错"),
    0: ("很失望", "不值得买", "太差了", "浪费时间"),
}


def test_chinese_texts_are_told_apart_by_their_characters(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    features = {"analyzer": "auto", "min_documents": 2, "weighting": "tfidf", "bigrams": True}
    write_problem(
        candidates={"nbsvm": {"preparation": "plain", "features": features, "estimator": "nb_svm"}},
        gates={"first_version": {}},
    )
    reviews = documents(400)
    for number, each in enumerate(reviews):
        said = CHINESE[each["label"]][number // 2 % 4]
        # A number in Chinese characters makes each text another one.
        tail = "".join("一二三四五六七八九十"[int(digit)] for digit in f"{number:03}")
        each["text"] = f"这{tail}{said}"
    collection.insert_many(reviews)

    retraining = retrain("reviews")

    assert retraining.verdict is not None
    assert retraining.verdict.outcome == "promoted", retraining.verdict.reason
    assert retraining.evaluation is not None
    assert retraining.evaluation.metrics["accuracy"].value > 0.95
    assert retraining.ingested.accounts.in_quarantine == {}
    assert retraining.analyzer is not None
    assert retraining.analyzer.analyzer == "characters"
    assert "Features are groups of characters" in capsys.readouterr().out
    production = registry.require_production("reviews")
    predictor = build_predictor(registry.load(production), [])
    assert isinstance(predictor, CompiledCharacterPredictor)
    assert {each.feature for each in predictor.explain("这很好看", "positive")} & {"好看", "很好"}


def test_the_threshold_of_a_rare_label_is_tuned_by_the_metric_alone(
    write_problem: Callable[..., Problem], collection: Any, documents: Any
) -> None:
    write_problem(
        candidates={"bayes": SOUND}, metric="f1", gates={"floors": {}, "first_version": None}
    )
    reviews = documents(800)
    for number, each in enumerate(reviews):
        each["label"] = int(number % 10 == 0)
        each["text"] += " awful awful" if each["label"] and number % 20 == 0 else ""
    collection.insert_many(reviews)

    retraining = retrain("reviews")

    assert retraining.evaluation is not None
    tuned = retraining.evaluation.tuned
    assert tuned is not None
    assert tuned.goal.maximise == "f1"
    assert tuned.threshold not in {None, 0.5}
    (compared,) = retraining.evaluation.compared
    assert compared.metric == "f1"
    assert compared.out_of_fold > compared.out_of_fold_plain
