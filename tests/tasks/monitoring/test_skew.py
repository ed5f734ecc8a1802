"""Answers that the service has logged are those of the registered model, or a person is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.stores.prediction_log import Prediction
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer
from tasks.monitoring.skew import measure_skew
from tests.perennial.conftest import PROBLEMS

TEXTS = [f"a truly {word} film" for word in ("good", "bad", "great", "awful")] * 10
FLOWERS = [
    {"sepal_length": 5.0 + n / 9, "sepal_width": 3.0, "petal_length": 1.0 + n, "petal_width": 0.2}
    for n in range(6)
] * 7
KINDS = {"text": ("sentiment", TEXTS), "record": ("iris", FLOWERS)}


def _fitted(problem: Problem, inputs: list[Any]) -> Any:
    name = next(iter(problem.candidates))
    candidate = problem.candidates[name]
    labels = np.array([problem.classes[n % len(problem.classes)] for n in range(len(inputs))])
    normalizer, counter = build_normalizer(problem, candidate), build_counter(candidate.features)
    column = pa.array(inputs, inputs_of(problem).column.type)
    matrix = counter.fit_transform(normalizer.fit_transform(column))
    return assemble(normalizer, counter, build_classifier(problem, name).fit(matrix, labels))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_the_model_would_not_give_is_found(kind: str) -> None:
    name, inputs = KINDS[kind]
    problem = load_problem(PROBLEMS / f"{name}.yaml")
    model = _fitted(problem, inputs)
    column = pa.array(inputs, inputs_of(problem).column.type)
    labels, sure = model.predict(column), model.predict_proba(column).max(axis=1)
    said = [
        Prediction(f"{n}", given, str(labels[n]), float(sure[n]), None)
        for n, given in enumerate(inputs)
    ]

    assert measure_skew(problem, model, said).different == 0

    said[3] = replace(said[3], probability=0.01)
    found = measure_skew(problem, model, said)
    assert (found.compared, found.different, found.example) == (len(inputs), 1, "3")


def test_what_was_not_kept_or_is_of_another_kind_is_not_compared() -> None:
    problem = load_problem(PROBLEMS / "sentiment.yaml")
    model = _fitted(problem, TEXTS)
    said = [Prediction("a", None, "positive", 0.9, None), Prediction("b", {}, "x", 0.9, None)]

    assert measure_skew(problem, model, said).compared == 0
