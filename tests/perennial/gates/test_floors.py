"""Floors: the least value of a score, the most of a loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.metrics import compute
from perennial.schema import MetricName
from tests.perennial.gates.gated import GOOD, gated, verdict


@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "f1", "roc_auc"])
def test_a_floor_is_the_least_value_of_a_score(problem: Problem, metric: MetricName) -> None:
    value = compute(metric, GOOD)

    assert verdict(gated(problem, **{metric: value}), GOOD).outcome == "promoted"
    assert verdict(gated(problem, **{metric: value + 0.001}), GOOD).outcome == "kept"


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_floor_is_the_most_of_a_loss(problem: Problem, metric: MetricName) -> None:
    value = compute(metric, GOOD)

    kept = verdict(gated(problem, **{metric: value - 0.001}), GOOD)

    assert verdict(gated(problem, **{metric: value}), GOOD).outcome == "promoted"
    assert kept.outcome == "kept"
    assert f"{value:.4f}, required at most {value - 0.001}" in kept.reason


def test_a_floor_of_a_metric_that_cannot_be_computed_is_not_met(problem: Problem) -> None:
    positive_only = replace(GOOD, truth=np.ones_like(GOOD.truth))

    assert verdict(gated(problem, roc_auc=0.0), positive_only).outcome == "kept"
