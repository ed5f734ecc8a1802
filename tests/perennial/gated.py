"""Problems with gates, and verdicts on models made for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from perennial.config.gates import Gates
from perennial.config.problem import Problem
from perennial.metrics import Predictions
from perennial.promotion.slices import Slice
from perennial.promotion.verdict import Approval, Evidence, Verdict, decide

# 700 documents, of which 200 are short.
SHORT = Slice("short", np.arange(700) < 200)
LONG = Slice("long", np.arange(700) >= 200)


def asking(problem: Problem, **gates: Any) -> Problem:
    return problem.model_copy(update={"gates": Gates.model_validate(gates)})


def verdict(
    problem: Problem,
    challenger: Predictions,
    production: Predictions | None = None,
    evidence: Evidence | None = None,
    approval: Approval | None = None,
) -> Verdict:
    return decide(
        problem,
        challenger=(8, challenger),
        production=None if production is None else (7, production),
        evidence=evidence or Evidence(),
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
