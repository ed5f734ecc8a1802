"""Problems with gates, and verdicts on models made for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.approval import Approval
from perennial.gates.slices import Slice
from perennial.metrics import MetricName, Predictions
from perennial.promotion.verdict import Verdict, reach_verdict
from tests.perennial.examples import right_at

# 700 documents, of which 200 are short.
SHORT = Slice("short", np.arange(700) < 200)
LONG = Slice("long", np.arange(700) >= 200)
# 600 documents.
GOOD = right_at(0.95, documents=600, seed=1)
FAIR = right_at(0.85, documents=600, seed=2)


def asking(problem: Problem, **gates: Any) -> Problem:
    """Return the problem with these gates alone; what asks by itself is turned off."""
    gates = {"first_version": None} | gates
    return problem.model_copy(update={"gates": Gates.model_validate(gates)})


def verdict(
    problem: Problem,
    challenger: Predictions,
    production: Predictions | None = None,
    measured: Mapping[str, Any] | None = None,
    approval: Approval | None = None,
) -> Verdict:
    return reach_verdict(
        problem,
        challenger=(8, challenger),
        production=None if production is None else (7, production),
        measured=measured,
        approval=approval,
    )


def right_in(documents: int, *shares: tuple[Slice, float]) -> Predictions:
    """Return predictions that are right about exactly this share of the documents of slices."""
    truth = np.arange(documents) % 2
    right = np.zeros(documents, np.bool_)
    for part, share in shares:
        rows = np.flatnonzero(part.rows)
        right[rows[: round(share * len(rows))]] = True
    predicted = np.where(right, truth, 1 - truth)
    return Predictions(("negative", "positive"), truth, predicted, np.eye(2)[predicted])


PRODUCTION = right_in(700, (SHORT, 0.9), (LONG, 0.8))
WORSE_ON_SHORT = right_in(700, (SHORT, 0.8), (LONG, 0.95))


def named(found: Verdict, name: str) -> Any:
    (gate,) = (gate for gate in found.gates if gate.name == name)
    return gate


def gated(problem: Problem, metric: MetricName = "accuracy", **floors: float) -> Problem:
    return problem.model_copy(
        update={"metric": metric, "gates": Gates(floors=floors, first_version=None)}
    )
