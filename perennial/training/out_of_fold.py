"""Out of fold: what documents get from models that have not seen them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline

from perennial.classifiers.threshold_classifier import scores_of
from perennial.training.classes import scores_in_order
from perennial.training.fitting import fit
from perennial.training.validation import Bonds, Fold, folds_without, past_folds

Floats = NDArray[np.float64]


def out_of_fold(
    classifier: Pipeline,
    matrix: object,
    labels: NDArray[np.str_],
    classes: NDArray[np.str_],
    folds: Sequence[Fold],
    judged: NDArray[np.bool_],
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the scores that documents get from a model which has not seen them, and which do.

    Returns
    -------
    tuple of ndarray, shape (n_asked, len(classes)), and ndarray of bool, shape (n_documents,)
        As `scores_of` gives them, in the order of `classes`; the documents that a fold predicts.
    """
    scores = np.empty((len(labels), len(classes)))

    def score(fold: Fold) -> None:
        rows = np.flatnonzero(fold.learned)
        # Some estimators depend on the order: judged documents come first, as they always have.
        rows = rows[np.argsort(~judged[rows], kind="stable")]
        model = fit(clone(classifier), matrix[rows], labels[rows])  # type: ignore[index]
        left_out = matrix[fold.predicted]  # type: ignore[index]
        inputs = model[:-1].transform(left_out) if len(model) > 1 else left_out
        found = scores_of(model[-1], inputs)
        scores[fold.predicted] = scores_in_order(found, model.classes_, classes.tolist())

    contexts = [copy_context() for _ in folds]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        # Each thread fits by the engine of this one.
        list(threads.map(lambda fold, context: context.run(score, fold), folds, contexts))
    asked: NDArray[np.bool_] = np.any([fold.predicted for fold in folds], axis=0)
    return scores[asked], asked


def stratified_folds(
    labels: NDArray[np.str_],
    judged: NDArray[np.bool_],
    bonds: Bonds | None,
    *,
    folds: int,
    seed: int,
) -> list[Fold]:
    """Return stratified folds of the judged documents, which tear nothing apart.

    By time they are parts that follow one another, each predicted by what is older than it.

    Parameters
    ----------
    labels : ndarray of str, shape (n_documents,)
        Labels of the training documents.
    judged : ndarray of bool, shape (n_documents,)
        Which of them are predicted.
    bonds : Bonds or None
        What holds documents together, and their order by time.
    folds : int
        Number of folds.
    seed : int
        Seed of the division.
    """
    if bonds is not None and bonds.times is not None:
        return past_folds(bonds, folds, judged)
    asked = np.flatnonzero(judged)
    truth = labels[asked]
    if bonds is None or len(bonds.keys.unique()) == len(bonds.keys):
        split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(truth, truth)
    else:
        keys = bonds.keys.dictionary_encode().indices.to_numpy()[asked]
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(
            truth, truth, keys
        )
    parts = [np.isin(np.arange(len(labels)), asked[predicted]) for _, predicted in split]
    if bonds is None:
        return [Fold(~part, part) for part in parts]
    return folds_without(bonds.keys, parts)
