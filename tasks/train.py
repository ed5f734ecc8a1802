"""Train: fit every candidate on the same features, choose the challenger, fit it on everything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from scipy import sparse
from sklearn.pipeline import Pipeline

import registry
from modeling.candidates import assemble, build_classifier, build_normalizer
from modeling.metrics import LOSSES, METRICS, Predictions, compute
from modeling.problem import MetricName, Problem
from settings import get_settings
from tasks.prepare import Dataset


@dataclass(frozen=True)
class CandidateResult:
    """What a candidate showed on the validation documents.

    Attributes
    ----------
    name : str
        The candidate.
    run_id : str
        Its MLflow run.
    metrics : dict of str to float
        Its metrics on the validation documents, which it has not seen.
    seconds : float
        Time of its fit.
    """

    name: str
    run_id: str
    metrics: dict[MetricName, float]
    seconds: float


@dataclass(frozen=True, eq=False)
class Challenger:
    """The best candidate, fitted on all training documents: raw texts in, probabilities out."""

    result: CandidateResult
    model: Pipeline
    seconds: float


@task(name="train", task_run_name="train {name}", cache_policy=NO_CACHE)
def train(problem: Problem, name: str, dataset: Dataset, parent_run: str) -> CandidateResult:
    """Fit one candidate without the validation documents, and log how it does on them."""
    candidate = problem.candidates[name]
    matrix, fitted_on = dataset.counts_of(candidate).matrix, ~dataset.validation
    with registry.connect(get_settings()).run(
        problem.name, name, parent=parent_run, tags={"kind": "candidate"}
    ) as run_id:
        with _timed() as timer:
            classifier = _fit(problem, name, matrix[fitted_on], dataset.labels[fitted_on])
        predictions = predict(
            problem, classifier, matrix[dataset.validation], dataset.labels[dataset.validation]
        )
        metrics = {metric: compute(metric, predictions) for metric in METRICS}
        _log(problem, name, dataset, run_id, metrics, timer.seconds)
    get_run_logger().info(
        "%s: %s %.4f on %s validation documents, fitted in %.1f s.",
        name,
        problem.metric,
        metrics[problem.metric],
        f"{len(predictions):,}",
        timer.seconds,
    )
    return CandidateResult(name, run_id, metrics, timer.seconds)


@task(name="choose", cache_policy=NO_CACHE)
def choose(problem: Problem, dataset: Dataset, results: list[CandidateResult]) -> Challenger:
    """Fit the best candidate again, on all training documents, as one pipeline for raw texts."""
    sign = -1.0 if problem.metric in LOSSES else 1.0
    best = max(results, key=lambda result: sign * result.metrics[problem.metric])
    candidate = problem.candidates[best.name]
    shared = dataset.counts_of(candidate)
    with _timed() as timer:
        classifier = _fit(problem, best.name, shared.matrix, dataset.labels)
    get_run_logger().info("%s is the challenger, fitted again on all documents.", best.name)
    model = assemble(build_normalizer(problem, candidate), shared.counter, classifier)
    return Challenger(best, model, timer.seconds)


def predict(
    problem: Problem, model: Pipeline, inputs: object, labels: NDArray[np.str_]
) -> Predictions:
    """Return what a fitted model says about inputs, with the classes in the problem's order."""
    columns = [list(model.classes_).index(label) for label in problem.classes]
    positions = {label: code for code, label in enumerate(problem.classes)}
    probabilities = model.predict_proba(inputs)
    return Predictions(
        classes=problem.classes,
        truth=np.array([positions[label] for label in labels], np.int64),
        predicted=np.array([positions[label] for label in model.predict(inputs)], np.int64),
        probabilities=probabilities[:, columns],
    )


def _fit(
    problem: Problem, name: str, matrix: sparse.csr_array, labels: NDArray[np.str_]
) -> Pipeline:
    return build_classifier(problem, name).fit(matrix, labels)


def _log(
    problem: Problem,
    name: str,
    dataset: Dataset,
    run_id: str,
    metrics: dict[MetricName, float],
    seconds: float,
) -> None:
    candidate = problem.candidates[name]
    params: dict[str, object] = {
        "candidate": name,
        "estimator": candidate.estimator,
        "preparation": candidate.preparation,
        **{f"estimator.{key}": value for key, value in candidate.parameters.items()},
        **{f"features.{key}": value for key, value in candidate.features},
        **{f"prepare.{key}": v for key, v in problem.preparations[candidate.preparation]},
        "seed": problem.seed,
    }
    figures = {f"validation.{metric}": value for metric, value in metrics.items()}
    tracking = registry.connect(get_settings())
    tracking.log(run_id, params=params, metrics={**figures, "fit.seconds": seconds})
    tracking.log_snapshot(run_id, dataset.snapshot)


@dataclass
class _Timer:
    seconds: float = 0.0


@contextmanager
def _timed() -> Iterator[_Timer]:
    timer = _Timer()
    start = time.perf_counter()
    yield timer
    timer.seconds = time.perf_counter() - start
