"""Train: fit every candidate on the same features, choose the challenger, fit it on everything.

A problem with one candidate has nothing to choose, so that one is fitted on everything at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from sklearn.pipeline import Pipeline

from perennial.classifiers.threshold_classifier import unwrapped
from perennial.config.problem import Problem
from perennial.estimators import spec_of
from perennial.fields.base import LARGEST
from perennial.metrics import METRICS, MetricName, Predictions, compute, join, metrics_of
from perennial.registry.client import open_registry
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from perennial.training.classes import in_terms_of, positions
from perennial.training.pipelines import assemble, build_classifier, build_normalizer, parameters_of
from perennial.training.threshold_tuning import TuningResult, at_best
from perennial.training.validation import Fold
from tasks.data.prepare import Dataset
from tasks.orchestration.retries import COMPUTING_SECONDS


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
        Its metrics on the validation documents, which it has not seen; empty without them.
    seconds : float
        Time of its fit.
    classifier : Pipeline or None
        What was fitted, if on all training documents: when there are no validation documents.
    """

    name: str
    run_id: str
    metrics: dict[MetricName, float]
    seconds: float
    classifier: Pipeline | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Challenger:
    """The best candidate, fitted on all training documents: raw inputs in, probabilities out."""

    result: CandidateResult
    model: Pipeline
    seconds: float
    tuned: TuningResult | None = None


def largest_first(problem: Problem, dataset: Dataset) -> list[str]:
    """Return the candidates, the one with the most counts first: none of the rest outlasts it."""
    return sorted(
        problem.candidates,
        key=lambda name: dataset.counts_of(problem.candidates[name]).matrix.size,
        reverse=True,
    )


@task(
    name="train",
    task_run_name="train {name}",
    cache_policy=NO_CACHE,
    timeout_seconds=COMPUTING_SECONDS,
)
def train(problem: Problem, name: str, dataset: Dataset, parent_run: str) -> CandidateResult:
    """Fit one candidate without the validation documents, and log how it does on them."""
    matrix, labels = dataset.counts_of(problem.candidates[name]).matrix, dataset.labels
    metrics: dict[MetricName, float] = {}
    classifier: Pipeline | None = None
    seen: Predictions | None = None
    with open_registry(get_settings()).run(
        problem.name, name, parent=parent_run, tags=RunTags(kind="candidate").as_tags()
    ) as run_id:
        with _timed() as timer:
            if dataset.folds:
                seen = join([_fit_and_predict(problem, name, dataset, f) for f in dataset.folds])
            else:
                classifier = build_classifier(problem, name).fit(matrix, labels)
        if seen is not None:
            best = at_best(problem, seen)
            metrics = {metric: compute(metric, best) for metric in metrics_of(best)}
        _log(problem, name, dataset, run_id, metrics, timer.seconds)
    result = CandidateResult(name, run_id, metrics, timer.seconds, classifier)
    get_run_logger().info("%s: %s.", name, _summary(problem, result, len(seen or ())))
    return result


def _fit_and_predict(problem: Problem, name: str, dataset: Dataset, fold: Fold) -> Predictions:
    """Predict the documents of a fold by a candidate that is fitted on those it may learn from."""
    matrix, labels = dataset.counts_of(problem.candidates[name]).matrix, dataset.labels
    classifier = build_classifier(problem, name).fit(matrix[fold.learned], labels[fold.learned])
    return predict(problem, classifier, matrix[fold.predicted], labels[fold.predicted])


def _summary(problem: Problem, result: CandidateResult, validation: int) -> str:
    if result.classifier is not None:
        return f"fitted on all training documents in {result.seconds:.1f} s"
    return (
        f"{problem.metric} {result.metrics[problem.metric]:.4f} on {validation:,} validation "
        f"documents, fitted in {result.seconds:.1f} s"
    )


@task(name="choose", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def choose(problem: Problem, dataset: Dataset, results: list[CandidateResult]) -> Challenger:
    """Return the best candidate, fitted on all training documents, as a pipeline for raw inputs."""
    sign = METRICS[problem.metric].sign
    best = max(results, key=lambda result: sign * result.metrics.get(problem.metric, 0.0))
    candidate = problem.candidates[best.name]
    shared = dataset.counts_of(candidate)
    classifier, seconds = best.classifier, best.seconds
    if classifier is None:
        with _timed() as timer:
            classifier = build_classifier(problem, best.name).fit(shared.matrix, dataset.labels)
        seconds = timer.seconds
        get_run_logger().info("%s is the challenger, fitted again on all documents.", best.name)
    model = assemble(build_normalizer(problem, candidate), shared.counter, classifier)
    return Challenger(best, model, seconds)


def predict(
    problem: Problem, model: Pipeline, inputs: object, labels: NDArray[np.str_]
) -> Predictions:
    """Return what a fitted model says about inputs, with the classes in the problem's order.

    The model may know other labels than the problem: see `in_terms_of`.
    """
    # Preparing raw inputs is most of the work: it is done once for both answers.
    prepared = model[:-1].transform(inputs) if len(model) > 1 else inputs
    if isinstance(prepared, np.ndarray):
        # The scale of a version of the time before that limit knew none.
        prepared = np.clip(prepared, -LARGEST, LARGEST)
        spec = spec_of(unwrapped(model[-1]))
        if (spec is None or spec.missing == "refused") and np.isnan(prepared).any():
            # A version of the time when records had every value is judged on others, too.
            prepared = np.nan_to_num(prepared, nan=0.0)
    predicted, probabilities = in_terms_of(
        problem, model.classes_, model[-1].predict(prepared), model[-1].predict_proba(prepared)
    )
    return Predictions(
        classes=problem.classes,
        truth=positions(problem.classes, labels),
        predicted=predicted,
        probabilities=probabilities,
        costs=problem.costs,
    )


def _log(
    problem: Problem,
    name: str,
    dataset: Dataset,
    run_id: str,
    metrics: dict[MetricName, float],
    seconds: float,
) -> None:
    figures = {f"validation.{metric}": value for metric, value in metrics.items()}
    registry = open_registry(get_settings())
    params = parameters_of(problem, name)
    registry.log(run_id, params=params, metrics={**figures, "fit.seconds": seconds})
    registry.log_snapshot(run_id, dataset.snapshot)


@dataclass
class _Timer:
    seconds: float = 0.0


@contextmanager
def _timed() -> Iterator[_Timer]:
    timer = _Timer()
    start = time.perf_counter()
    yield timer
    timer.seconds = time.perf_counter() - start
