"""Evaluate: the challenger on the holdout, with intervals, plots and what its gates measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from sklearn.pipeline import Pipeline

from perennial.config.problem import Problem
from perennial.embeddings.kept import nothing_kept
from perennial.gates.base import ModelOnHoldout
from perennial.gates.catalogue import measure
from perennial.inference.predictor import build_predictor
from perennial.metrics import Interval, MetricName, Predictions, intervals
from perennial.registry.client import open_registry
from perennial.settings import get_settings
from perennial.thresholds.threshold import FloorFound, decide, theory_weights
from perennial.training.convergence import end_of_fit
from perennial.training.fitting import fit
from perennial.training.simple import simple_model
from perennial.training.threshold_tuning import TuningComparison, TuningResult, compare
from tasks.data.prepare import Dataset, Holdout
from tasks.orchestration.retries import COMPUTING_SECONDS
from tasks.training.train import Challenger, predict, predict_alike


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions of the challenger on the holdout, and what was measured of it.

    Attributes
    ----------
    predictions : Predictions
        The challenger's predictions for every holdout document.
    metrics : dict of str to Interval
        Metrics of these predictions.
    tuned : TuningResult or None
        The tuned threshold or weights, if the problem asks for them.
    compared : tuple of TuningComparison
        Metrics of the tuned decision on the holdout, against the most probable label.
    floor : FloorFound or None
        The floor of the tuned threshold, if the problem asks for one.
    measured : mapping of str to Any
        Name of a gate -> its measurement of the fitted model.
    simpler : mapping of str to Predictions
        Name of a simpler model on the same features -> its predictions for the holdout.
    """

    predictions: Predictions
    metrics: dict[MetricName, Interval]
    tuned: TuningResult | None = None
    compared: tuple[TuningComparison, ...] = ()
    floor: FloorFound | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    simpler: Mapping[str, Predictions] = field(default_factory=dict)


@task(name="evaluate", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def evaluate(problem: Problem, dataset: Dataset, challenger: Challenger) -> Evaluation:
    """Score the challenger on the holdout from raw inputs, and log metrics and plots on its run."""
    # See `tasks.training.preload`.
    from perennial.plots.evaluation import evaluation_plots
    from perennial.plots.threshold import decision_plots

    predictions, simpler = _predicted(problem, dataset, challenger)
    confidence = problem.gates.confidence
    metrics = intervals(predictions, confidence=confidence, seed=problem.seed)
    figures: dict[str, float] = {}
    for metric, found in metrics.items():
        figures |= {
            f"holdout.{metric}": found.value,
            f"holdout.{metric}.low": found.low,
            f"holdout.{metric}.high": found.high,
        }
    tuned = challenger.tuned
    compared = compare(problem, tuned, predictions) if tuned is not None else ()
    for each in compared:
        figures |= each.figures
    title = f"{problem.name}: {challenger.result.name}, {len(predictions):,} holdout documents"
    drawn = evaluation_plots(predictions, title)
    if tuned is not None:
        drawn |= decision_plots(tuned, predictions, title)
    plots = {f"plots/{name}": plot for name, plot in drawn.items()}
    registry = open_registry(get_settings())
    registry.log(challenger.result.run_id, metrics={**figures, "refit.seconds": challenger.seconds})
    registry.log_files(challenger.result.run_id, texts={}, figures=plots)
    floor = tuned.floor if tuned is not None else None
    measured = measure_for_gates(
        problem, dataset, challenger.model, predictions=predictions, metrics=metrics, floor=floor
    )
    return Evaluation(predictions, metrics, tuned, compared, floor, measured, simpler)


def _predicted(
    problem: Problem, dataset: Dataset, challenger: Challenger
) -> tuple[Predictions, Mapping[str, Predictions]]:
    """Return what the challenger says about the holdout, and a simple model on the same features.

    Nothing of that one where a library refuses, as it decides nothing. Where errors have costs, it
    gives the label of which the expected cost is the least.
    """
    matrix = dataset.counts_of(problem.candidates[challenger.result.name]).matrix
    name, simple = simple_model(matrix)
    inputs, labels = dataset.holdout_inputs, dataset.holdout_labels
    try:
        models = [challenger.model[2:], fit(simple, matrix, dataset.labels)]
        predictions, found = predict_alike(problem, challenger.model[:2], models, inputs, labels)
    except Exception as error:  # noqa: BLE001 - whatever a library raises, the retraining goes on
        get_run_logger().warning("The challenger is not compared with %s: %s", name, error)
        return predict(problem, challenger.model, inputs, labels), {}
    if problem.costs is not None:
        cheapest = decide(found.probabilities, np.array(theory_weights(problem.costs)))
        found = replace(found, predicted=cheapest)
    return predictions, {name: found}


def measure_for_gates(
    problem: Problem,
    holdout: Holdout,
    model: Pipeline,
    *,
    predictions: Predictions,
    metrics: Mapping[MetricName, Interval],
    floor: FloorFound | None,
) -> dict[str, Any]:
    """Return every measurement of a fitted model that the problem's gates ask for, by gate.

    Parameters
    ----------
    problem : Problem
        The problem with its gates.
    holdout : Holdout
        Documents that the model has not learned from.
    model : Pipeline
        The fitted model.
    predictions : Predictions
        Its predictions for the holdout.
    metrics : mapping of str to Interval
        Metrics of these predictions.
    floor : FloorFound or None
        The floor of its tuned threshold, if the problem asks for one.
    """
    subject = ModelOnHoldout(
        model=model,
        build_predictor=partial(build_predictor, model),
        inputs=holdout.holdout_inputs,
        predictions=predictions,
        metrics=metrics,
        floor=floor,
        fit_end=end_of_fit(model[-1]),
    )
    with nothing_kept():
        return measure(problem.gates, subject)
