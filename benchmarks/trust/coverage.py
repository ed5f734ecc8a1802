"""Coverage: how often intervals hold the truth, and how often equal models fail on some slice.

Documents of two classes have normally distributed scores, and a logistic model says how probable
the positive class is; a second model is as good and mostly right about the same documents. Of
200,000 such documents every metric is known; samples of them have intervals by
`perennial.metrics.intervals` and `perennial.metrics.difference`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import expit, logit

from perennial.gates.base import Evidence
from perennial.gates.slices import Slice, Slices, compare_slices
from perennial.metrics import MetricName, Predictions, compute, difference, intervals, metrics_of

DOCUMENTS = (50, 100, 300, 1_000)
SHARES = (0.03, 0.5)
CONFIDENCE = 0.95
# What errors cost, so that the cost is there: a missed positive is 20 times as dear.
COSTS = ((0.0, 1.0), (20.0, 0.0))
PAIRED: tuple[MetricName, ...] = ("accuracy", "balanced_accuracy", "recall", "f1", "cost", "brier")
_POPULATION, _DISTANCE, _ALIKE = 200_000, 2.0, 0.9
SLICES, OF_A_SLICE = 100, 100
# Two equal models are right about so many, and differ on about 14 of 100 documents.
_RIGHT = 0.9


@dataclass(frozen=True, eq=False)
class World:
    """Documents with what two equally good models say about them."""

    one: Predictions
    other: Predictions

    def sample(self, documents: int, rng: np.random.Generator) -> tuple[Predictions, Predictions]:
        """Return what the two say about some documents."""
        rows = rng.integers(0, len(self.one), documents)
        return _take(self.one, rows), _take(self.other, rows)


def _take(p: Predictions, rows: NDArray[np.int64]) -> Predictions:
    return Predictions(p.classes, p.truth[rows], p.predicted[rows], p.probabilities[rows], p.costs)


def make_world(share: float, rng: np.random.Generator) -> World:
    """Return documents of which a share is positive."""
    truth = (rng.random(_POPULATION) < share).astype(np.int64)
    common = rng.normal(size=_POPULATION)

    def model() -> Predictions:
        noise = _ALIKE * common + np.sqrt(1 - _ALIKE**2) * rng.normal(size=_POPULATION)
        score = _DISTANCE * (truth - 0.5) + noise
        positive = expit(logit(share) + _DISTANCE * score)
        # Where positives are rare, one is expected from a lower probability.
        predicted = (positive > min(0.5, 5 * share)).astype(np.int64)
        probabilities = np.stack([1 - positive, positive], axis=1)
        return Predictions(("no", "yes"), truth, predicted, probabilities, np.array(COSTS))

    return World(model(), model())


def measure(rounds: int, seed: int) -> list[dict[str, Any]]:
    """Return a row for each share of positives and number of documents."""
    kinds = [(share, documents) for share in SHARES for documents in DOCUMENTS]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        rows = [pool.submit(measure_kind, *kind, rounds, seed) for kind in kinds]
        return [row.result() for row in track(rows, "Intervals")]


def measure_kind(share: float, documents: int, rounds: int, seed: int) -> dict[str, Any]:
    """Return how often intervals hold the truth, of so many documents with a share of positives."""
    rng = np.random.default_rng(seed)
    world = make_world(share, rng)
    samples = [world.sample(documents, rng) for _ in range(rounds)]
    covered = dict(_single(world, samples, seed)) | dict(_paired(world, samples, seed))
    return {"positive": share, "documents": documents, "rounds": rounds, **covered}


def _single(
    world: World, samples: list[tuple[Predictions, Predictions]], seed: int
) -> Iterator[tuple[str, float]]:
    truth = {name: compute(name, world.one) for name in metrics_of(world.one)}
    found = [intervals(one, confidence=CONFIDENCE, seed=seed) for one, _ in samples]
    for name, value in truth.items():
        yield name, float(np.mean([each[name].low <= value <= each[name].high for each in found]))


def _paired(
    world: World, samples: list[tuple[Predictions, Predictions]], seed: int
) -> Iterator[tuple[str, float]]:
    for name in PAIRED:
        truth = difference(name, world.one, world.other, confidence=CONFIDENCE, seed=seed).value
        gains = [difference(name, *each, confidence=CONFIDENCE, seed=seed) for each in samples]
        held = [gain.low <= truth <= gain.high for gain in gains]
        yield f"gain in {name}", float(np.mean(held))


def measure_slices(rounds: int, seed: int) -> float:
    """Return how often some of a hundred slices of equal models is proved to be worse."""
    rng, size = np.random.default_rng(seed), SLICES * OF_A_SLICE
    parts = [Slice(f"{part}", np.arange(size) % SLICES == part) for part in range(SLICES)]
    # A margin has to be more than 0: the least there is.
    asked = Slices(margin=1e-9, min_documents=1)
    alarms = 0
    for _ in track(range(rounds), f"{SLICES} slices of equal models"):
        truth = rng.integers(0, 2, size)
        one, other = (_right(truth, rng.random(size) < _RIGHT) for _ in range(2))
        gains = compare_slices(asked, parts, Evidence("accuracy", CONFIDENCE, seed, one), other)
        alarms += any(each.gain is not None and each.gain.high < 0 for each in gains)
    return alarms / rounds


def _right(truth: NDArray[np.int64], right: NDArray[np.bool_]) -> Predictions:
    predicted = np.where(right, truth, 1 - truth)
    return Predictions(("no", "yes"), truth, predicted, np.eye(2)[predicted])


def show(rows: list[dict[str, Any]], slices: float) -> None:
    """Print the coverage of each metric."""
    table = Table(title=f"Coverage of {CONFIDENCE:.0%} intervals", title_justify="left")
    table.add_column("metric")
    for row in rows:
        table.add_column(f"{row['positive']:.0%} of {row['documents']:,}", justify="right")
    for name in list(rows[0])[3:]:
        table.add_row(name, *(f"{row[name]:.1%}" for row in rows))
    Console(width=150).print(
        table, f"Some of {SLICES} slices of equal models is proved to be worse in {slices:.1%}."
    )
