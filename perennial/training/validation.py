"""Validation documents: which training documents choose the challenger, and in which folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config.sections.split import Validation
from perennial.hashing import unit
from perennial.splits.split import contained, newest_cut

Masks = NDArray[np.bool_]

_FOLDS_OF_FEW = 5


@dataclass(frozen=True, eq=False)
class Fold:
    """Documents that are predicted, and those that a model learns from to predict them.

    Attributes
    ----------
    learned, predicted : ndarray of bool, shape (n_documents,)
        Which documents; none is both.
    """

    learned: Masks
    predicted: Masks


@dataclass(frozen=True, eq=False)
class Bonds:
    """What holds training documents together, and in which order they came.

    Attributes
    ----------
    keys : Array of bytes, shape (n_documents,)
        What documents have in common that are in one fold: see `perennial.splits.split`.
    times : ndarray of int64, shape (n_documents,), or None
        When each was created, if models may learn only from what is older than what they predict.
    """

    keys: pa.Array
    times: NDArray[np.int64] | None = None


def validation_parts(validation: Validation, hashes: pa.Array) -> list[Masks]:
    """Return the documents of each part that is predicted by models fitted on all others.

    The part of a document is a property of its content, independent of the holdout, so copies stay
    together and every retraining agrees.

    Parameters
    ----------
    validation : Validation
        A share, or a number of folds.
    hashes : Array of bytes, shape (n_documents,)
        Content hashes of the training documents, or the digests of their groups.
    """
    place = unit(hashes, 1)
    if validation.folds is None:
        return [place < (validation.share or 0.0)]
    fold = (place * validation.folds).astype(np.int64)
    return [fold == number for number in range(validation.folds)]


def validation_folds(
    validation: Validation, bonds: Bonds, labels: NDArray[np.str_], judged: Masks
) -> list[Fold]:
    """Return the folds by which the challenger is chosen, without those that predict nothing.

    Parameters
    ----------
    validation : Validation
        A share, or a number of folds. By time these are the newest documents, or as many parts one
        after the other, each predicted by models of what is older. Where a share of few different
        inputs, as in a table of few fields, has less than two labels, folds take its place.
    bonds : Bonds
        Of the training documents.
    labels : ndarray of str, shape (n_documents,)
        Their labels. A label is never predicted in full: models could not know it.
    judged : ndarray of bool, shape (n_documents,)
        Which documents may be predicted.
    """
    if bonds.times is not None:
        if validation.folds is None:
            edges = [newest_cut(bonds.times[judged], validation.share or 0.0)]
        else:
            edges = _edges(bonds.times[judged], validation.folds)
        return _past_folds(bonds.keys, bonds.times, edges, judged)

    def folds_of(rule: Validation) -> list[Fold]:
        parts = validation_parts(rule, bonds.keys)
        spared = [spare_labels(part & judged, bonds.keys, labels) for part in parts]
        return folds_without(bonds.keys, spared)

    folds = folds_of(validation)
    if validation.folds is None and len({*labels[_predicted(folds, len(labels))].tolist()}) < 2:
        folds = folds_of(Validation(folds=_FOLDS_OF_FEW))
    return folds


def _predicted(folds: list[Fold], documents: int) -> Masks:
    found = np.zeros(documents, np.bool_)
    for fold in folds:
        found |= fold.predicted
    return found


def past_folds(bonds: Bonds, number: int, judged: Masks) -> list[Fold]:
    """Return folds by time: so many parts, each predicted by models of what is older than it.

    The oldest part is predicted by none.
    """
    assert bonds.times is not None
    return _past_folds(bonds.keys, bonds.times, _edges(bonds.times[judged], number), judged)


def folds_without(keys: pa.Array, parts: list[Masks]) -> list[Fold]:
    """Return a fold for each part: models learn from all documents with other keys."""
    return [
        Fold(~contained(keys, keys.filter(pa.array(part))), part) for part in parts if part.any()
    ]


def _edges(times: NDArray[np.int64], folds: int) -> list[int]:
    """Return the ends of all parts of equal size but the last one."""
    ordered = np.sort(times)
    places = [len(ordered) * number // (folds + 1) - 1 for number in range(1, folds + 1)]
    return sorted({int(ordered[place]) for place in places if place >= 0})


def _past_folds(
    keys: pa.Array, times: NDArray[np.int64], edges: list[int], judged: Masks
) -> list[Fold]:
    part = np.searchsorted(np.array(edges, np.int64), times, side="left")
    folds = []
    for number in range(1, len(edges) + 1):
        learned, predicted = part < number, judged & (part == number)
        predicted &= ~contained(keys, keys.filter(pa.array(learned)))
        if predicted.any() and learned.any():
            folds.append(Fold(learned, predicted))
    return folds


def spare_labels(part: Masks, keys: pa.Array, labels: NDArray[np.str_]) -> Masks:
    """Return a part without one key of each label that has no document outside of it."""
    outside = set(labels[~part].tolist())
    lacking = sorted(set(labels[part].tolist()) - outside)
    if not lacking:
        return part
    part = part.copy()
    for label in lacking:
        rows = np.flatnonzero(part & (labels == label))
        # A key that was spared for another label may have been this one's, too.
        if len(rows) and label not in set(labels[~part].tolist()):
            last = rows[np.argmax(unit(keys.take(pa.array(rows)), 1))]
            part &= ~contained(keys, keys.slice(int(last), 1))
    return part
