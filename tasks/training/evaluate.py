"""Evaluate: what the challenger shows on the holdout, with intervals and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.config.problem import Problem
from perennial.metrics import Interval, MetricName, Predictions, intervals
from perennial.promotion.behavioral import GroupResult
from perennial.promotion.latency import Latency
from perennial.registry.client import open_registry
from perennial.settings import get_settings
from perennial.thresholds.threshold import FloorFound
from perennial.training.threshold_tuning import Compared, Tuned, compare
from tasks.data.prepare import Dataset
from tasks.orchestration.retries import COMPUTING_SECONDS
from tasks.training.behavioral import behave, time_one
from tasks.training.train import Challenger, predict


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The challenger on the holdout: what it predicts, and its metrics with intervals.

    Attributes
    ----------
    predictions : Predictions
        Of every holdout document.
    metrics : dict of str to Interval
        Of these predictions.
    tuned : Tuned or None
        Its decision, if the problem asks for one.
    compared : tuple of Compared
        What the decision is worth on the holdout, against others.
    floor : FloorFound or None
        What became of the floor of its decision, if the problem asks for one.
    cases : tuple of GroupResult
        How it does on the problem's behavioural cases.
    latency : Latency or None
        How long it takes for one document, if the problem has a budget for it.
    """

    predictions: Predictions
    metrics: dict[MetricName, Interval]
    tuned: Tuned | None = None
    compared: tuple[Compared, ...] = ()
    floor: FloorFound | None = None
    cases: tuple[GroupResult, ...] = ()
    latency: Latency | None = None


@task(name="evaluate", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def evaluate(problem: Problem, dataset: Dataset, challenger: Challenger) -> Evaluation:
    """Score the challenger on the holdout from raw inputs, and log metrics and plots on its run."""
    # See `tasks.training.preload`.
    from perennial.plots.evaluation import evaluation_plots
    from perennial.plots.threshold import decision_plots

    predictions = predict(problem, challenger.model, dataset.holdout_inputs, dataset.holdout_labels)
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
    cases, latency = behave(problem, challenger.model), time_one(problem, dataset, challenger.model)
    floor = tuned.floor if tuned is not None else None
    return Evaluation(predictions, metrics, tuned, compared, floor, cases, latency)
