"""Power: what a comparison could have shown, and what follows where it shows nothing."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.metrics.evaluation.bootstrap import Interval

# How often a gain of the size that is named would be found.
POWER = 0.8
# A comparison that could not have found so large a part of all that is left to gain says nothing.
_TELLING = 0.5


def provable(interval: Interval, confidence: float) -> float:
    """Return the least true difference that a comparison like this one proves in most cases.

    Parameters
    ----------
    interval : Interval
        Of the difference that was found.
    confidence : float
        Of the interval.

    Returns
    -------
    float
        A difference of this size is proved in about four of five such comparisons.
    """
    normal = NormalDist()
    half = (interval.high - interval.low) / 2
    return half * (1 + normal.inv_cdf(POWER) / normal.inv_cdf((1 + confidence) / 2))


def conclusion(gain: Interval, confidence: float, left_to_gain: float) -> str:
    """Return what a gain that is not proved means: it is worse, equal, or nobody can tell.

    Parameters
    ----------
    gain : Interval
        The gain that was found.
    confidence : float
        Of the interval.
    left_to_gain : float
        By how much the best possible model would be better than Production.
    """
    if gain.high < 0:
        return "worse"
    if provable(gain, confidence) > _TELLING * left_to_gain:
        return "too few documents to say"
    return f"equal within {max(gain.high, -gain.low):.2g}"
