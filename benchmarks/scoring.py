"""Scoring: the compiled predictor against scikit-learn's own ``predict_proba``.

python -m benchmarks.scoring

Candidates of `problems/sentiment.yaml` are fitted on the 25,000 IMDb reviews. Both sides then go
from the same raw texts to probabilities: one short review per call (a snippet of Rotten Tomatoes),
one long review per call (of IMDb, the longest quarter), and 100 or 1000 reviews of IMDb per call.
Every call has other reviews, as in a service: one text again and again would stay in the caches of
the processor.

*Warm* is a predictor that saw the words before; *cold* is one that forgets all words before each
text. The pipeline remembers words too, and is warm throughout. Each ratio is the smallest of the
candidates.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.pipeline import Pipeline

from benchmarks.common import interleave, medians, parser, read_reviews, write_json
from perennial.config.loader import load_problem
from perennial.inference.compiled_text import CompiledTextPredictor
from perennial.inference.compiling import compile_text_predictor
from perennial.registry.artifact import TOLERANCE
from perennial.settings import PROJECT
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer

CANDIDATES = ("bow-logistic", "bow-bayes", "tfidf-logistic", "bigrams-logistic")
PIPELINE, WARM, COLD = "pipeline", "warm", "cold"
# The keys of the ratios, and what is asked for each of them.
RATIOS = {
    "ratio": ("one short", WARM),
    "ratio_cold": ("one short", COLD),
    "ratio_long": ("one long", WARM),
    "ratio_long_cold": ("one long", COLD),
    "ratio_batch": ("100 at once", WARM),
    "ratio_batch_1000": ("1000 at once", WARM),
}


@dataclass(frozen=True)
class Load:
    """Texts, and how many of them are asked for in one call."""

    texts: list[str]
    per_call: int

    @property
    def calls(self) -> list[list[str]]:
        """The texts of each call."""
        starts = range(0, len(self.texts), self.per_call)
        return [self.texts[start : start + self.per_call] for start in starts]


def read_loads() -> dict[str, Load]:
    """Return what is asked, by name."""
    from tasks.data.seed import read_file, reviews_file

    snippets = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    reviews = read_reviews()["text"].to_pylist()
    longest = sorted(reviews, key=len)[-len(reviews) // 4 :]
    return {
        "one short": Load(snippets["text"][::20].to_pylist(), 1),
        "one long": Load(longest[::30], 1),
        "100 at once": Load(reviews[::12][:2_000], 100),
        "1000 at once": Load(reviews[::12][:2_000], 1_000),
    }


def fit(name: str) -> Pipeline:
    """Return a candidate of the problem, fitted on all reviews."""
    problem = load_problem(PROJECT / "problems" / "sentiment.yaml")
    candidate = problem.candidates[name]
    reviews = read_reviews()
    labels = np.array(problem.classes, object)[reviews["label"].to_numpy().astype(np.int64)]
    model = assemble(
        build_normalizer(problem, candidate),
        build_counter(candidate.features),
        build_classifier(problem, name),
    )
    return model.fit(reviews["text"].combine_chunks(), labels)


def compile_again(model: Pipeline) -> CompiledTextPredictor:
    """Return a new predictor of a model that certainly compiles."""
    predictor = compile_text_predictor(model)
    assert isinstance(predictor, CompiledTextPredictor)
    return predictor


def per_text(ask: Callable[[Sequence[str]], object], load: Load) -> float:
    """Return microseconds per text."""
    calls = load.calls
    start = time.perf_counter()
    for texts in calls:
        ask(texts)
    return (time.perf_counter() - start) / len(load.texts) * 1e6


def per_cold_text(predictor: CompiledTextPredictor, load: Load) -> float:
    """Return microseconds per text where the predictor forgets all words before each call."""
    seconds = 0.0
    for texts in load.calls:
        predictor.forget()
        start = time.perf_counter()
        predictor.probabilities(texts)
        seconds += time.perf_counter() - start
    return seconds / len(load.texts) * 1e6


def measure(model: Pipeline, loads: dict[str, Load], rounds: int) -> dict[str, dict[str, float]]:
    """Return the median microseconds per text of each side, for each load."""
    predictor = compile_again(model)
    forgetful = compile_again(model)
    for load in loads.values():
        predictor.probabilities(load.texts)
    measured: dict[str, dict[str, float]] = {}
    for name, load in loads.items():
        ways: dict[str, Callable[[], float]] = {
            PIPELINE: partial(per_text, model.predict_proba, load),
            WARM: partial(per_text, predictor.probabilities, load),
        }
        if load.per_call == 1:
            ways[COLD] = partial(per_cold_text, forgetful, load)
        results = interleave(rounds, ways)
        by_round = [
            dict(zip(results, row, strict=True)) for row in zip(*results.values(), strict=True)
        ]
        measured[name] = medians(by_round)
    return measured


def largest_difference(model: Pipeline) -> float:
    """Return how far the two sides are apart on all reviews at most."""
    texts = read_reviews()["text"]
    ours = compile_again(model).probabilities(texts.to_pylist())
    return float(np.abs(ours - model.predict_proba(texts)).max())


def figures_of(
    measured: dict[str, dict[str, dict[str, float]]], differences: dict[str, float], rounds: int
) -> dict[str, Any]:
    """Return what is written as JSON."""
    ratios = {
        key: min(of[load][PIPELINE] / of[load][way] for of in measured.values())
        for key, (load, way) in RATIOS.items()
    }
    return {
        **ratios,
        "microseconds_per_text": measured,
        "largest_difference": differences,
        "rounds": rounds,
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures."""
    table = Table(
        title=f"Microseconds per text, median of {figures['rounds']} rounds", title_justify="left"
    )
    for name in ("candidate", "reviews", PIPELINE, WARM, "x", COLD, "x"):
        table.add_column(name, justify="left" if name in {"candidate", "reviews"} else "right")
    for candidate, loads in figures["microseconds_per_text"].items():
        for load, of in loads.items():
            row = [f"{of[PIPELINE]:.1f}"]
            for way in (WARM, COLD):
                shown = way in of
                row += [f"{of[way]:.1f}" if shown else ""]
                row += [f"{of[PIPELINE] / of[way]:.1f}" if shown else ""]
            table.add_row(candidate, load, *row)
    largest = max(figures["largest_difference"].values())
    Console().print(
        table, f"On all reviews the probabilities of both differ by {largest:.1g} at most."
    )


def main() -> None:
    """Measure, compare, and exit with 1 if the two sides do not answer alike."""
    options = parser(__doc__).parse_args()
    loads = read_loads()
    measured: dict[str, dict[str, dict[str, float]]] = {}
    differences: dict[str, float] = {}
    for name in CANDIDATES:
        model = fit(name)
        differences[name] = largest_difference(model)
        measured[name] = measure(model, loads, options.rounds)
    figures = figures_of(measured, differences, options.rounds)
    write_json(options.json, figures)
    show(figures)
    if not max(differences.values()) <= TOLERANCE:
        sys.exit("The two sides do not answer alike; the ratios mean nothing.")


if __name__ == "__main__":
    main()
