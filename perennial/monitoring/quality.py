"""Quality in production: measured where the truth is known, estimated where it is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from perennial.metrics import Interval

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
_RESAMPLES = 200


def share_right(right: int, known: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the share of right answers with Wilson's interval (1927).

    It keeps its confidence for few answers and for shares near 0 and 1.

    Raises
    ------
    ValueError
        If no answer's truth is known.
    """
    if known < 1:
        raise ValueError("a share of no answers is undefined; check that known is at least 1")
    found = stats.binomtest(right, known).proportion_ci(confidence, method="wilson")
    return Interval(right / known, float(found.low), float(found.high))


def estimate_accuracy(
    confidence: Floats, right: NDArray[np.bool_], recent: Floats, *, seed: int
) -> Interval:
    """Estimate the accuracy of answers whose truth nobody has told.

    Confidence-based performance estimation, as NannyML calls it; compared with other ways by
    Guillory et al., "Predicting with Confidence on Unseen Distributions" (ICCV 2021). If a model is
    right in nine of ten answers that it gives with probability 0.9, then the mean probability of
    its answers is its accuracy. Isotonic regression on the holdout makes it so.

    It sees that recent documents are harder or easier than the holdout, not that the same documents
    are now labelled otherwise, and it believes a model that is sure where it knows nothing: an
    estimate fills the time until labels come, and replaces none.

    Parameters
    ----------
    confidence : ndarray of float64, shape (n_holdout,)
        Probability of the label that Production gave to each holdout document.
    right : ndarray of bool, shape (n_holdout,)
        Whether that label is the true one.
    recent : ndarray of float64, shape (n_recent,)
        Probability of the label that it gave to each recent document.
    seed : int
        Of the resamples.

    Returns
    -------
    Interval
        With the 95% percentile bootstrap interval over the documents of both samples.
    """
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, len(confidence), len(confidence))
        drawn = recent[rng.integers(0, len(recent), len(recent))]
        draws.append(_expected(confidence[rows], right[rows], drawn))
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(_expected(confidence, right, recent), float(low), float(high))


def _expected(confidence: Floats, right: NDArray[np.bool_], recent: Floats) -> float:
    calibration = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    calibration.fit(confidence, right.astype(np.float64))
    return float(calibration.predict(recent).mean())
