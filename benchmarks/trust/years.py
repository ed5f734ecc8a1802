"""Years of daily retrainings on one growing holdout, with and without a confirmation.

A model of quality q is right about document i if ``mu(q) + difficulty_i + noise_i > 0``: documents
are easy or hard for all models, and two fits of the same quality differ on about 7.7% of them, as
two fits of a real candidate do. The holdout begins with so many documents and grows daily; so do
the documents that have arrived since, five times as fast. Every day one challenger is compared with
Production by the test of `perennial.metrics.evaluation.proportions`, as the gate *better* does,
and confirmed by the rules of the gate *confirmation*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest

from perennial.gates.confirmation import LEAST_FRESH, Confirm, confidence_again
from perennial.metrics import Interval
from perennial.metrics.evaluation.proportions import mid_p_value
from perennial.promotion.selection import optimism

DAYS, CHANGE = 365, 180
QUALITY = 0.88
# Two fits differ on 7.7% of the documents.
SPREAD = 2.75
CONFIDENCE = 0.95
HALF_A_POINT = 0.005
# Of the documents that arrive, so many are not in the holdout for each one that is.
OTHERS = 4
SOON = 7

Right = NDArray[np.bool_]
Qualities = Callable[[np.random.Generator], NDArray[np.float64]]


@dataclass(frozen=True)
class Story:
    """What the challengers of a year are truly like.

    Attributes
    ----------
    name : str
        How the table names it.
    holdout, daily : int
        Documents of the holdout at first, and how many more there are each day.
    qualities : callable
        Draws the true quality of each day's challenger.
    """

    name: str
    holdout: int
    daily: int
    qualities: Qualities


@dataclass
class Year:
    """What has happened in a year."""

    found_after: int | None = None
    promotions: int = 0
    quality: float = QUALITY
    figure: float = QUALITY
    corrected: float = QUALITY


@dataclass(frozen=True, eq=False)
class Side:
    """A model of a year, with what it is right about: the holdout, and the other arrivals."""

    quality: float
    right: Right
    others: Right


@dataclass(frozen=True)
class Claim:
    """What the holdout said of a promoted version on its day, and what of that may be chance."""

    day: int = 0
    value: float | None = None
    optimism: float = 0.0

    @classmethod
    def of(cls, day: int, one: Right, other: Right, asked: float) -> Claim:
        """Return the claim of a version that was promoted over another one."""
        differences = one.astype(np.int8) - other
        error = float(differences.std() / np.sqrt(len(differences)))
        value, half = float(differences.mean()), float(ndtri((1 + CONFIDENCE) / 2)) * error
        gain = Interval(value, value - half, value + half)
        return cls(day, float(one.mean()), optimism(gain, CONFIDENCE, asked))


@dataclass(frozen=True)
class Waiting:
    """Whether the last challenger has passed, and which was the first that did, on which day."""

    passed: bool = False
    first: tuple[int, Side] | None = None


def _same(quality: float) -> Qualities:
    return lambda _: np.full(DAYS, quality)


def _spread(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(QUALITY, HALF_A_POINT, DAYS)


def _better(gain: float) -> Qualities:
    return lambda _: np.where(np.arange(DAYS) < CHANGE, QUALITY, QUALITY + gain)


def stories() -> Iterator[Story]:
    """Yield every kind of year, with a large and with a small holdout."""
    for prefix, holdout, daily in (("", 1_000, 3), ("small holdout, ", 300, 1)):
        yield Story(f"{prefix}equal", holdout, daily, _same(QUALITY))
        yield Story(f"{prefix}spread by 0.5", holdout, daily, _spread)
        yield Story(f"{prefix}all worse by 0.5", holdout, daily, _same(QUALITY - HALF_A_POINT))
        yield Story(f"{prefix}+1 from day 180", holdout, daily, _better(0.01))
        yield Story(f"{prefix}+2 from day 180", holdout, daily, _better(0.02))


@cache
def is_proved(wins: int, losses: int, confidence: float) -> bool:
    """Return whether a gain in accuracy is proved, in which other documents have no say."""
    return mid_p_value(wins, losses) < (1 - confidence) / 2


def is_better(one: Right, other: Right, confidence: float = CONFIDENCE) -> bool:
    """Return whether a gain is proved on some documents."""
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    # One standard error is never a proof, and most comparisons end here.
    return wins - losses > np.sqrt(wins + losses) and is_proved(wins, losses, confidence)


def simulate(story: Story, confirm: Confirm, rng: np.random.Generator) -> Year:
    """Return what a year of retrainings comes to."""
    size = story.holdout + story.daily * DAYS
    fresh = confirm == "fresh"
    difficulty = rng.normal(0, SPREAD, size + fresh * story.daily * DAYS * OTHERS)

    @cache
    def rates(quality: float) -> NDArray[np.float32]:
        """Return how often a fit of this quality is right about each document."""
        mu = ndtri(quality) * np.sqrt(1 + SPREAD**2)
        found: NDArray[np.float32] = ndtr(mu + difficulty).astype(np.float32)
        return found

    def side(quality: float) -> Side:
        right = rng.random(len(difficulty), np.float32) < rates(quality)
        return Side(quality, right[:size], right[size:])

    year, production, waiting, claim = Year(), side(QUALITY), Waiting(), Claim()
    asked = confidence_again(CONFIDENCE) if confirm == "next" else CONFIDENCE
    for day, quality in enumerate(story.qualities(rng).tolist()):
        holdout = story.holdout + story.daily * day
        challenger = side(quality)
        both = challenger.right[:holdout], production.right[:holdout]
        passes = is_better(*both)
        surely = confirm != "next" or is_better(*both, asked)
        if passes and surely and _is_confirmed(story, confirm, day, waiting, production):
            production, waiting = challenger, Waiting()
            claim = Claim.of(day, *both, asked)
            year.promotions += 1
            if quality > QUALITY and year.found_after is None:
                year.found_after = day - CHANGE
        else:
            first = waiting.first
            if passes and first is None:
                first = (day, challenger)
            waiting = Waiting(passes, first)
    year.quality, year.figure = production.quality, float(production.right.mean())
    year.corrected = _corrected(story, production, claim)
    return year


def _corrected(story: Story, production: Side, claim: Claim) -> float:
    """Return Production's figure by the documents since its promotion, or its corrected claim."""
    since = production.right[story.holdout + story.daily * claim.day :]
    if claim.value is None or len(since) >= LEAST_FRESH:
        return float(since.mean())
    return claim.value - claim.optimism


def _is_confirmed(
    story: Story, confirm: Confirm, day: int, waiting: Waiting, production: Side
) -> bool:
    if confirm == "next":
        return waiting.passed
    if confirm == "none":
        return True
    return waiting.first is not None and _is_better_since(story, day, waiting.first, production)


def _is_better_since(story: Story, day: int, first: tuple[int, Side], production: Side) -> bool:
    """Return whether the first that passed is better on what has arrived since."""
    then, model = first
    held = slice(story.holdout + story.daily * then, story.holdout + story.daily * day)
    rest = slice(story.daily * OTHERS * then, story.daily * OTHERS * day)
    one = np.concatenate([model.right[held], model.others[rest]])
    other = np.concatenate([production.right[held], production.others[rest]])
    return len(one) >= LEAST_FRESH and is_better(one, other)


def measure(years: int, seed: int) -> list[dict[str, Any]]:
    """Simulate all years; return a row for each kind of year and of confirmation."""
    rows = []
    kinds = [(story, confirm) for story in stories() for confirm in get_args(Confirm)]
    for story, confirm in track(kinds, "Years"):
        rng = np.random.default_rng(seed)
        found = [simulate(story, confirm, rng) for _ in range(years)]
        rows.append(_row(story, confirm, found))
    return rows


def _row(story: Story, confirm: Confirm, years: list[Year]) -> dict[str, Any]:
    # A promotion of what is worse by half a point is worse by half a point.
    worse = sum(year.quality <= QUALITY - HALF_A_POINT + 1e-9 for year in years)
    upper = binomtest(worse, len(years)).proportion_ci(CONFIDENCE, method="exact").high
    too_high = [year.figure - year.quality for year in years]
    off = [year.corrected - year.quality for year in years]
    days = [year.found_after for year in years if year.found_after is not None]
    return {
        "challengers": story.name,
        "confirm": confirm,
        "worse": worse / len(years),
        "worse_high": float(upper),
        "promotions": float(np.mean([year.promotions for year in years])),
        "figure_mean": float(np.mean(too_high)),
        "figure_p95": float(np.quantile(too_high, 0.95)),
        "corrected_mean": float(np.mean(off)),
        "corrected_error": float(np.std(off) / np.sqrt(len(off))),
        "found": len(days) / len(years),
        "found_soon": sum(day < SOON for day in days) / len(years),
        "years": len(years),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the years."""
    table = Table(title="A year of daily retrainings on one growing holdout", title_justify="left")
    for heading in (
        "challengers",
        "confirm",
        "Production worse by 0.5 or more (95% upper end)",
        "promotions a year",
        "figure too high, mean / p95, points",
        "corrected figure too high, mean (error), points",
        "found",
        f"within {SOON} days",
    ):
        table.add_column(heading)
    for row in rows:
        better = "day 180" in row["challengers"]
        table.add_row(
            row["challengers"],
            row["confirm"],
            f"{row['worse']:.1%} ({row['worse_high']:.1%})",
            f"{row['promotions']:.2f}",
            f"{row['figure_mean'] * 100:.2f} / {row['figure_p95'] * 100:.2f}",
            f"{row['corrected_mean'] * 100:.2f} ({row['corrected_error'] * 100:.2f})",
            f"{row['found']:.1%}" if better else "-",
            f"{row['found_soon']:.1%}" if better else "-",
        )
    Console(width=150).print(table)
