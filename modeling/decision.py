"""The verdict: is the challenger provably better than Production?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from modeling.metrics import LOSSES, Interval, Predictions, compute, difference
from modeling.problem import MetricName, Problem
from modeling.threshold import FloorFound

BETTER = "better than Production"


class Gate(BaseModel):
    """One condition of a promotion, with the figure that was found."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    found: str
    required: str


class Verdict(BaseModel):
    """The outcome of comparing a challenger with Production on the same holdout."""

    model_config = ConfigDict(frozen=True)

    outcome: Literal["promoted", "kept"]
    gates: tuple[Gate, ...]
    challenger: int
    production: int | None

    @property
    def reason(self) -> str:
        """One sentence: why the outcome is what it is."""
        failed = [f"{gate.name}: {gate.found}, required {gate.required}" for gate in self.failed]
        if failed:
            return "; ".join(failed)
        if self.production is None:
            return "every floor is met, and there was no Production version"
        return "every gate is passed"

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that kept the challenger out."""
        return tuple(gate for gate in self.gates if not gate.passed)


def decide(
    problem: Problem,
    *,
    challenger: tuple[int, Predictions],
    production: tuple[int, Predictions] | None,
    further: Sequence[Gate] = (),
) -> Verdict:
    """Return the verdict on a challenger.

    Parameters
    ----------
    problem : Problem
        Its metric, gates and seed.
    challenger, production : tuple of int and Predictions
        The versions and what they predict on the same holdout. Without Production the floors
        alone decide.
    further : sequence of Gate
        What else the challenger must pass, found elsewhere.
    """
    version, predictions = challenger
    gates = [_floor(m, limit, predictions) for m, limit in problem.gates.floors.items()]
    gates += further
    if production is not None:
        gates.append(_better(problem, predictions, production[1]))
    return Verdict(
        outcome="promoted" if all(gate.passed for gate in gates) else "kept",
        gates=tuple(gates),
        challenger=version,
        production=production[0] if production else None,
    )


def floor_gates(floor: FloorFound | None, holdout: Interval | None) -> tuple[Gate, ...]:
    """Return the gate of a floor that the threshold has to keep; none without such a floor.

    The threshold keeps it out of fold, and the holdout must not refute that: at least the upper
    end of the metric's interval there reaches the floor. `Gates.floors` asks for more.
    """
    if floor is None or holdout is None:
        return ()
    return (
        Gate(
            name=f"threshold with enough {floor.metric}",
            passed=floor.reached and holdout.high >= floor.required,
            found=f"{floor.value:.4f} out of fold, with confidence {floor.low:.4f}; {holdout} on "
            "the holdout",
            required=f"at least {floor.required} with confidence, not refuted on the holdout",
        ),
    )


def _floor(metric: MetricName, limit: float, predictions: Predictions) -> Gate:
    value = compute(metric, predictions)
    passed = value <= limit if metric in LOSSES else value >= limit
    bound = "at most" if metric in LOSSES else "at least"
    return Gate(
        name=metric.replace("_", " "),
        passed=passed,
        found=f"{value:.4f}",
        required=f"{bound} {limit}",
    )


def _better(problem: Problem, challenger: Predictions, production: Predictions) -> Gate:
    """Ask that the whole confidence interval of the gain lies above zero.

    Under equal quality the lower end is above zero in at most half of ``1 - confidence`` of all
    comparisons, so that a coin-flip challenger is promoted in about 2.5 of 100 retrainings at 0.95.
    """
    confidence = problem.gates.confidence
    gain = difference(
        problem.metric, challenger, production, confidence=confidence, seed=problem.seed
    )
    return Gate(
        name=BETTER,
        passed=gain.low > 0,
        found=f"{problem.metric} {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
        required=f"{confidence * 100:g}% interval above 0",
    )
