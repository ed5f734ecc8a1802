"""Floors: least values of metrics on the holdout."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from perennial.gates.base import Conflict, Evidence, Gate, GateResult
from perennial.schema import MetricName, Schema


class FloorsKeys(Schema):
    """The key ``floors``."""

    floors: dict[MetricName, float] = Field(
        default={}, description="the least value of a metric; the most for log_loss, brier and cost"
    )


class FloorsGate(Gate[FloorsKeys, None]):
    """Requires that each metric reaches its floor, or a loss stays below it."""

    name = "floors"
    position = 10
    keys = FloorsKeys
    in_every_digest = True
    examples = (
        (
            "`floors: {accuracy: 0.85}`",
            "a metric on the holdout is below its floor (`log_loss`, `brier`, `cost`: above)",
        ),
    )

    def conflicts(self, asked: FloorsKeys, *, has_costs: bool) -> Iterator[Conflict]:
        """Yield the floor of a cost that no ``decision.costs`` defines."""
        if "cost" in asked.floors and not has_costs:
            yield ("floors", "cost"), asked.floors["cost"], "possible without decision.costs"

    def judge(self, asked: FloorsKeys, evidence: Evidence, measured: None) -> Iterator[GateResult]:
        """Yield one result for each metric."""
        from perennial.metrics import LOSSES, compute

        for metric, limit in asked.floors.items():
            value = compute(metric, evidence.challenger)
            is_loss = metric in LOSSES
            yield GateResult(
                name=metric.replace("_", " "),
                passed=value <= limit if is_loss else value >= limit,
                found=f"{value:.4f}",
                required=f"{'at most' if is_loss else 'at least'} {limit}",
            )


GATE = FloorsGate()
