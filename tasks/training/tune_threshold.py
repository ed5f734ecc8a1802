"""Decide: which label the challenger gives for which probabilities, as the problem's goal asks."""

from __future__ import annotations

import time
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.registry.client import open_registry
from perennial.settings import get_settings
from perennial.training.pipelines import build_classifier
from perennial.training.threshold_tuning import TooFewError, TuningResult, tune, with_decision
from tasks.data.prepare import Dataset
from tasks.training.train import Challenger


@task(name="decide", cache_policy=NO_CACHE)
def decide(problem: Problem, dataset: Dataset, challenger: Challenger) -> Challenger:
    """Return the challenger with calibration and threshold, from out-of-fold predictions.

    The holdout has no part in it. A problem that tunes nothing gets its challenger back, and so
    does one that did not ask for it and has too few training documents of a label.

    Raises
    ------
    OutsideError
        If the problem asks for a decision, and a label has too few training documents.
    """
    goal = problem.goal
    if goal is None:
        return challenger
    start = time.perf_counter()
    name = challenger.result.name
    features = dataset.counts_of(problem.candidates[name]).matrix
    try:
        tuned = tune(
            problem,
            goal,
            build_classifier(problem, name),
            features,
            dataset.labels,
            dataset.judged,
            dataset.bonds,
        )
    except TooFewError as error:
        if problem.decision is None:
            get_run_logger().warning(
                "%s gives the most probable label: its threshold cannot be tuned, as a label has "
                "fewer than two training documents.",
                name,
            )
            return challenger
        raise OutsideError(f"problems/{problem.name}.yaml: {error}.") from error
    open_registry(get_settings()).log(
        challenger.result.run_id,
        params=_params(tuned),
        metrics={**_metrics(tuned), "decide.seconds": time.perf_counter() - start},
    )
    get_run_logger().info("%s: %s.", name, summary(tuned))
    return replace(challenger, model=with_decision(challenger.model, tuned), tuned=tuned)


def summary(tuned: TuningResult) -> str:
    """Return a decision in one line."""
    if tuned.threshold is not None:
        text = f"{tuned.out_of_fold.classes[1]} above a probability of {tuned.threshold:.4f}"
    elif tuned.weights is not None:
        pairs = zip(tuned.out_of_fold.classes, tuned.weights, strict=True)
        text = "weights " + ", ".join(f"{label} {weight:.4f}" for label, weight in pairs)
    else:
        text = "the most probable label"
    if tuned.calibrated is None:
        return text
    found = tuned.calibrated
    done = "calibrated" if found.calibration is not None else "not calibrated"
    return f"{text}, {done} (Brier score {found.before:.5f}, calibrated {found.after:.5f})"


def _params(tuned: TuningResult) -> dict[str, object]:
    params: dict[str, object] = {}
    if tuned.threshold is not None:
        params["decision.threshold"] = tuned.threshold
    elif tuned.weights is not None:
        for label, weight in zip(tuned.out_of_fold.classes, tuned.weights, strict=True):
            params[f"decision.weight.{label}"] = weight
    if tuned.calibrated is not None and tuned.calibrated.calibration is not None:
        params["decision.slope"] = tuned.calibrated.calibration.slope
        params["decision.offsets"] = list(tuned.calibrated.calibration.offsets)
    return params


def _metrics(tuned: TuningResult) -> dict[str, float]:
    metrics: dict[str, float] = {}
    if tuned.calibrated is not None:
        metrics["out_of_fold.brier.uncalibrated"] = tuned.calibrated.before
        metrics["out_of_fold.brier.calibrated"] = tuned.calibrated.after
    if tuned.floor is not None:
        metrics[f"out_of_fold.{tuned.floor.metric}"] = tuned.floor.value
        metrics[f"out_of_fold.{tuned.floor.metric}.low"] = tuned.floor.low
    return metrics
