"""The report: what a person sees on the page of a retraining."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.libraries import MLFLOW_MODELS
from perennial.metrics import Predictions
from perennial.promotion.verdict import Verdict
from perennial.settings import Settings, get_settings
from tasks.reporting.retraining import Retraining, links, pictures
from tasks.training.evaluate import Evaluation

VERDICT = Verdict(outcome="promoted", gates=(), challenger=3, production=None)
PAGES = "https://dagshub.example/team/reviews.mlflow"


@pytest.fixture
def evaluation() -> Evaluation:
    truth = np.array([0, 1] * 20)
    high = np.linspace(0.2, 0.8, 40)
    probabilities = np.column_stack([1 - high, high])
    predicted = probabilities.argmax(axis=1)
    return Evaluation(Predictions(("negative", "positive"), truth, predicted, probabilities), {})


def _retraining(**parts: Any) -> Retraining:
    return Retraining(
        ingested=parts.pop("ingested", None), seconds={}, processor_seconds={}, **parts
    )


def test_the_report_leads_to_the_run_and_the_version_in_mlflow(
    problem: Problem, machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_UI_URL", PAGES + "/")
    get_settings.cache_clear()

    (line,) = links(problem, _retraining(verdict=VERDICT, run_id="abc"))

    assert f"[Version 3 in MLflow]({PAGES}/#/models/reviews/versions/3?{MLFLOW_MODELS})" in line
    assert f"({PAGES}/#/experiments/1/runs/abc?{MLFLOW_MODELS})" in line


def test_without_pages_of_mlflow_there_are_no_dead_links(
    problem: Problem, machine: Settings
) -> None:
    assert links(problem, _retraining(verdict=VERDICT, run_id="abc")) == []


def test_a_retraining_that_had_nothing_to_do_has_neither_links_nor_pictures(
    problem: Problem, machine: Settings
) -> None:
    assert links(problem, _retraining()) == []
    assert pictures(problem, _retraining()) == []


def test_the_pictures_are_in_the_text_itself(problem: Problem, evaluation: Evaluation) -> None:
    _, drawn = pictures(problem, _retraining(evaluation=evaluation))

    assert drawn.count("](data:image/png;base64,") == 4


def test_nothing_is_drawn_where_nobody_can_see_it(
    problem: Problem, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.reporting.retraining.uses_embedded_prefect", lambda: True)

    assert pictures(problem, _retraining(evaluation=evaluation)) == []
