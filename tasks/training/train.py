"""Train: fit every candidate on the same features, choose the challenger, fit it on everything.

A problem with one candidate has nothing to choose, so that one is fitted on everything at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from textwrap import shorten
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from sklearn.pipeline import Pipeline

from perennial.classifiers.threshold_classifier import unwrapped
from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.engine.connection import connected
from perennial.errors import OutsideError, UnavailableError
from perennial.estimators import spec_of
from perennial.fields.base import LARGEST
from perennial.metrics import METRICS, MetricName, Predictions, compute, join, metrics_of
from perennial.registry.client import open_registry
from perennial.registry.tags import RunTags
from perennial.settings import get_settings
from perennial.training.classes import in_terms_of, positions
from perennial.training.convergence import end_of_fit
from perennial.training.fitting import (
    divided_among,
    exceeds_memory,
    fit,
    is_over_blocks,
    memory_of,
)
from perennial.training.pipelines import assemble, build_classifier, build_normalizer, parameters_of
from perennial.training.threshold_tuning import TuningResult, at_best
from perennial.training.validation import Fold
from tasks.data.features import SharedCounts
from tasks.data.prepare import Dataset
from tasks.orchestration.retries import COMPUTING_SECONDS
from tasks.training.growth import DOCUMENTS, iterations_metric

# A tag of MLflow and a cell of a table must hold it.
_LONGEST_REASON = 400
_MEGABYTE = 1_000_000
# The labels that a model gives, and the probability of each class.
_Answers: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]
# Texts that are prepared at a time, so that their features need not be in memory at once.
_AT_ONCE = 1 << 14


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
    failure : str
        Why it could not be fitted; empty if it was.
    """

    name: str
    run_id: str
    metrics: dict[MetricName, float]
    seconds: float
    classifier: Pipeline | None = field(default=None, repr=False)
    failure: str = ""


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
        key=lambda name: dataset.size_of(problem.candidates[name]),
        reverse=True,
    )


@task(
    name="train",
    task_run_name="train {name}",
    cache_policy=NO_CACHE,
    timeout_seconds=COMPUTING_SECONDS,
)
def train(problem: Problem, name: str, dataset: Dataset, parent_run: str) -> CandidateResult:
    """Fit one candidate without the validation documents, and log how it does on them.

    One that cannot be fitted says why, and leaves the others alone.
    """
    with open_registry(get_settings()).run(
        problem.name, name, parent=parent_run, tags=RunTags(kind="candidate").as_tags()
    ) as run_id:
        _say_how(problem, name, dataset)
        with _timed() as timer:
            fitted = _fit(problem, name, dataset)
        # What a fit has freed is in pieces that nothing else needs.
        pa.default_memory_pool().release_unused()
        metrics: dict[MetricName, float] = {}
        if fitted.seen is not None:
            best = at_best(problem, fitted.seen)
            metrics = {metric: compute(metric, best) for metric in metrics_of(best)}
        result = CandidateResult(
            name, run_id, metrics, timer.seconds, fitted.classifier, fitted.failure
        )
        _log(problem, result, dataset)
    logger = get_run_logger()
    if result.failure:
        logger.warning("%s cannot be fitted: %s", name, result.failure)
    else:
        logger.info("%s: %s.", name, _summary(problem, result, len(fitted.seen or ())))
    return result


@contextmanager
def fits_divided(problem: Problem, dataset: Dataset) -> Iterator[None]:
    """Let workers of the engine do fits during the block that memory does not hold, if any.

    Raises
    ------
    OutsideError
        If there is an engine that cannot be used.
    """
    if not any(_size_beyond_memory(problem, name, dataset) for name in problem.candidates):
        yield
        return
    with connected(get_settings()) as engine, divided_among(engine):
        if engine is not None:
            get_run_logger().info("The blocks are divided among workers of the %s.", engine.name)
        yield


def _say_how(problem: Problem, name: str, dataset: Dataset) -> None:
    """Say it where a fit would need more memory than is allowed."""
    if size := _size_beyond_memory(problem, name, dataset):
        get_run_logger().info(
            "%s is fitted over blocks in a file: in memory they would take %s MB, and %s MB are "
            "allowed (MEMORY_LIMIT).",
            name,
            f"{size // _MEGABYTE:,}",
            f"{get_settings().memory_of_a_fit // _MEGABYTE:,}",
        )


def _size_beyond_memory(problem: Problem, name: str, dataset: Dataset) -> int:
    """Return how many bytes the blocks of a fit take, 0 where memory holds them."""
    counts = dataset.counts.get(problem.candidates[name].shared)
    if not isinstance(counts, SharedCounts):
        return 0
    matrix = counts.matrix
    over_blocks = is_over_blocks(build_classifier(problem, name), matrix)
    return memory_of(matrix) if over_blocks and exceeds_memory(matrix) else 0


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What became of a candidate: predictions, or a classifier, or a reason why there is none."""

    seen: Predictions | None = None
    classifier: Pipeline | None = None
    failure: str = ""


def _fit(problem: Problem, name: str, dataset: Dataset) -> _Fitted:
    try:
        if dataset.folds:
            parts = [_fit_and_predict(problem, name, dataset, fold) for fold in dataset.folds]
            return _Fitted(seen=join(parts))
        matrix = dataset.counts_of(problem.candidates[name]).matrix
        return _Fitted(classifier=fit(build_classifier(problem, name), matrix, dataset.labels))
    except UnavailableError:
        # The engine is lost for all of them.
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library raises, the others go on
        return _Fitted(failure=_reason(error))


def _reason(error: Exception) -> str:
    """Return what went wrong in one line, which may be one of many that a library wrote."""
    said = " ".join(str(error).split())
    if not isinstance(error, ValueError) or not said:
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return shorten(said, _LONGEST_REASON, placeholder=" ...")


def _fit_and_predict(problem: Problem, name: str, dataset: Dataset, fold: Fold) -> Predictions:
    """Predict the documents of a fold by a candidate that is fitted on those it may learn from."""
    matrix, labels = dataset.counts_of(problem.candidates[name]).matrix, dataset.labels
    learned, seen = matrix[fold.learned], labels[fold.learned]
    classifier = fit(build_classifier(problem, name), learned, seen)
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
    """Return the best candidate, fitted on all training documents, as a pipeline for raw inputs.

    One that cannot be fitted on all of them gives way to the next.

    Raises
    ------
    OutsideError
        If none of the candidates can be fitted; the message has the reason of each. Or if the
        engine is lost.
    """
    sign = METRICS[problem.metric].sign
    reasons = {result.name: result.failure for result in results if result.failure}
    able = [result for result in results if not result.failure]
    able.sort(key=lambda result: sign * result.metrics.get(problem.metric, 0.0), reverse=True)
    for best in able:
        classifier, seconds = best.classifier, best.seconds
        if classifier is None:
            try:
                with _timed() as timer:
                    classifier = _fit_on_all(problem, best.name, dataset)
            except UnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the others go on
                reasons[best.name] = _reason(error)
                get_run_logger().warning(
                    "%s cannot be fitted on all documents: %s", best.name, reasons[best.name]
                )
                continue
            seconds = timer.seconds
            get_run_logger().info("%s is the challenger, fitted again on all documents.", best.name)
        _note_convergence(problem, best, classifier, dataset)
        candidate = problem.candidates[best.name]
        counter = dataset.counts_of(candidate).counter
        model = assemble(build_normalizer(problem, candidate), counter, classifier)
        return Challenger(best, model, seconds)
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise OutsideError(
        f"No candidate of {problem.name!r} could be fitted ({why}); change candidates in "
        f"problems/{problem.name}.yaml, or load more documents."
    )


def _note_convergence(
    problem: Problem, best: CandidateResult, classifier: Pipeline, dataset: Dataset
) -> None:
    """Log how many documents and iterations the challenger's fit has had; warn if it was cut off.

    Later fits are compared with them.
    """
    found = end_of_fit(classifier[-1])
    metrics = {DOCUMENTS: float(len(dataset.labels))}
    if found.limit is not None:
        matrix = dataset.counts_of(problem.candidates[best.name]).matrix
        iterations = iterations_metric(problem, best.name, matrix)
        metrics |= {iterations: float(found.used), "fit.converged": float(found.converged)}
    open_registry(get_settings()).log(best.run_id, metrics=metrics)
    if found.limit is not None and not found.converged:
        get_run_logger().warning(
            "%s has not converged within its %s; raise max_iter of the candidate in "
            "problems/%s.yaml.",
            best.name,
            counted(found.limit, "iteration"),
            problem.name,
        )


def _fit_on_all(problem: Problem, name: str, dataset: Dataset) -> Pipeline:
    matrix = dataset.counts_of(problem.candidates[name]).matrix
    return fit(build_classifier(problem, name), matrix, dataset.labels)


def predict(
    problem: Problem, model: Pipeline, inputs: object, labels: NDArray[np.str_]
) -> Predictions:
    """Return what a fitted model says about inputs, with the classes in the problem's order.

    The model may know other labels than the problem: see `in_terms_of`.
    """
    (found,) = predict_alike(problem, None, [model], inputs, labels)
    return found


def predict_alike(
    problem: Problem,
    shared: Pipeline | None,
    models: Sequence[Pipeline],
    inputs: object,
    labels: NDArray[np.str_],
) -> list[Predictions]:
    """Return what several models say about inputs; see `predict`.

    Parameters
    ----------
    problem : Problem
        The problem.
    shared : Pipeline or None
        Fitted steps that come before those of each model, and are gone through once.
    models : sequence of Pipeline
        The fitted models.
    inputs : Array, sparse array or ndarray, shape (n_inputs,) or (n_inputs, n_features)
        What the first of all steps takes.
    labels : ndarray of str, shape (n_inputs,)
        The labels of the inputs.
    """
    given = [inputs]
    if isinstance(inputs, pa.Array) and not pa.types.is_struct(inputs.type) and len(inputs):
        given = [inputs.slice(start, _AT_ONCE) for start in range(0, len(inputs), _AT_ONCE)]
    answers: list[list[_Answers]] = [[] for _ in models]
    for some in given:
        prepared = some if shared is None else shared.transform(some)
        for model, found in zip(models, answers, strict=True):
            found.append(_answers(problem, model, prepared))
    truth = positions(problem.classes, labels)
    return [_joined(problem, truth, found) for found in answers]


def _joined(problem: Problem, truth: NDArray[np.int64], answers: list[_Answers]) -> Predictions:
    predicted, probabilities = (np.concatenate(each) for each in zip(*answers, strict=True))
    return Predictions(
        classes=problem.classes,
        truth=truth,
        predicted=predicted,
        probabilities=probabilities,
        costs=problem.costs,
        least_precision=problem.least_precision,
    )


def _answers(problem: Problem, model: Pipeline, inputs: object) -> _Answers:
    """Return the labels that a model gives to inputs, and the probability of each class."""
    # Preparing raw inputs is most of the work: it is done once for both answers.
    prepared = model[:-1].transform(inputs) if len(model) > 1 else inputs
    if isinstance(prepared, np.ndarray):
        # The scale of a version of the time before that limit knew none.
        prepared = np.clip(prepared, -LARGEST, LARGEST)
        spec = spec_of(unwrapped(model[-1]))
        if (spec is None or spec.missing == "refused") and np.isnan(prepared).any():
            # A version of the time when records had every value is judged on others, too.
            prepared = np.nan_to_num(prepared, nan=0.0)
    return in_terms_of(
        problem, model.classes_, model[-1].predict(prepared), model[-1].predict_proba(prepared)
    )


def _log(problem: Problem, result: CandidateResult, dataset: Dataset) -> None:
    figures = {f"validation.{metric}": value for metric, value in result.metrics.items()}
    tags = RunTags(outcome="failed", reason=result.failure) if result.failure else RunTags()
    registry = open_registry(get_settings())
    registry.log(
        result.run_id,
        params=parameters_of(problem, result.name),
        metrics={**figures, "fit.seconds": result.seconds},
        tags=tags.as_tags(),
    )
    registry.log_snapshot(result.run_id, dataset.snapshot)


@dataclass
class _Timer:
    seconds: float = 0.0


@contextmanager
def _timed() -> Iterator[_Timer]:
    timer = _Timer()
    start = time.perf_counter()
    yield timer
    timer.seconds = time.perf_counter() - start
