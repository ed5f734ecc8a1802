"""Skew: does the service answer what the registered model says of the same inputs?

Training and serving compute features by other code: the service's predictor is the fitted pipeline,
made fast. Golden examples are recomputed before a version serves; what people really send is
compared here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Sums in another order differ by much less, and people see no such difference.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Skew:
    """Logged answers beside what the model says of the same inputs.

    Attributes
    ----------
    compared : int
        Number of the answers.
    different : int
        How many have another label, or a probability that differs by more than `TOLERANCE`.
    farthest : float
        The largest difference of a probability.
    example : str or None
        Id of the prediction that differs most; None where none differs.
    """

    compared: int
    different: int = 0
    farthest: float = 0.0
    example: str | None = None


def compare_answers(
    ids: Sequence[str],
    logged: tuple[Sequence[str], NDArray[np.float64]],
    offline: tuple[Sequence[str], NDArray[np.float64]],
) -> Skew:
    """Return how far logged answers are from those of the model.

    Parameters
    ----------
    ids : sequence of str
        Of the predictions.
    logged, offline : tuple of labels and ndarray of float64, shape (n_answers,)
        What was answered and what the model says, each with the probability of that label.
    """
    if not ids:
        return Skew(0)
    (said, sure), (labels, probabilities) = logged, offline
    apart = np.abs(sure - probabilities)
    other = np.asarray(said, np.str_) != np.asarray(labels, np.str_)
    different = other | ~(apart <= TOLERANCE)
    if not different.any():
        return Skew(len(ids), farthest=float(apart.max()))
    # Another label is worse than any difference of a probability.
    worst = int(np.argmax(different * (other + np.nan_to_num(apart, nan=1.0))))
    farthest = float(np.nan_to_num(apart, nan=1.0).max())
    return Skew(len(ids), int(different.sum()), farthest, ids[worst])
