"""Figures of each label: how often it is found, how often it is right, what it is taken for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.metrics.evaluation.predictions import Predictions


@dataclass(frozen=True)
class LabelResult:
    """What a model shows on the documents of one label.

    Attributes
    ----------
    label : str
        The label.
    precision : float
        Share of the documents with this predicted label that have it; 0 if it is never predicted.
    recall : float
        Share of the documents of this label that it is predicted for.
    f1 : float
        The harmonic mean of the two.
    support : int
        How many documents have the label.
    predicted : int
        How many get it.
    confused_with : str or None
        The label that most of its other documents get; None if there is no such document.
    confused : int
        How many get that one.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    confused_with: str | None
    confused: int


def results_by_label(predictions: Predictions) -> list[LabelResult]:
    """Return what a model shows on each label, in the order of the classes."""
    import numpy as np

    n_classes = len(predictions.classes)
    pairs = predictions.truth * n_classes + predictions.predicted
    matrix = np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)
    found = []
    for code, label in enumerate(predictions.classes):
        right = int(matrix[code, code])
        support, predicted = int(matrix[code].sum()), int(matrix[:, code].sum())
        others = matrix[code].copy()
        others[code] = 0
        most = int(others.argmax())
        found.append(
            LabelResult(
                label=label,
                precision=right / predicted if predicted else 0.0,
                recall=right / support if support else 0.0,
                f1=2 * right / (support + predicted) if support + predicted else 0.0,
                support=support,
                predicted=predicted,
                confused_with=predictions.classes[most] if others[most] else None,
                confused=int(others[most]),
            )
        )
    return found
