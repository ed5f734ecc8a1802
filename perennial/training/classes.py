"""Classes: what a model says, in terms of the labels of a problem that may know others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.config.problem import Problem

Floats = NDArray[np.float64]
# How far below all others the score of a label is that a model has never seen.
_UNKNOWN = 20.0


def positions(classes: Sequence[str], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of each label in the classes."""
    position = {label: code for code, label in enumerate(classes)}
    return np.array([position[label] for label in labels], np.int64)


def in_terms_of(
    problem: Problem, known: Sequence[str], predicted: NDArray[Any], probabilities: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """Return predicted labels and probabilities of a model in the problem's classes.

    A label that the model does not know has the probability 0. A label that the problem does not
    know counts as the one that rare labels become; without one it is left out, and the others share
    its probability.

    Parameters
    ----------
    problem : Problem
        Its classes.
    known : sequence of str
        The classes of the model, in the order of the columns.
    predicted : ndarray of str, shape (n_documents,)
        The labels that it gives.
    probabilities : ndarray of float64, shape (n_documents, n_known)
        The probabilities that it gives them.

    Returns
    -------
    tuple of ndarray of int64 and ndarray of float64
        The positions of the labels in the problem's classes, and the probabilities of these.
    """
    known = [str(label) for label in known]
    if set(known) == set(problem.classes):
        columns = [known.index(label) for label in problem.classes]
        return positions(problem.classes, predicted), probabilities[:, columns]
    place = {label: code for code, label in enumerate(problem.classes)}
    stands_for = {label: problem.class_of(label) for label in known}
    found = np.zeros((len(probabilities), len(place)))
    for column, label in enumerate(known):
        name = stands_for[label]
        if name is not None:
            found[:, place[name]] += probabilities[:, column]
    total = found.sum(axis=1, keepdims=True)
    if None in stands_for.values():
        found = np.where(total > 0, found / np.where(total > 0, total, 1.0), 1.0 / len(place))
    codes = found.argmax(axis=1)
    for row, label in enumerate(predicted):
        name = stands_for[str(label)]
        if name is not None:
            codes[row] = place[name]
    return codes, found


def scores_in_order(scores: Floats, known: Sequence[str], classes: Sequence[str]) -> Floats:
    """Return the columns of a model's scores in the order of classes it may not all know."""
    known = [str(label) for label in known]
    if set(known) == set(classes):
        return scores[:, [known.index(label) for label in classes]]
    lowest = scores.min(axis=1, keepdims=True) - _UNKNOWN
    found = np.repeat(lowest, len(classes), axis=1)
    for column, label in enumerate(classes):
        if label in known:
            found[:, column] = scores[:, known.index(label)]
    return found
