"""Intervals of proportions that cover: of one, and of the difference of two on the same documents.

The bootstrap knows nothing about what it has not seen. Where all of 100 documents are right, every
resample is, and its interval is [1, 1]; near 1 it covers the truth far too seldom. The intervals
here are exact, or nearly so, down to a handful of documents.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.metrics.evaluation.predictions import Floats

# Points at which the share of documents that tell two models apart is looked at.
_POINTS = 64
_HALVINGS = 40
_LEAST = 1e-300


def proportion_interval(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return the exact interval of a proportion (Clopper and Pearson, Biometrika 26, 1934).

    Parameters
    ----------
    hits, trials : int
        So many of so many; of none at all nothing is known, and the interval is [0, 1].
    confidence : float
        The interval covers the truth at least so often.
    """
    from scipy.special import betaincinv

    tail, misses = (1 - confidence) / 2, trials - hits
    low = float(betaincinv(hits, misses + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, misses, 1 - tail)) if misses else 1.0
    return low, high


@lru_cache(maxsize=4096)
def paired_interval(
    wins: int, losses: int, documents: int, confidence: float
) -> tuple[float, float]:
    """Return the interval of the difference of two proportions on the same documents.

    The difference is the share of documents that tell the two models apart, times how much more
    often they speak for the first one. Each of the two has a confidence distribution of its own,
    the mid-p one of a binomial; they are melded (Fay and Lumbard, Confidence Intervals for
    Difference in Proportions for Matched Pairs Compatible with Exact McNemar's or Sign Tests,
    Statistics in Medicine 40, 2021), so that the interval is above 0 exactly when McNemar's mid-p
    test (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13, 2013) rejects.

    Parameters
    ----------
    wins, losses : int
        How many documents only the first model, or only the second one, is right about.
    documents : int
        How many documents there are in all.
    confidence : float
        The interval covers the truth about so often.
    """
    import numpy as np

    tail = (1 - confidence) / 2
    different = wins + losses
    if not documents:
        return -1.0, 1.0
    levels = (np.arange(_POINTS) + 0.5) / _POINTS
    # The two distributions between which the mid-p one lies, half of each.
    shares = np.concatenate(
        [
            _quantiles(different, documents - different + 1, levels),
            _quantiles(different + 1, documents - different, levels),
        ]
    )

    def below(differences: Floats) -> Floats:
        """Return how sure it is that the difference is less than each of some values."""
        wanted = differences[:, None]
        rates = (1 + wanted / np.maximum(shares, _LEAST)) / 2
        sure = _distribution(wins, losses + 1, rates) + _distribution(wins + 1, losses, rates)
        # Where nothing tells the models apart there is no difference.
        sure = np.where(shares > 0, sure / 2, wanted >= 0)
        found: Floats = sure.mean(axis=1)
        return found

    low, high = np.array([-1.0, -1.0]), np.array([1.0, 1.0])
    wanted = np.array([tail, 1 - tail])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_below = below(middle) < wanted
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return _settled(float(low[0]), float(high[0])), _settled(float(low[1]), float(high[1]))


def mid_p_value(wins: int, losses: int) -> float:
    """Return how likely two equally good models are told apart so clearly (McNemar's mid-p test).

    Of `paired_interval` the lower end is above 0 exactly when this is less than the tail below it.
    """
    from scipy.special import betainc

    return float(betainc(wins + 1, losses + 1, 0.5))


def _settled(low: float, high: float) -> float:
    """Return the end of an interval between two bounds: 0 if it lies between them."""
    return 0.0 if low <= 0 <= high else (low + high) / 2


def _distribution(a: int, b: int, rates: Floats) -> Floats:
    """Return the distribution function of a beta distribution, also of one at an end."""
    import numpy as np
    from scipy.special import betainc

    if not a:
        found: Floats = (rates >= 0).astype(np.float64)
    elif not b:
        found = (rates >= 1).astype(np.float64)
    else:
        found = betainc(a, b, np.clip(rates, 0, 1))
    return found


def _quantiles(a: int, b: int, levels: Floats) -> Floats:
    import numpy as np
    from scipy.special import betaincinv

    if not a:
        return np.zeros_like(levels)
    if not b:
        return np.ones_like(levels)
    found: Floats = betaincinv(a, b, levels)
    return found
