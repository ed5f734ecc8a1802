"""Classification without a service, by processes that hold the model: what a service costs."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from benchmarks.service.load import Measured
from perennial.registry.client import open_registry
from perennial.settings import Settings

# Of the services that are compared with it.
WORKERS = 2
BATCH = 100
SNIPPETS, REVIEWS = "snippets", "reviews"
# The parts of the package that texts come from, and how many of them are sent over and over.
SOURCES = {SNIPPETS: "rotten_tomatoes", REVIEWS: "imdb"}
TEXTS = 2_000
Way = Literal["model", "predictor"]


@dataclass(frozen=True)
class Alone:
    """Processes that classify texts without a service.

    Attributes
    ----------
    kind : str
        Of the texts.
    processes : int
        How many work at once.
    way : {"predictor", "model"}
        What they call: the service's predictor, or the model's own ``predict_proba``.
    """

    kind: str
    processes: int
    way: Way = "predictor"

    @property
    def name(self) -> str:
        """What the figures call it."""
        number = "one process" if self.processes == 1 else f"{self.processes} processes"
        return f"{self.way}, {self.kind}, {number}"


ALL = (
    Alone(SNIPPETS, 1, "model"),
    *(Alone(kind, number) for kind in SOURCES for number in (1, WORKERS)),
)


def read_texts() -> dict[str, list[str]]:
    """Return texts by their kind."""
    from tasks.data.seed import read_file, reviews_file

    found = {}
    for kind, source in SOURCES.items():
        rows = read_file(reviews_file(), text="text", label="label", source=source)
        found[kind] = rows["text"].to_pylist()[:TEXTS]
    return found


def batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Return the texts in order, so many at a time."""
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def measure(
    settings: Settings, problem: str, texts: list[str], seconds: float, alone: Alone
) -> Measured:
    """Let the Production model classify texts without a service; a request is a call for some."""
    context = multiprocessing.get_context("spawn")
    work = partial(_score_for, settings, problem, texts, seconds, alone.way)
    with context.Pool(alone.processes) as pool:
        started = [pool.apply_async(work) for _ in range(alone.processes)]
        calls = [np.array(result.get()) for result in started]
    p50, p99 = np.percentile(np.concatenate(calls), [50, 99]) * 1000
    return Measured(sum(1 / each.mean() for each in calls), float(p50), float(p99))


def _score_for(
    settings: Settings, problem: str, texts: list[str], seconds: float, way: Way
) -> list[float]:
    """Return the seconds that each call took."""
    from perennial.inference.predictor import build_predictor

    registry = open_registry(settings)
    production = registry.require_production(problem)
    model = registry.load(production)
    score: Callable[[Sequence[str]], Any] = model.predict_proba
    if way == "predictor":
        score = build_predictor(model, texts[:BATCH]).probabilities
    requests = batches(texts, BATCH)
    for request in requests:
        score(request)
    calls: list[float] = []
    begin = last = time.perf_counter()
    while last - begin < seconds:
        score(requests[len(calls) % len(requests)])
        now = time.perf_counter()
        calls.append(now - last)
        last = now
    return calls
