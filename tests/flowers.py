"""The committed problem about irises, in a database of its own, and models of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ruamel.yaml import YAML
from sklearn.pipeline import Pipeline

from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.settings import PROJECT
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer

SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
VIRGINICA = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}


def write_iris(folder: Path, database: str) -> Problem:
    yaml = YAML()
    content = yaml.load(PROJECT / "problems" / "iris.yaml")
    content["source"]["database"] = database
    path = folder / "iris.yaml"
    yaml.dump(content, path)
    return load_problem(path)


@cache
def flowers() -> tuple[dict[str, Any], ...]:
    from tasks.data.datasets import builtin_rows

    problem = load_problem(PROJECT / "problems" / "iris.yaml")
    return tuple(builtin_rows(problem).to_pylist())


@cache
def fitted(name: str) -> Pipeline:
    """A candidate of the committed problem, fitted on all flowers."""
    problem = load_problem(PROJECT / "problems" / "iris.yaml")
    inputs, candidate = inputs_of(problem), problem.candidates[name]
    reader, encoder = build_normalizer(problem, candidate), build_counter(candidate.features)
    records = pa.array([inputs.read(flower) for flower in flowers()], inputs.column.type)
    matrix = encoder.fit_transform(reader.transform(records))
    labels = np.array([flower["label"] for flower in flowers()])
    return assemble(reader, encoder, build_classifier(problem, name).fit(matrix, labels))
