"""Thresholds of rare labels: what tuned ones cost on documents that nobody has seen.

1,200 film reviews, of which 36 are positive, and a missed positive is 20 times as dear as a false
alarm. The threshold is chosen by `perennial.training.threshold_tuning.tune`; beside it stand that
of theory on the same probabilities, the one that is cheapest out of fold, and the answer that is
always the same. All are judged on 3,000 further reviews with the same share of positives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.pipeline import Pipeline

from benchmarks.common import read_reviews
from perennial.config.problem import Problem
from perennial.config.sections.decision import DecisionConfig
from perennial.thresholds.threshold import best_weights, decide, theory_weights
from perennial.training.pipelines import build_classifier, build_counter, build_normalizer
from perennial.training.threshold_tuning import TuningResult, tune, with_decision

DOCUMENTS, POSITIVES = 1_200, 36
FRESH = 3_000
SEEDS = 12
DEARER = 20
# By how much the threshold may be dearer than that of theory.
MARGIN = 0.005

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def measure(problem: Problem, seed: int, seeds: int = SEEDS) -> list[dict[str, float]]:
    """Return a row for each seed: what every threshold costs per fresh document."""
    negative, positive = problem.classes
    costly = DecisionConfig(costs={negative: 1.0, positive: float(DEARER)})
    problem = problem.model_copy(update={"decision": costly, "metric": "cost"})
    name = problem.baseline or list(problem.candidates)[-1]
    reviews = read_reviews()
    stored = list(problem.labels.values())
    truth = np.array([stored.index(label) for label in reviews["label"].to_pylist()])
    tokens: Any = build_normalizer(problem, problem.candidates[name]).transform(
        reviews["text"].combine_chunks()
    )
    matrix = build_counter(problem.candidates[name].features).fit_transform(tokens)
    rows = []
    for number in track(range(seeds), "Thresholds"):
        rng = np.random.default_rng(seed + number)
        known, fresh = _draw(truth, rng)
        model = build_classifier(problem, name)
        rows.append(
            _row(
                problem, costly, model, (matrix[known], truth[known]), (matrix[fresh], truth[fresh])
            )
        )
    return rows


def _draw(truth: Codes, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Return documents to learn from and fresh ones, with the same share of positives."""
    negatives, positives = (rng.permutation(np.flatnonzero(truth == label)) for label in (0, 1))
    of_fresh = FRESH * POSITIVES // DOCUMENTS
    cut = DOCUMENTS - POSITIVES
    known = np.concatenate([negatives[:cut], positives[:POSITIVES]])
    fresh = np.concatenate(
        [negatives[cut : cut + FRESH - of_fresh], positives[POSITIVES : POSITIVES + of_fresh]]
    )
    return known, fresh


def _row(
    problem: Problem,
    goal: DecisionConfig,
    classifier: Pipeline,
    known: tuple[Any, Codes],
    fresh: tuple[Any, Codes],
) -> dict[str, float]:
    names = np.array(problem.classes)
    matrix, labels = known[0], names[known[1]]
    tuned = tune(problem, goal, classifier, matrix, labels)
    model = with_decision(classifier.fit(matrix, labels), tuned)
    probabilities = model.predict_proba(fresh[0])[:, np.argsort(np.argsort(names))]
    costs = problem.costs
    assert costs is not None

    def cost(weights: tuple[float, ...] | None) -> Floats:
        given = decide(probabilities, None if weights is None else np.array(weights))
        each: Floats = costs[fresh[1], given]
        return each

    found = tuned.out_of_fold
    cheapest, _ = best_weights(
        goal, costs, found.truth, found.probabilities, problem.gates.confidence
    )
    chosen = cost(tuned.weights)
    return {
        "chosen": float(chosen.mean()),
        "theory": float(cost(theory_weights(costs)).mean()),
        "cheapest_out_of_fold": float(cost(cheapest).mean()),
        "constant": float(min(costs[fresh[1], label].mean() for label in (0, 1))),
        "reported": _reported(tuned, costs),
        "reported_error": _standard_error(tuned, costs),
        "is_theory": float(tuned.weights == theory_weights(costs)),
    }


def _reported(tuned: TuningResult, costs: Floats) -> float:
    found = tuned.cross_fitted
    return float(costs[found.truth, found.predicted].mean())


def _standard_error(tuned: TuningResult, costs: Floats) -> float:
    found = tuned.cross_fitted
    each = costs[found.truth, found.predicted]
    return float(each.std() / np.sqrt(len(each)))


def show(rows: list[dict[str, float]]) -> None:
    """Print the mean cost of each threshold over the seeds."""
    table = Table(
        title=f"Cost per fresh document, {POSITIVES} of {DOCUMENTS:,} positive, 1:{DEARER}",
        title_justify="left",
    )
    for heading in ("threshold", "mean cost", "least", "most"):
        table.add_column(heading, justify="left" if heading == "threshold" else "right")
    for key, what in (
        ("chosen", "chosen"),
        ("theory", "theory, on the same probabilities"),
        ("cheapest_out_of_fold", "cheapest out of fold"),
        ("constant", "one label for all"),
        ("reported", "chosen, as reported out of fold"),
    ):
        values = [row[key] for row in rows]
        table.add_row(
            what, *(f"{value:.4f}" for value in (np.mean(values), min(values), max(values)))
        )
    error = float(np.mean([row["reported_error"] for row in rows]))
    chosen = sum(row["is_theory"] for row in rows)
    Console().print(
        table,
        f"The threshold of theory was chosen {chosen:.0f} times of {len(rows)}; the reported cost "
        f"has a standard error of {error:.4f}.",
    )
