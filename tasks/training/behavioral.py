"""Behave: what a model says about the behavioural cases, and how long it takes for one document."""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import Pipeline

from perennial.config.problem import Problem
from perennial.inference.predictor import build_predictor
from perennial.promotion.behavioral import GroupResult, judge
from perennial.promotion.latency import Latency, measure_latency
from tasks.data.prepare import Holdout

_TIMED_DOCUMENTS = 100
_CHECKED_DOCUMENTS = 10


def behave(problem: Problem, model: Pipeline) -> tuple[GroupResult, ...]:
    """Return how a model does on the problem's behavioural cases; nothing if it has none."""
    cases = problem.gates.cases
    if cases is None:
        return ()
    inputs = cases.inputs
    return judge(
        cases,
        labels=model.predict(inputs).tolist(),
        classes=[str(label) for label in model.classes_],
        probabilities=model.predict_proba(inputs),
    )


def time_one(problem: Problem, holdout: Holdout, model: Pipeline) -> Latency | None:
    """Return how long the service's predictor takes for one document; None without a budget."""
    if problem.gates.latency is None:
        return None
    inputs = holdout.holdout_inputs
    count = min(len(inputs), _TIMED_DOCUMENTS)
    chosen = inputs.take(np.linspace(0, len(inputs) - 1, count).astype(int)).to_pylist()
    return measure_latency(build_predictor(model, chosen[:_CHECKED_DOCUMENTS]), chosen)
