"""The ratchet: a year of challengers that are each a little worse than the Production of their day.

Each is decided by `perennial.promotion.verdict.reach_verdict` with ``not_worse``, on the same 5,000
documents; every challenger answers 2% of them otherwise than Production, and is truly worse by 0.1
points. The anchor is what the gate *better* makes of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from perennial.config.problem import Problem
from perennial.config.sections.gates import Gates
from perennial.gates.base import Anchor
from perennial.gates.better import GATE, Freshness
from perennial.metrics import Predictions
from perennial.promotion.verdict import reach_verdict

DAYS, DOCUMENTS = 365, 5_000
QUALITY, LOSS, DIFFERENT = 0.9, 0.001, 0.02
BUDGET = 0.005
MARGINS = (0.001, 0.002, 0.005)


def measure(problem: Problem, seed: int) -> list[dict[str, Any]]:
    """Return what a year comes to, for each margin."""
    return [_year(problem, margin, np.random.default_rng(seed)) for margin in MARGINS]


def _year(problem: Problem, margin: float, rng: np.random.Generator) -> dict[str, Any]:
    gates = Gates.model_validate(
        {"not_worse": {"margin": margin, "budget": BUDGET}, "first_version": None}
    )
    asked = problem.model_copy(update={"gates": gates, "metric": "accuracy"})
    truth = rng.integers(0, 2, DOCUMENTS)
    best = production = rng.random(DOCUMENTS) < QUALITY
    quality, promotions = QUALITY, 0
    for day in track(range(DAYS), f"not_worse: {{margin: {margin:g}}}"):
        challenger = _worse(production, quality, rng)
        told = [_answers(truth, right) for right in (challenger, production, best)]
        anchor = Anchor(1, promotions, told[0], told[2]) if promotions else None
        verdict = reach_verdict(
            asked,
            challenger=(day + 2, told[0]),
            production=(day + 1, told[1]),
            measured={GATE.name: Freshness(newer=True, anchor=anchor)},
            gates=[GATE],
        )
        if verdict.outcome == "promoted":
            production, quality, promotions = challenger, quality - LOSS, promotions + 1
    return {"margin": margin, "promotions": promotions, "lost": QUALITY - quality}


def _worse(
    production: NDArray[np.bool_], quality: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return what a challenger is right about that is truly worse by 0.1 points."""
    loses = (DIFFERENT + LOSS) / 2 / quality
    gains = (DIFFERENT - LOSS) / 2 / (1 - quality)
    changed = rng.random(len(production)) < np.where(production, loses, gains)
    return production ^ changed


def _answers(truth: NDArray[np.int64], right: NDArray[np.bool_]) -> Predictions:
    predicted = np.where(right, truth, 1 - truth)
    return Predictions(("negative", "positive"), truth, predicted, np.eye(2)[predicted])


def show(rows: list[dict[str, Any]]) -> None:
    """Print what each margin has lost."""
    table = Table(
        title=f"{DAYS} challengers, each worse by {LOSS * 100:g} points than the Production of its "
        "day",
        title_justify="left",
    )
    for heading in (f"not_worse: margin, of {BUDGET:g}", "promotions", "points lost"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(f"{row['margin']:g}", f"{row['promotions']:,}", f"{row['lost'] * 100:.1f}")
    Console().print(table)
