"""A threshold must keep its floor out of fold, and the holdout must not refute it."""

from __future__ import annotations

from typing import Any

import pytest

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.base import ModelOnHoldout
from perennial.gates.catalogue import measure
from perennial.gates.threshold_floor import FloorOnHoldout
from perennial.metrics import Interval
from perennial.thresholds.threshold import FloorFound
from tests.perennial.gates.gated import PRODUCTION, asking, verdict

KEPT = FloorFound("precision", 0.6, 0.65, 0.61)
MISSED = FloorFound("precision", 0.6, 0.65, 0.59)


@pytest.mark.parametrize(
    ("floor", "holdout", "outcome"),
    [
        (KEPT, Interval(0.59, 0.58, 0.61), "promoted"),
        (KEPT, Interval(0.59, 0.58, 0.6), "promoted"),
        (KEPT, Interval(0.55, 0.51, 0.59), "kept"),
        (MISSED, Interval(0.9, 0.8, 1.0), "kept"),
    ],
    ids=["not refuted", "just not refuted", "refuted", "not reached"],
)
def test_a_floor_holds_where_it_was_reached_and_is_not_refuted(
    floor: FloorFound, holdout: Interval, outcome: str, problem: Problem
) -> None:
    measured = {"threshold_floor": FloorOnHoldout(floor, holdout)}

    assert verdict(asking(problem), PRODUCTION, None, measured).outcome == outcome


def test_the_floor_and_its_metric_on_the_holdout_are_in_the_reason(problem: Problem) -> None:
    measured = {"threshold_floor": FloorOnHoldout(MISSED, Interval(0.9, 0.8, 1.0))}

    found = verdict(asking(problem), PRODUCTION, None, measured)

    assert found.reason == (
        "threshold with enough precision: 0.6500 out of fold, with confidence 0.5900; "
        "0.9000 [0.8000, 1.0000] on the holdout, required at least 0.6 with confidence, "
        "not refuted on the holdout"
    )


def test_the_metric_of_the_floor_is_taken_from_the_holdout() -> None:
    metrics: Any = {"precision": Interval(0.9, 0.8, 1.0), "recall": Interval(0.1, 0.0, 0.2)}
    untouched: Any = None
    subject = ModelOnHoldout(untouched, untouched, untouched, untouched, metrics, KEPT)

    (found,) = measure(Gates(), subject).values()

    assert (found.floor, found.holdout) == (KEPT, metrics["precision"])
