"""A challenger must be fast enough for one document, in the service's predictor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.latency import MeasuredLatency, measure_latency
from tests.perennial.gates.gated import PRODUCTION, asking, named, verdict


def test_a_model_that_is_too_slow_is_kept_out(problem: Problem) -> None:
    slow = {"latency": MeasuredLatency(median=0.4, p99=5.01)}

    found = verdict(asking(problem, latency={"milliseconds": 5}), PRODUCTION, None, slow)

    assert found.outcome == "kept"
    assert not named(found, "latency").passed
    says = "latency: 99% within 5.010 ms, half within 0.400 ms, required 99% within 5 ms"
    assert says in found.reason


def test_a_model_within_its_budget_is_promoted(problem: Problem) -> None:
    quick = {"latency": MeasuredLatency(median=0.4, p99=5.0)}

    found = verdict(asking(problem, latency={"milliseconds": 5}), PRODUCTION, None, quick)

    assert found.outcome == "promoted"


def test_a_latency_that_was_not_measured_keeps_a_challenger_out(problem: Problem) -> None:
    found = verdict(asking(problem, latency={"milliseconds": 5}), PRODUCTION, None, {})

    assert found.outcome == "kept"
    assert not named(found, "latency").passed
    assert "latency: not measured" in found.reason


class Clock:
    """Time that passes only while something is scored, and sometimes because of other work."""

    classes = ("negative", "positive")

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def probabilities(self, inputs: Sequence[str]) -> Any:
        (text,) = inputs
        self.calls += 1
        busy = 0.5 if self.calls % 3 == 0 else 0.0
        self.now += len(text) / 1000 + busy
        return np.array([[0.5, 0.5]])

    def explain(self, text: str, label: str, limit: int | None = 20) -> Any:
        raise NotImplementedError


def test_latency_is_that_of_the_model_not_of_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("perennial.gates.latency.time.perf_counter", clock)

    found = measure_latency(clock, ["x" * length for length in range(101)])

    assert found.median == pytest.approx(50)
    assert found.p99 == pytest.approx(99)


def test_latency_of_nothing_is_no_latency() -> None:
    with pytest.raises(ValueError, match="without an input"):
        measure_latency(Clock(), [])


def test_a_latency_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Gates.model_validate({"latency": {"milliseconds": 0}})
