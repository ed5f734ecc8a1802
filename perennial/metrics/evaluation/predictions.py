"""Predictions about documents whose labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Documents in the order of their scores.

    Attributes
    ----------
    order : ndarray of int64, shape (n_documents,)
        The documents, the lowest score first.
    starts : ndarray of int64, shape (n_scores,)
        Where each distinct score begins in that order.
    positive : ndarray of bool, shape (n_documents,)
        Which documents, in that order, are of the class in question.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    positive: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about documents whose labels are known.

    Attributes
    ----------
    classes : tuple of str
        The labels; the last one is the positive class of a problem with two.
    truth : ndarray of int64, shape (n_documents,)
        Position in `classes` of each document's label.
    predicted : ndarray of int64, shape (n_documents,)
        Position in `classes` of the label that the model gives.
    probabilities : ndarray of float64, shape (n_documents, n_classes)
        The model's probability of each class.
    costs : ndarray of float64, shape (n_classes, n_classes), or None
        What it costs to give a label (column) to a document of a class (row), if that is known.
    least_precision : float or None
        The precision that the positive label has to keep, if the problem asks for one.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: Floats
    costs: Floats | None = None
    least_precision: float | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """The documents by the probability of each class that has an area under its ROC curve."""
        n_classes = len(self.classes)
        classes = range(n_classes) if n_classes != 2 else [1]
        return tuple(_rank(self.probabilities[:, k], self.truth == k) for k in classes)

    def take(self, rows: NDArray[np.bool_]) -> Predictions:
        """Return the predictions about the documents where `rows` is true."""
        return replace(
            self,
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            probabilities=self.probabilities[rows],
        )


def join(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions about the documents of all parts, of which there is one or more."""
    import numpy as np

    return replace(
        parts[0],
        truth=np.concatenate([part.truth for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def _rank(scores: Floats, positive: NDArray[np.bool_]) -> Ranking:
    import numpy as np

    _, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return Ranking(order, starts, positive[order])
