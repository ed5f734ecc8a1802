"""Selection: by how much a figure may be too high because a version was chosen for it.

Who is promoted for its gain on a holdout was better there than it is, on average: the winner's
curse. The gain is corrected by conditional likelihood: of all true gains, the one under which the
gain that was found is most likely, given that it had to lie above the limit of the gate (Zhong and
Prentice, Bias-reduced estimators and confidence intervals for odds ratios in genome-wide
association studies, Biostatistics 2008). Versions of one problem err alike, so that half of the
chance in a gain is good luck of the challenger, and the other half bad luck of Production.
"""

from __future__ import annotations

from statistics import NormalDist

from perennial.metrics import Interval

_STANDARD = NormalDist()
_OF_THE_CHALLENGER = 0.5
# Bisections: the corrected gain is known to a millionth of the one that was found.
_HALVINGS = 20
# Beyond it a limit is as good as never reached by chance, and its logarithm would be lost.
_FARTHEST = 8.0


def optimism(gain: Interval, confidence: float, asked: float) -> float:
    """Return by how much a promoted version's figure on the holdout may be better than the truth.

    Parameters
    ----------
    gain : Interval
        Gain over Production for which the version was promoted, on that holdout.
    confidence : float
        Confidence of the interval.
    asked : float
        Confidence at which the interval had to lie above zero.

    Returns
    -------
    float
        At least 0, in the metric's unit.
    """
    error = (gain.high - gain.low) / 2 / _STANDARD.inv_cdf((1 + confidence) / 2)
    if error <= 0 or gain.value <= 0:
        return 0.0
    limit = _STANDARD.inv_cdf((1 + asked) / 2)
    return _OF_THE_CHALLENGER * (gain.value - error * corrected(gain.value / error, limit))


def corrected(found: float, limit: float) -> float:
    """Return the gain that best explains one that was found above a limit, in standard errors.

    It lies between 0 and the one that was found: what has passed every gate is not taken for worse
    than Production.
    """
    found = max(found, limit)
    low, high = 0.0, found
    if _expected(low, limit) >= found:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _expected(middle, limit) < found else (low, middle)
    return (low + high) / 2


def _expected(gain: float, limit: float) -> float:
    """Return the mean of what is found above the limit, for a true gain."""
    beyond = min(limit - gain, _FARTHEST)
    return gain + _STANDARD.pdf(beyond) / _STANDARD.cdf(-beyond)
