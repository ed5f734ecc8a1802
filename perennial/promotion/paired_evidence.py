"""Paired evidence: how much less often a canary is right, on texts that both versions have scored.

Two versions of a problem give most inputs the same label, and where they agree neither can be the
worse one. So their difference is the share of inputs on which they disagree, which needs no labels,
times how often Production is the one that is right there, for which few labels suffice. That uses
all inputs for the first and every label for the second, as prediction-powered inference does
(Angelopoulos et al., Prediction-powered inference, Science 2023); both parts have intervals that
hold at every look.

Requests with the same key are alike: each key counts once, by its newest request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perennial.metrics import Interval
from perennial.promotion.confidence_sequences import Tally, proportion_interval

_PARTS = 2
# By so many standard errors an equal canary looks worse in one of five rollouts at most.
_FOUR_OF_FIVE = 0.842
# More labels would be needed for ever.
_MOST_LABELS = 1_000_000


@dataclass(frozen=True)
class Paired:
    """What two versions have said of the same inputs.

    Attributes
    ----------
    inputs : int
        Number of inputs that both have scored.
    disagreements : int
        On how many of them they give different labels.
    labelled : int
        Of how many of these the truth is known.
    lost, won : int
        On how many of these only Production, or only the canary, is right.
    """

    inputs: int = 0
    disagreements: int = 0
    labelled: int = 0
    lost: int = 0
    won: int = 0

    @property
    def fall(self) -> float:
        """By how much less often the canary is right, as far as it is known; 0 without labels."""
        if not (self.inputs and self.labelled):
            return 0.0
        return self.disagreements / self.inputs * (self.lost - self.won) / self.labelled


def fall_interval(paired: Paired, alpha: float) -> Interval:
    """Return by how much less often a canary is right, with an interval that always holds.

    Parameters
    ----------
    paired : Paired
        What both versions have said.
    alpha : float
        The probability that the interval misses the truth at any of all looks.
    """
    differ = proportion_interval(Tally(paired.disagreements, paired.inputs), alpha / _PARTS)
    # Where both are wrong, neither is: that is half a loss and half a win.
    ties = paired.labelled - paired.lost - paired.won
    worse = proportion_interval(Tally(paired.lost + ties / 2, paired.labelled), alpha / _PARTS)
    return Interval(
        paired.fall, _times(2 * worse.low - 1, differ), -_times(1 - 2 * worse.high, differ)
    )


def _times(factor: float, share: Interval) -> float:
    """Return the least product of a factor and a share."""
    return factor * (share.low if factor >= 0 else share.high)


def labels_needed(share: float, must_see: float, alpha: float) -> int:
    """Return on how many disagreements a truth is needed to exclude a fall of an equal canary.

    Four of five equal canaries need no more.

    Parameters
    ----------
    share : float
        Share of the inputs on which the versions disagree.
    must_see : float
        The fall in accuracy.
    alpha : float
        The probability that the interval misses the truth at any of all looks.
    """
    if share <= must_see:
        return 0
    low, high = 1, _MOST_LABELS
    while low < high:
        middle = (low + high) // 2
        unlucky = min(middle, middle / 2 + _FOUR_OF_FIVE * math.sqrt(middle) / 2)
        likely = proportion_interval(Tally(unlucky, middle), alpha / _PARTS)
        if share * (2 * likely.high - 1) < must_see:
            high = middle
        else:
            low = middle + 1
    return low
