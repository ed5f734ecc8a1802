"""Poison: a new source whose labels are all wrong is kept out, and named.

Production has learned from 3,500 short film reviews. Then 5,000 arrive from another source, each
with the opposite label, and the challenger learns from all of them; the holdout has a fifth of
both, so that most of it is wrong. The verdict is that of
`perennial.promotion.verdict.reach_verdict` with the gates that a problem has by default.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.trust.real_year import PROBLEM, reviews
from perennial.config.problem import Problem
from perennial.gates.catalogue import find_gates
from perennial.gates.sources import GATE as SOURCES
from perennial.gates.sources import Sources
from perennial.metrics import Predictions
from perennial.promotion.verdict import reach_verdict
from perennial.training.pipelines import build_classifier, build_counter, build_normalizer

CLEAN, FLIPPED = 3_500, 5_000
_HOLDOUT = 5
_NAMES = ("archive", "partner")


def measure(seed: int) -> dict[str, Any]:
    """Return the outcome, every gate that kept the challenger out, and what is said of sources."""
    problem = Problem.model_validate({"name": "snippets", **PROBLEM})
    rows, others = reviews()
    rows = [*rows, *others.to_pylist()]
    order = np.random.default_rng(seed).permutation(len(rows))[: CLEAN + FLIPPED]
    texts = pa.array([rows[place]["text"] for place in order], pa.large_string())
    names = np.repeat(_NAMES, (CLEAN, FLIPPED))
    truth = np.array([int(rows[place]["label"]) for place in order]) ^ (names == _NAMES[1])
    held = np.arange(CLEAN + FLIPPED) % _HOLDOUT == 0
    learned = (names == _NAMES[0], names != "")
    production, challenger = (_fit(problem, texts, truth, held, part & ~held) for part in learned)
    verdict = reach_verdict(
        problem,
        challenger=(2, challenger),
        production=(1, production),
        measured={SOURCES.name: Sources(names[held])},
        gates=[gate for gate in find_gates() if gate.looks_at == "predictions"],
    )
    return {
        "outcome": verdict.outcome,
        "failed": [gate.name for gate in verdict.failed],
        "gates": {gate.name: gate.found for gate in verdict.gates},
    }


def _fit(
    problem: Problem,
    texts: pa.Array,
    truth: NDArray[np.int64],
    held: NDArray[np.bool_],
    learned: NDArray[np.bool_],
) -> Predictions:
    (name,) = problem.candidates
    candidate = problem.candidates[name]
    tokens: Any = build_normalizer(problem, candidate).transform(texts)
    counter = build_counter(candidate.features)
    counter.fit(tokens.take(np.flatnonzero(learned)))
    matrix = counter.transform(tokens)
    model = build_classifier(problem, name).fit(matrix[learned], truth[learned])
    probabilities = model.predict_proba(matrix[held])
    return Predictions(problem.classes, truth[held], probabilities.argmax(axis=1), probabilities)


def show(found: dict[str, Any]) -> None:
    """Print the verdict and its gates."""
    lines = (f"- {name}: {said}" for name, said in found["gates"].items())
    Console().print(f"{FLIPPED:,} of {CLEAN + FLIPPED:,} flipped: {found['outcome']}", *lines)
    Console().print(f"kept by: {', '.join(found['failed']) or 'nothing'}")
