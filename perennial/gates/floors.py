"""Floors: least values of metrics on the holdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import Field

from perennial.gates.base import Conflict, Evidence, Gate, GateResult
from perennial.metrics import METRICS, MetricName, Needed, compute
from perennial.schema import Schema


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

    def conflicts(
        self, asked: FloorsKeys, *, has: Callable[[Needed | None], bool]
    ) -> Iterator[Conflict]:
        """Yield the floors of metrics that need a key which the problem's file has not."""
        for metric, limit in asked.floors.items():
            judged = METRICS[metric]
            if not has(judged.needs):
                yield ("floors", metric), f"is {limit!r}", judged.way_out

    def judge(self, asked: FloorsKeys, evidence: Evidence, measured: None) -> Iterator[GateResult]:
        """Yield one result for each metric."""
        for metric, limit in asked.floors.items():
            value = compute(metric, evidence.challenger)
            more_is_better = METRICS[metric].more_is_better
            yield GateResult(
                name=metric.replace("_", " "),
                passed=value >= limit if more_is_better else value <= limit,
                found=f"{value:.4f}",
                required=f"{'at least' if more_is_better else 'at most'} {limit}",
            )


GATE = FloorsGate()
