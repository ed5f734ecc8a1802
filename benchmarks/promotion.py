"""Promotions: how often a retraining promotes what is equal, better or worse.

python -m benchmarks.promotion

Thousands of simulated retrainings, each decided by `perennial.promotion.verdict.reach_verdict` with
the gates of
`problems/sentiment.yaml` that depend on a holdout of 5,000 film reviews: floors, the gain over
Production, and slices. (What a model says about behavioural cases, and how large and quick it is,
does not change from one draw to the next.) Nothing in them is drawn from a
formula: the population is the 25,000 IMDb reviews with real predictions about each of them.

*Predictions.* One candidate of the problem is fitted several times, each time on another bootstrap
sample of four fifths of the reviews, and predicts the last fifth; after five turns there is a
prediction of every fit about every review, none of them learned from. Such fits make mostly the
same errors, as the versions of a retrained model do. In the same way a weak model is fitted on few
reviews only.

*Equal quality (A/A).* A retraining draws two different fits and 5,000 reviews, with replacement. A
coin per review says which fit speaks for the challenger and which for Production: over the
population the two are equally good, exactly, and differ on as many reviews as two fits do.

*A true gain of d points.* As above, but Production answers some of the reviews, chosen by chance,
as the weak model does: just so many that the challenger's accuracy over the population is better by
d. *A true loss* is the same with the two exchanged.

The rates are those of a single retraining. Who retrains daily looks every day: at a rate of 2.5 of
100, one of 40 challengers that are exactly as good as Production takes over, and does no harm, for
it is as good. What must stay rare is that a worse one takes over, which is measured, too. All these
retrainings see holdouts of their own; in production consecutive ones share most of the documents,
so that their verdicts agree more often than here, while the rate of each stays the same.

`--rounds` says how many retrainings have a challenger of equal quality; a quarter as many are made
for each gain and for the loss.

`--part` names what is measured: single `looks` as above, which is the default; `years` of daily
looks at one growing holdout, with and without a confirmation (`benchmarks.trust.years`); the
`coverage` of intervals (`benchmarks.trust.coverage`); the `ratchet` of challengers that are each a
little worse (`benchmarks.trust.ratchet`); the cost of `thresholds` tuned on few positives
(`benchmarks.trust.thresholds`); the end of `canaries` that must not be worse
(`benchmarks.trust.canaries`); a `real-year` of flows on real snippets
(`benchmarks.trust.real_year`). Only single looks, thresholds and the real year need film reviews.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest

from benchmarks.common import parser, read_reviews, write_json
from benchmarks.trust import canaries, coverage, ratchet, real_year, thresholds, years
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.gates.catalogue import find_gates
from perennial.gates.slices import LENGTH, SOURCE, slices_of
from perennial.metrics import Predictions
from perennial.promotion.verdict import reach_verdict
from perennial.settings import PROJECT
from perennial.training.pipelines import build_classifier, build_counter, build_normalizer

HOLDOUT = 5_000
FOLDS = 5
# Fits of the candidate; a retraining draws two of them.
FITS = 4
# Documents that the weak model learns from.
FEW = 1_000
# By how much accuracy a challenger is truly better, or worse.
GAINS = {
    "harm_half_point": -0.005,
    "power_half_point": 0.005,
    "power_1_point": 0.01,
    "power_2_points": 0.02,
}
# Retrainings with a challenger of equal quality, and into how many fewer for each other quality.
ROUNDS = 4_000
FEWER = 4
CONFIDENCE = 0.95
# Intervals of so many samples each tell their coverage to about three points.
FEWER_FOR_COVERAGE = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Population:
    """Every review with its label and with what real models say about it.

    Attributes
    ----------
    classes : tuple of str
        The labels.
    truth : ndarray of int64, shape (n_reviews,)
        Position in `classes` of each review's label.
    good : ndarray of float64, shape (n_fits, n_reviews, n_classes)
        Probabilities of each fit of the candidate.
    weak : ndarray of float64, shape (n_reviews, n_classes)
        Probabilities of the weak model.
    traits : Table of n_reviews rows
        What slices are made of.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    good: Floats
    weak: Floats
    traits: pa.Table

    def accuracy(self, probabilities: Floats) -> float:
        """Return the accuracy of predictions about the whole population."""
        return float((probabilities.argmax(axis=1) == self.truth).mean())

    def predictions(self, rows: NDArray[np.int64], probabilities: Floats) -> Predictions:
        """Return the probabilities for some reviews as a version's predictions."""
        return Predictions(
            self.classes, self.truth[rows], probabilities.argmax(axis=1), probabilities
        )


@dataclass(frozen=True)
class Rate:
    """How many of some retrainings promoted, with the exact (Clopper-Pearson) interval."""

    promoted: int
    trials: int

    @property
    def share(self) -> float:
        """The share of the retrainings that promoted."""
        return self.promoted / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the share at 95 %."""
        found = binomtest(self.promoted, self.trials).proportion_ci(CONFIDENCE, method="exact")
        return float(found.low), float(found.high)


def populate(problem: Problem, name: str, documents: int | None, seed: int) -> Population:
    """Fit real models on the film reviews and let them predict what they have not seen."""
    reviews = read_reviews()
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(reviews))[:documents]
    texts = reviews["text"].combine_chunks().take(chosen)
    stored = list(problem.labels.values())
    truth = np.array([stored.index(label) for label in reviews["label"].take(chosen).to_pylist()])
    tokens: Any = build_normalizer(problem, problem.candidates[name]).transform(texts)
    # Which words there are is learned from all reviews, what they mean from the training part.
    matrix = build_counter(problem.candidates[name].features).fit_transform(tokens)
    fold = np.arange(len(truth)) % FOLDS
    good = np.empty((FITS, len(truth), len(stored)))
    weak = np.empty((len(truth), len(stored)))

    def fit(training: NDArray[np.int64], unseen: NDArray[np.int64]) -> Floats:
        model = build_classifier(problem, name).fit(matrix[training], truth[training])
        probabilities: Floats = model.predict_proba(matrix[unseen])
        return probabilities

    for turn in track(range(FOLDS), "Fitting real models on the reviews"):
        training, unseen = np.flatnonzero(fold != turn), np.flatnonzero(fold == turn)
        for number in range(FITS):
            good[number, unseen] = fit(rng.choice(training, len(training)), unseen)
        weak[unseen] = fit(rng.choice(training, min(FEW, len(training) // 4)), unseen)
    lengths = pc.utf8_length(texts).cast(pa.int64())
    traits = pa.table({LENGTH: lengths, SOURCE: reviews["source"].take(chosen)})
    return Population(problem.classes, truth, good, weak, traits)


def weak_share(population: Population, gain: float) -> float:
    """Return the share of reviews for which the weak model has to speak to lose `gain`.

    Raises
    ------
    ValueError
        If even the weak model alone is not worse by so much.
    """
    good = np.mean([population.accuracy(fit) for fit in population.good])
    share = gain / (float(good) - population.accuracy(population.weak))
    if not 0 <= share <= 1:
        raise ValueError(f"the weak model is not worse than the others by {gain * 100:g} points")
    return share


def simulate(
    problem: Problem, population: Population, gain: float, trials: int, rng: np.random.Generator
) -> Rate:
    """Decide about challengers whose true accuracy is `gain` above Production's, or below."""
    share, asked = weak_share(population, abs(gain)), problem.gates.slices
    versions, gates = count(1), [gate for gate in find_gates() if gate.looks_at == "predictions"]
    promoted = 0
    for _ in track(range(trials), f"Retraining, true gain {gain * 100:+g} points"):
        rows = rng.integers(0, len(population.truth), HOLDOUT)
        better, worse = draw(population, rows, share, rng)
        challenger, production = (better, worse) if gain >= 0 else (worse, better)
        slices = slices_of(asked, population.traits.take(pa.array(rows))) if asked else ()
        verdict = reach_verdict(
            problem,
            challenger=(next(versions), population.predictions(rows, challenger)),
            production=(next(versions), population.predictions(rows, production)),
            measured={"slices": slices},
            gates=gates,
        )
        promoted += verdict.outcome == "promoted"
    return Rate(promoted, trials)


def draw(
    population: Population, rows: NDArray[np.int64], share: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return two versions' probabilities for reviews; the weak model has a share in the second."""
    one, other = rng.choice(len(population.good), 2, replace=False)
    coin = rng.random((len(rows), 1)) < 1 / 2
    first, second = population.good[one, rows], population.good[other, rows]
    is_weak = rng.random((len(rows), 1)) < share
    return (
        np.where(coin, first, second),
        np.where(is_weak, population.weak[rows], np.where(coin, second, first)),
    )


def measure(problem: Problem, population: Population, rounds: int, seed: int) -> dict[str, float]:
    """Simulate all retrainings and return what is written as JSON."""
    rng = np.random.default_rng(seed)
    some = max(1, rounds // FEWER)
    equal = simulate(problem, population, 0.0, rounds, rng)
    others = {name: simulate(problem, population, gain, some, rng) for name, gain in GAINS.items()}
    good = [population.accuracy(fit) for fit in population.good]
    first, second = (fit.argmax(axis=1) for fit in population.good[:2])
    return {
        "aa_rate": equal.share,
        **ends("aa", equal),
        **{name: rate.share for name, rate in others.items()},
        **{key: end for name, rate in others.items() for key, end in ends(name, rate).items()},
        "trials_aa": rounds,
        "trials_power": some,
        "holdout": HOLDOUT,
        "reviews": len(population.truth),
        "accuracy_good": float(np.mean(good)),
        "accuracy_weak": population.accuracy(population.weak),
        "disagreement": float((first != second).mean()),
    }


def ends(name: str, rate: Rate) -> dict[str, float]:
    """Return the ends of a rate's interval, by their keys."""
    low, high = rate.interval
    return {f"{name}_low": low, f"{name}_high": high}


def show(figures: Mapping[str, float]) -> None:
    """Print the rates with their intervals."""
    table = Table(
        title=f"Promotions per retraining, {HOLDOUT:,} holdout documents", title_justify="left"
    )
    for heading in ("the challenger is truly", "promoted", "95% interval", "retrainings"):
        table.add_column(heading, justify="left" if heading.startswith("the") else "right")
    rows = [
        ("worse by 0.5 points", "harm_half_point", "harm_half_point", "trials_power"),
        ("equal (A/A)", "aa_rate", "aa", "trials_aa"),
        ("better by 0.5 points", "power_half_point", "power_half_point", "trials_power"),
        ("better by 1 point", "power_1_point", "power_1_point", "trials_power"),
        ("better by 2 points", "power_2_points", "power_2_points", "trials_power"),
    ]
    for what, rate, prefix, trials in rows:
        low, high = figures[f"{prefix}_low"], figures[f"{prefix}_high"]
        table.add_row(
            what, f"{figures[rate]:.1%}", f"{low:.1%} to {high:.1%}", f"{figures[trials]:,.0f}"
        )
    Console().print(
        table,
        f"Fits of the candidate are right about {figures['accuracy_good']:.1%} of the reviews, the "
        f"weak model about {figures['accuracy_weak']:.1%}; two fits disagree on "
        f"{figures['disagreement']:.1%}.",
    )


def measure_years(_: Problem, options: Namespace) -> dict[str, Any]:
    """Simulate years of promotions and print them."""
    rows = years.measure(options.years, options.seed)
    years.show(rows)
    return {"years": rows}


def measure_coverage(_: Problem, options: Namespace) -> dict[str, Any]:
    """Measure how often intervals hold the truth and print it."""
    rounds = max(1, options.rounds // FEWER_FOR_COVERAGE)
    rows = coverage.measure(rounds, options.seed)
    slices = coverage.measure_slices(rounds, options.seed)
    coverage.show(rows, slices)
    return {"coverage": rows, "slices": slices}


def measure_ratchet(problem: Problem, options: Namespace) -> dict[str, Any]:
    """Let a year of slightly worse challengers pass and print what is lost."""
    rows = ratchet.measure(problem, options.seed)
    ratchet.show(rows)
    return {"ratchet": rows}


def measure_thresholds(problem: Problem, options: Namespace) -> dict[str, Any]:
    """Tune thresholds on few positives and print what they cost on fresh documents."""
    rows = thresholds.measure(problem, options.seed)
    thresholds.show(rows)
    return {"thresholds": rows}


def measure_canaries(problem: Problem, options: Namespace) -> dict[str, Any]:
    """Roll out versions that are worse, and equal ones, and print how that ends."""
    rows = canaries.measure(problem, options.seed)
    canaries.show(rows)
    return {"canaries": rows}


def measure_real_year(_: Problem, options: Namespace) -> dict[str, Any]:
    """Let real snippets arrive for a year, and print what each promotion was truly worth."""
    days = real_year.measure(options.folder, fast=options.fast)
    real_year.show(days)
    return {"days": days}


PARTS: Mapping[str, Callable[[Problem, Namespace], dict[str, Any]]] = {
    "years": measure_years,
    "coverage": measure_coverage,
    "ratchet": measure_ratchet,
    "thresholds": measure_thresholds,
    "canaries": measure_canaries,
    "real-year": measure_real_year,
}


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__, rounds=ROUNDS)
    arguments.add_argument("--candidate", help="of problems/sentiment.yaml; default: its baseline")
    arguments.add_argument("--documents", type=int, help="how many reviews; default: all")
    arguments.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    arguments.add_argument("--part", choices=["looks", *PARTS], default="looks")
    arguments.add_argument("--years", type=int, default=200, help="of each kind; default: 200")
    arguments.add_argument("--fast", action="store_true", help="60 days of the real year")
    arguments.add_argument("--folder", type=Path, help="where the real year is kept, to go on")
    options = arguments.parse_args()
    problem = load_problem(PROJECT / "problems" / "sentiment.yaml")
    if options.part != "looks":
        write_json(options.json, PARTS[options.part](problem, options))
        return
    candidate = options.candidate or problem.baseline or list(problem.candidates)[-1]
    population = populate(problem, candidate, options.documents, options.seed)
    figures = measure(problem, population, options.rounds, options.seed)
    write_json(options.json, {"candidate": candidate, **figures})
    show(figures)


if __name__ == "__main__":
    main()
