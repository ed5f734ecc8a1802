"""Label issues: training documents whose labels look wrong, by confident learning.

A document is an issue if models that have not seen it are as sure of another label as they are, on
average, of documents that have that label (Northcutt, Jiang and Chuang, Confident Learning:
Estimating Uncertainty in Dataset Labels, Journal of Artificial Intelligence Research 70, 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import Pipeline, make_pipeline

from perennial.training.out_of_fold import out_of_fold
from perennial.training.validation import Fold

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

# With more labels a linear model, which is one for each, takes longer than all others together.
_MOST_LINEAR_LABELS = 20
_STEEPEST = 20.0


@dataclass(frozen=True)
class LabelIssue:
    """A document whose label looks wrong.

    Attributes
    ----------
    position : int
        Its position among the documents.
    label, likely_label : str
        What its label says, and what the models say.
    margin : float
        By how much the likely label is more probable than its own.
    """

    position: int
    label: str
    likely_label: str
    margin: float


def second_opinions(matrix: Any, labels: int) -> Iterator[Pipeline]:
    """Yield quick models whose errors differ from those of a challenger, not yet fitted.

    A model that is flexible enough to be the challenger learns wrong labels by heart; naive Bayes
    and a strong penalty do not. Both are for counts; features of records get none.

    Parameters
    ----------
    matrix : sparse array or ndarray, shape (n_documents, n_features)
        The features.
    labels : int
        Number of labels.
    """
    if not sparse.issparse(matrix) or matrix.data.min(initial=0.0) < 0:
        return
    yield make_pipeline(ComplementNB(alpha=0.3))
    if labels <= _MOST_LINEAR_LABELS:
        linear = LogisticRegression(solver="liblinear", dual=True, C=1.0, random_state=0)
        yield make_pipeline(
            TfidfTransformer(sublinear_tf=True),
            linear if labels == 2 else OneVsRestClassifier(linear),
        )


def opinion(
    models: Sequence[Pipeline],
    matrix: object,
    labels: NDArray[np.str_],
    classes: Sequence[str],
    folds: Sequence[Fold],
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the probabilities that several models together give documents out of fold.

    Parameters
    ----------
    models : sequence of Pipeline
        What is fitted on each part of the documents; they are not changed themselves.
    matrix : sparse array or ndarray, shape (n_documents, n_features)
        The features of the documents.
    labels : ndarray of str, shape (n_documents,)
        Their labels.
    classes : sequence of str
        The labels there are.
    folds : sequence of Fold
        Which documents are predicted, by models of which others.

    Returns
    -------
    tuple of ndarray, shape (n_asked, n_classes), and ndarray of bool, shape (n_documents,)
        The probabilities; the documents that a fold predicts.
    """
    everything, names = np.ones(len(labels), np.bool_), np.array(classes)
    total: Floats | None = None
    for model in models:
        scores, asked = out_of_fold(model, matrix, labels, names, folds, everything)
        scores = _standard(scores)
        total = scores if total is None else total + scores
    assert total is not None
    return _probabilities(total, _codes(labels[asked], classes)), asked


def label_issues(
    probabilities: Floats, labels: NDArray[np.str_], classes: Sequence[str]
) -> list[LabelIssue]:
    """Return the documents whose labels look wrong, the clearest first.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_documents, n_classes)
        What models that have not seen the documents say of them.
    labels : ndarray of str, shape (n_documents,)
        Their labels.
    classes : sequence of str
        The labels there are.
    """
    truth = _codes(labels, classes)
    own = probabilities[np.arange(len(truth)), truth]
    counts = np.bincount(truth, minlength=len(classes))
    sums = np.bincount(truth, weights=own, minlength=len(classes))
    # Nothing is confidently a label that no document has.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = confident.argmax(axis=1)
    found = np.flatnonzero((confident.max(axis=1) >= 0) & (likely != truth))
    margins = probabilities[found, likely[found]] - own[found]
    # What models are less sure of than of its own label is no reason to doubt that.
    found, margins = found[margins > 0], margins[margins > 0]
    return [
        LabelIssue(
            int(found[place]),
            classes[truth[found[place]]],
            classes[likely[found[place]]],
            float(margins[place]),
        )
        for place in np.argsort(-margins, kind="stable")
    ]


def _codes(labels: NDArray[np.str_], classes: Sequence[str]) -> Codes:
    place = {label: code for code, label in enumerate(classes)}
    return np.array([place[label] for label in labels.tolist()], np.int64)


def _standard(scores: Floats) -> Floats:
    """Return scores so that no model is louder than another."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = float(centred.std())
    scaled: Floats = centred / spread if spread > 0 else centred
    return scaled


def _probabilities(scores: Floats, truth: Codes) -> Floats:
    """Return probabilities by the slope that explains the labels best."""
    rows = np.arange(len(truth))

    def loss(slope: float) -> float:
        return -float(log_softmax(slope * scores, axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=(0.0, _STEEPEST), method="bounded")
    return np.asarray(softmax(found.x * scores, axis=1), np.float64)
