"""Canaries: a fall of five points that must be seen is found or refused, and never passes.

Two versions are each right about so many of the requests and differ on a tenth of them. A rollout
first foresees from the holdout's predictions and the daily feedback whether it could exclude the
fall (`tasks.rollout.paired.foresee`); one that starts is judged daily on what both versions say
of the same inputs (`perennial.promotion.paired_evidence`), by the rules of
`perennial.promotion.canary_analysis`.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from perennial.config.problem import Problem
from perennial.config.sections.rollout import Rollout
from perennial.metrics import Predictions
from perennial.promotion.canary_analysis import RequestCounts, choose_outcome, compute_checks
from perennial.promotion.confidence_sequences import Tally
from perennial.promotion.paired_evidence import Paired
from tasks.rollout.paired import foresee

ROLLOUTS = 40
FALLS = (0.05, 0.0)
LABELS_A_DAY = (2, 20, 100, 500)
REQUESTS_A_DAY = 2_000
HOLDOUT = 1_000
MUST_SEE = 0.05
_QUALITY, _DIFFER = 0.9, 0.1
_DAY = timedelta(days=1)

Labels = NDArray[np.int64]


def measure(problem: Problem, seed: int, rollouts: int = ROLLOUTS) -> list[dict[str, Any]]:
    """Return a row for each fall and number of labels: how so many rollouts end."""
    rollout = Rollout.model_validate(
        {
            "mode": "canary",
            "steps": [0.5],
            "must_see": MUST_SEE,
            "at_most": "P14D",
            "max_time": "P14D",
            "step_time": "PT0S",
        }
    )
    problem = problem.model_copy(update={"rollout": rollout})
    rows = []
    for fall in FALLS:
        for labels in LABELS_A_DAY:
            rng = np.random.default_rng(seed)
            ends = Counter(_roll_out(problem, fall, labels, rng) for _ in range(rollouts))
            rows.append({"fall": fall, "labels_a_day": labels, "rollouts": rollouts, **ends})
    return rows


def _roll_out(problem: Problem, fall: float, labels: int, rng: np.random.Generator) -> str:
    """Return how a rollout ends: refused, promoted or taken back."""
    new, old = (_predictions(problem, *each) for each in _say(HOLDOUT, 0.0, rng))
    seen = foresee(problem, new, old, labels)
    if seen is not None and not seen.passed:
        return "refused"
    rollout, total, agreed, known = problem.rollout, Paired(), [0, 0], [0, 0]
    for day in range(1, rollout.max_time // _DAY + 2):
        (truth, canary), (_, production) = _say(REQUESTS_A_DAY, fall, rng)
        told = rng.permutation(REQUESTS_A_DAY) < labels
        half = rng.random(REQUESTS_A_DAY) < 1 / 2
        total = _add(total, truth, canary, production, told)
        for arm, (given, chosen) in enumerate(((canary, half), (production, ~half))):
            known[arm] += int((told & chosen).sum())
            agreed[arm] += int((told & chosen & (given == truth)).sum())
        first, second = (
            RequestCounts(0, {"all": day * REQUESTS_A_DAY // 2}, Tally(right, of))
            for right, of in zip(agreed, known, strict=True)
        )
        checks = compute_checks(rollout, first, second, paired=total)
        outcome, _ = choose_outcome(rollout, 0, first, checks, day * _DAY)
        if outcome == "promote":
            return "promoted"
        if outcome == "take back":
            return "taken back"
    return "taken back"


def _say(
    inputs: int, fall: float, rng: np.random.Generator
) -> tuple[tuple[Labels, Labels], tuple[Labels, Labels]]:
    """Return truth and labels of canary and Production, which differ on a tenth of the inputs."""
    truth = rng.integers(0, 2, inputs)
    draw = rng.random(inputs)
    lost, won = (_DIFFER + fall) / 2, (_DIFFER - fall) / 2
    both = draw < _QUALITY - lost
    only_production = (draw >= _QUALITY - lost) & (draw < _QUALITY)
    only_canary = (draw >= _QUALITY) & (draw < _QUALITY + won)
    canary = np.where(both | only_canary, truth, 1 - truth)
    production = np.where(both | only_production, truth, 1 - truth)
    return (truth, canary), (truth, production)


def _add(total: Paired, truth: Labels, canary: Labels, production: Labels, told: Any) -> Paired:
    differ = canary != production
    known = differ & told
    return Paired(
        total.inputs + len(truth),
        total.disagreements + int(differ.sum()),
        total.labelled + int(known.sum()),
        total.lost + int((known & (production == truth)).sum()),
        total.won + int((known & (canary == truth)).sum()),
    )


def _predictions(problem: Problem, truth: Labels, given: Labels) -> Predictions:
    return Predictions(problem.classes, truth, given, np.eye(2)[given])


def show(rows: list[dict[str, Any]]) -> None:
    """Print how the rollouts ended."""
    table = Table(
        title=f"Canaries that must not be worse by {MUST_SEE * 100:g} points", title_justify="left"
    )
    for heading in ("truly worse by", "labels a day", "refused", "taken back", "promoted"):
        table.add_column(heading, justify="right")
    for row in rows:
        ends = (f"{row.get(end, 0)}" for end in ("refused", "taken back", "promoted"))
        table.add_row(f"{row['fall'] * 100:g} points", f"{row['labels_a_day']:,}", *ends)
    Console().print(table, f"{rows[0]['rollouts']} rollouts of each kind.")
