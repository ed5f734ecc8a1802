"""Cross-fitted decisions: what a rule achieves on documents that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from perennial.thresholds.calibration import fit_calibration, probabilities_of
from perennial.thresholds.threshold import decide

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Weights = tuple[float, ...] | None
# The weights of the classes for documents with these true labels and probabilities.
Rule = Callable[[Codes, Floats], Weights]


@dataclass(frozen=True, eq=False)
class Part:
    """One division of documents: fitted on some, judged on the others.

    Attributes
    ----------
    fitted, judged : ndarray of int
        Positions of the documents.
    probabilities : ndarray, shape (n_documents, n_classes)
        Probabilities of all documents; a calibration is fitted on the fitted ones alone.
    """

    fitted: Codes
    judged: Codes
    probabilities: Floats


def divide(
    scores: Floats, truth: Codes, *, folds: int, seed: int, is_calibrated: bool
) -> Iterator[Part]:
    """Yield each division of documents into stratified folds.

    Parameters
    ----------
    scores, truth
        As `perennial.thresholds.calibration.fit_calibration` takes them.
    folds : int
        Number of folds; every class has at least so many documents.
    seed : int
        Seed of the division.
    is_calibrated : bool
        Whether the probabilities are calibrated, each time without the fold that is judged.
    """
    # The service decides and never fits a decision: it does not wait for this import.
    from sklearn.model_selection import StratifiedKFold

    plain = probabilities_of(scores)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fitted, judged in parts.split(scores, truth):
        probabilities = plain
        if is_calibrated:
            probabilities = fit_calibration(scores[fitted], truth[fitted]).apply(scores)
        yield Part(fitted, judged, probabilities)


def cross_fit(rule: Rule, truth: Codes, parts: list[Part]) -> Codes:
    """Return the label that each document gets by a rule that was fitted without its fold."""
    labels = np.empty(len(truth), np.int64)
    for part in parts:
        weights = rule(truth[part.fitted], part.probabilities[part.fitted])
        found = None if weights is None else np.array(weights)
        labels[part.judged] = decide(part.probabilities[part.judged], found)
    return labels


def is_cheaper(costs: Floats, truth: Codes, one: Codes, other: Codes, confidence: float) -> bool:
    """Return whether labels are proved to be cheaper than others.

    The interval of the mean of the paired differences, document by document, lies above zero.
    """
    saved = costs[truth, other] - costs[truth, one]
    errors = NormalDist().inv_cdf((1 + confidence) / 2)
    return bool(saved.mean() > errors * saved.std() / np.sqrt(len(saved)))
