"""Threshold floor: the precision or recall that ``decision.floor`` promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.gates.base import DecisionFloor, Evidence, Gate, GateResult, ModelOnHoldout
from perennial.schema import Schema

if TYPE_CHECKING:
    from perennial.metrics import Interval


@dataclass(frozen=True)
class FloorOnHoldout:
    """A threshold's floor, and its metric on the holdout.

    Attributes
    ----------
    floor : DecisionFloor
        The floor, as it was found out of fold.
    holdout : Interval
        The same metric on the holdout.
    """

    floor: DecisionFloor
    holdout: Interval


class ThresholdFloorKeys(Schema):
    """No key: the floor is a part of ``decision:``."""


class ThresholdFloorGate(Gate[ThresholdFloorKeys, FloorOnHoldout]):
    """Requires that the tuned threshold keeps its floor.

    The threshold keeps it out of fold, and the holdout must not refute that: at least the upper end
    of the metric's interval there reaches the floor. A floor under ``gates.floors`` asks for more.
    """

    name = "threshold_floor"
    position = 20
    keys = ThresholdFloorKeys
    in_every_digest = True
    examples = (
        (
            "`decision: {floor: {precision: 0.9}}`",
            (
                "no threshold reaches the floor with confidence out of fold, or the holdout "
                "refutes it"
            ),
        ),
    )

    def measure(self, asked: ThresholdFloorKeys, subject: ModelOnHoldout) -> FloorOnHoldout | None:
        """Return the floor with its metric on the holdout; None without a floor."""
        floor = subject.floor
        return None if floor is None else FloorOnHoldout(floor, subject.metrics[floor.metric])

    def judge(
        self, asked: ThresholdFloorKeys, evidence: Evidence, measured: FloorOnHoldout | None
    ) -> Iterator[GateResult]:
        """Yield one result if the threshold has a floor."""
        if measured is not None:
            yield judge_floor(measured)


def judge_floor(measured: FloorOnHoldout) -> GateResult:
    """Return whether a threshold keeps its floor."""
    floor, holdout = measured.floor, measured.holdout
    return GateResult(
        name=f"threshold with enough {floor.metric}",
        passed=floor.reached and holdout.high >= floor.required,
        found=f"{floor.value:.4f} out of fold, with confidence {floor.low:.4f}; {holdout} on "
        "the holdout",
        required=f"at least {floor.required} with confidence, not refuted on the holdout",
    )


GATE = ThresholdFloorGate()
