"""Confidence sequences: intervals that hold at every look, however often one looks.

An ordinary interval covers the truth with, say, 95 % at one look; looked at again and again, it
misses sooner or later. Those here miss at *any* of all looks, without end, with probability `alpha`
at most (Ville's inequality). What is inverted is a mixture likelihood ratio: the likelihood of the
data, averaged over a Jeffreys prior, against the likelihood under the value in question.

- One proportion: Robbins (1970), Statistical methods related to the law of the iterated logarithm;
  in this form Howard, Ramdas, McAuliffe and Sekhon (2021), Time-uniform, nonparametric,
  nonasymptotic confidence sequences.
- The difference of two: the evidence of independent samples multiplies, and the rate that is not
  asked for is minimised out, as by Turner, Ly and Grünwald (2024), Generic E-variables for exact
  sequential k-sample tests.
- A quantile is a proportion of the values below it: Howard and Ramdas (2022), Sequential estimation
  of quantiles.

Nothing is approximated: they hold for the smallest samples and for proportions near 0 and 1, where
the mixture test for two normal means that A/B platforms use (Johari, Koomen, Pekelis and Walsh,
2017, Peeking at A/B tests) does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perennial.metrics import Interval

# Range of values of a histogram: above the first number, up to the second.
Bucket = tuple[float, float]

_JEFFREYS = 0.5
# Rates that differ by less are the same.
_TOLERANCE = 1e-15


@dataclass(frozen=True)
class Tally:
    """Number of hits among a number of trials; a trial may be a hit in part."""

    hits: float
    total: int

    @property
    def rate(self) -> float:
        """Share of hits; NaN without any trial."""
        return self.hits / self.total if self.total else math.nan

    @property
    def misses(self) -> float:
        """Number of trials without a hit."""
        return self.total - self.hits


def log_evidence(tally: Tally, rate: ArrayLike) -> NDArray[np.float64]:
    """Return the logarithm of the evidence against rates, given all trials so far.

    Were the true rate this one, the evidence would exceed ``1 / alpha`` at any look ever with
    probability `alpha` at most.
    """
    from scipy.special import betaln, xlog1py, xlogy

    rate = np.asarray(rate, np.float64)
    mixture = betaln(_JEFFREYS + tally.hits, _JEFFREYS + tally.misses) - betaln(
        _JEFFREYS, _JEFFREYS
    )
    with np.errstate(divide="ignore"):
        likelihood = xlogy(tally.hits, rate) + xlog1py(tally.misses, -rate)
    evidence: NDArray[np.float64] = mixture - likelihood
    return evidence


def log_evidence_of_difference(one: Tally, other: Tally, difference: float) -> float:
    """Return the logarithm of the evidence against a difference of rates, ``one - other``.

    It is that against the least doubtful pair of rates with this difference.
    """
    low, high = max(0.0, -difference), min(1.0, 1.0 - difference)

    def slope(rate: float) -> float:
        return _slope(other, rate) + _slope(one, rate + difference)

    rate = _root(slope, low, high)
    shifted = min(1.0, max(0.0, rate + difference))
    return float(log_evidence(other, rate) + log_evidence(one, shifted))


def difference_interval(one: Tally, other: Tally, alpha: float) -> Interval:
    """Return the difference of two rates, ``one - other``, with an interval that always holds.

    Parameters
    ----------
    one, other : Tally
        Two independent samples; each may grow at any speed.
    alpha : float
        The probability that the interval misses the truth at any of all looks.

    Returns
    -------
    Interval
        From -1 to 1, and without a value, while one of the samples is empty.
    """
    if not (one.total and other.total):
        return Interval(math.nan, -1.0, 1.0)
    value, limit = one.rate - other.rate, math.log(1 / alpha)

    def excess(difference: float) -> float:
        return log_evidence_of_difference(one, other, difference) - limit

    # The evidence is convex in the difference, and least at what was observed.
    return Interval(value, -_root(lambda d: excess(-d), -value, 1.0), _root(excess, value, 1.0))


def proportion_interval(tally: Tally, alpha: float) -> Interval:
    """Return a rate with an interval that always holds.

    It holds for trials that are hits in part, too: the evidence of such a trial is at most the mean
    of that of a hit and of a miss.

    Parameters
    ----------
    tally : Tally
        The trials so far.
    alpha : float
        The probability that the interval misses the truth at any of all looks.

    Returns
    -------
    Interval
        From 0 to 1, and without a value, without any trial.
    """
    if not tally.total:
        return Interval(math.nan, 0.0, 1.0)
    limit = math.log(1 / alpha)

    def excess(rate: float) -> float:
        return float(log_evidence(tally, rate)) - limit

    # The evidence is convex in the rate, and least at what was observed.
    low = -_root(lambda rate: excess(-rate), -tally.rate, 0.0)
    return Interval(tally.rate, low, _root(excess, tally.rate, 1.0))


def quantile_interval(counts: Mapping[Bucket, int], level: float, alpha: float) -> Interval:
    """Return a quantile of the values of a histogram, with an interval that always holds.

    Parameters
    ----------
    counts : mapping of Bucket to int
        Histogram of the values. The ends of the interval are ends of buckets; the value is the
        upper end of its bucket.
    level : float
        Level of the quantile; 0.5 is the median.
    alpha : float
        The probability that the interval misses the truth at any of all looks.

    Returns
    -------
    Interval
        The upper end is infinite while the sample is too small to bound it.
    """
    total, limit = sum(counts.values()), math.log(1 / alpha)
    value, low, below = math.nan, 0.0, 0

    def is_sure(tally: Tally) -> bool:
        return float(log_evidence(tally, level)) >= limit

    for (start, end), count in sorted(counts.items()):
        before, below = Tally(below, total), below + count
        after = Tally(below, total)
        if before.rate < level and is_sure(before):
            low = start
        if math.isnan(value) and after.rate >= level:
            value = end
        if after.rate > level and is_sure(after):
            return Interval(value, low, end)
    return Interval(value, low, math.inf)


def _slope(tally: Tally, rate: float) -> float:
    """Return the slope of the evidence against a rate."""
    rising = tally.misses / (1 - rate) if rate < 1 else math.inf if tally.misses else 0.0
    falling = tally.hits / rate if rate > 0 else math.inf if tally.hits else 0.0
    if math.isinf(rising) and math.isinf(falling):
        return 0.0
    return rising - falling


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where an increasing function becomes positive; an end if it does not in between."""
    from scipy.optimize import bisect

    if low == high or function(low) > 0:
        return low
    if function(high) <= 0:
        return high
    return float(bisect(function, low, high, xtol=_TOLERANCE))
