"""Evaluate: what the challenger shows on the holdout, with intervals and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

import registry
from modeling.metrics import Interval, Predictions, intervals
from modeling.plots import evaluation_plots
from modeling.problem import MetricName, Problem
from settings import get_settings
from tasks.failures import COMPUTING_SECONDS
from tasks.prepare import Dataset
from tasks.train import Challenger, predict


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The challenger on the holdout: what it predicts, and its metrics with intervals."""

    predictions: Predictions
    metrics: dict[MetricName, Interval]


@task(name="evaluate", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def evaluate(problem: Problem, dataset: Dataset, challenger: Challenger) -> Evaluation:
    """Score the challenger on the holdout from raw texts, and log metrics and plots on its run."""
    predictions = predict(problem, challenger.model, dataset.holdout_texts, dataset.holdout_labels)
    confidence = problem.gates.confidence
    metrics = intervals(predictions, confidence=confidence, seed=problem.seed)
    figures: dict[str, float] = {}
    for metric, found in metrics.items():
        figures |= {
            f"holdout.{metric}": found.value,
            f"holdout.{metric}.low": found.low,
            f"holdout.{metric}.high": found.high,
        }
    title = f"{problem.name}: {challenger.result.name}, {len(predictions):,} holdout documents"
    plots = {f"plots/{name}": plot for name, plot in evaluation_plots(predictions, title).items()}
    tracking = registry.connect(get_settings())
    tracking.log(challenger.result.run_id, metrics={**figures, "refit.seconds": challenger.seconds})
    tracking.log_files(challenger.result.run_id, texts={}, figures=plots)
    return Evaluation(predictions, metrics)
