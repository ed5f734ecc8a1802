"""A stack: a classifier of counts and a linear one of vectors, weighed by what each is worth."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from perennial.classifiers.threshold_classifier import scores_of

Floats = NDArray[np.float64]
# How far below all others the score of a label is that a fold has not seen.
_UNKNOWN = 20.0
_LARGEST_WEIGHT = 20.0
# Vectors have the length 1, so that weights must be large, and the more so the more samples say so.
_WEAKEST, _STRONGEST, _SAMPLES = 1.0, 30.0, 300
_ITERATIONS = 100


class StackedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Weigh the scores of two classifiers, each of its own columns, as unseen samples ask for.

    ``softmax(weights_[0] * counts' scores + weights_[1] * vectors' scores)``: the two weights are
    fitted to scores out of fold, so that vectors which tell nothing get none (Wolpert, Stacked
    Generalization, 1992).

    Parameters
    ----------
    lexical : Pipeline
        What is fitted on all columns but the last ones.
    width : int
        How many columns at the end are a vector.
    folds : int
        From how many folds the weights are learned.
    random_state : int or None
        Seed of the folds.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels, sorted.
    lexical_ : Pipeline
        The fitted classifier of counts.
    coef_, intercept_ : ndarray, shape (n_outputs, width) and (n_outputs,)
        Of the linear classifier of vectors; two classes have one output.
    weights_ : ndarray, shape (2,)
        Of the scores of counts and of vectors.
    """

    def __init__(
        self, lexical: Any, *, width: int = 256, folds: int = 3, random_state: int | None = None
    ) -> None:
        self.lexical = lexical
        self.width = width
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike) -> StackedClassifier:
        """Fit both classifiers, and what they are worth.

        Parameters
        ----------
        X : sparse array, shape (n_samples, n_features + width)
            Counts, and vectors behind them.
        y : array-like, shape (n_samples,)
            Labels.

        Raises
        ------
        ValueError
            If there is one class alone, or no column beside the vectors.
        """
        columns, labels = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(labels)
        if columns.shape[1] <= self.width:
            raise ValueError(
                f"StackedClassifier: n_features={columns.shape[1]}; there must be more than the "
                f"{self.width} of a vector."
            )
        counts, vectors = self._divided(columns)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"StackedClassifier needs two classes, y has only one class: {self.classes_[0]}."
            )
        self.weights_ = self._weigh(counts, vectors, labels, codes)
        self.lexical_ = clone(self.lexical).fit(counts, labels)
        self.coef_, self.intercept_ = _linear(vectors, labels)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        columns = validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float64)
        counts, vectors = self._divided(columns)
        return self.combined(_scores(self.lexical_, counts), vectors)

    def combined(self, scores: Floats, vectors: Floats) -> Floats:
        """Return the probability of each class, shape (n_samples, n_classes).

        Parameters
        ----------
        scores : ndarray of float64, shape (n_samples, n_classes)
            Logarithms of the probabilities by counts.
        vectors : ndarray of float64, shape (n_samples, width)
            The vectors.
        """
        by_vectors = _outputs(vectors, self.coef_, self.intercept_)
        found: Floats = softmax(self.weights_[0] * scores + self.weights_[1] * by_vectors, axis=1)
        return found

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each sample, shape (n_samples,)."""
        # It says that nothing was fitted, where that is so.
        likely = self.predict_proba(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[likely]
        return found

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _divided(self, columns: Any) -> tuple[Any, Floats]:
        return columns[:, : -self.width], _dense(columns[:, -self.width :])

    def _weigh(
        self, counts: Any, vectors: Floats, labels: NDArray[Any], codes: NDArray[np.int64]
    ) -> Floats:
        """Return the weights that give unseen samples the smallest log loss."""
        # A label of one sample is in no fold that learns: it cannot tell what anything is worth.
        common = np.bincount(codes)[codes] >= 2
        folds = min(self.folds, int(np.bincount(codes[common]).max(initial=0)))
        if folds < 2 or len(np.unique(codes[common])) < 2:
            return np.ones(2)
        rows, shape = np.flatnonzero(common), (len(codes), len(self.classes_))
        lexical, linear = np.zeros(shape), np.zeros(shape)
        for learned, asked in _parts(codes[rows], folds, self.random_state):
            seen, unseen = rows[learned], rows[asked]
            known = np.unique(labels[seen])
            model = clone(self.lexical).fit(counts[seen], labels[seen])
            lexical[unseen] = self._in_order(_scores(model, counts[unseen]), known)
            outputs = _outputs(vectors[unseen], *_linear(vectors[seen], labels[seen]))
            linear[unseen] = self._in_order(outputs, known)
        return _fitted_weights(lexical[rows], linear[rows], codes[rows])

    def _in_order(self, scores: Floats, known: NDArray[Any]) -> Floats:
        lowest = scores.min(axis=1, keepdims=True) - _UNKNOWN
        found = np.repeat(lowest, len(self.classes_), axis=1)
        found[:, np.searchsorted(self.classes_, known)] = scores
        return found


def _parts(
    codes: NDArray[np.int64], folds: int, seed: int | None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return stratified folds; a label of fewer samples than folds is in as many as it has."""
    order = np.random.default_rng(seed).permutation(len(codes))
    number = np.empty(len(codes), np.int64)
    for code in np.unique(codes):
        members = order[codes[order] == code]
        number[members] = (np.arange(len(members)) + code) % folds
    found = [
        (np.flatnonzero(number != each), np.flatnonzero(number == each)) for each in range(folds)
    ]
    return [(learned, asked) for learned, asked in found if len(asked)]


def _linear(vectors: Floats, labels: NDArray[Any]) -> tuple[Floats, Floats]:
    strength = min(max(len(vectors) / _SAMPLES, _WEAKEST), _STRONGEST)
    model = LogisticRegression(C=strength, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        # What the last iterations bring is less than what the stack is uncertain of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(vectors, labels)
    return model.coef_, model.intercept_


def _outputs(vectors: Floats, coef: Floats, intercept: Floats) -> Floats:
    outputs = vectors @ coef.T + intercept
    if outputs.shape[1] == 1:
        outputs = np.hstack([np.zeros_like(outputs), outputs])
    found: Floats = log_softmax(outputs, axis=1)
    return found


def _scores(model: Any, counts: Any) -> Floats:
    prepared = model[:-1].transform(counts) if len(model) > 1 else counts
    found: Floats = log_softmax(scores_of(model[-1], prepared), axis=1)
    return found


def _fitted_weights(lexical: Floats, linear: Floats, codes: NDArray[np.int64]) -> Floats:
    rows = np.arange(len(codes))
    truth = np.zeros_like(lexical)
    truth[rows, codes] = 1.0

    def loss(weights: Floats) -> tuple[float, Floats]:
        logs = log_softmax(weights[0] * lexical + weights[1] * linear, axis=1)
        excess = np.exp(logs) - truth
        slopes = np.array([(excess * lexical).sum(), (excess * linear).sum()])
        return -float(logs[rows, codes].mean()), slopes / len(codes)

    bounds = [(0.0, _LARGEST_WEIGHT)] * 2
    found: Floats = minimize(loss, np.ones(2), jac=True, bounds=bounds, method="L-BFGS-B").x
    return found


def _dense(columns: Any) -> Floats:
    dense = columns.toarray() if sparse.issparse(columns) else columns
    return np.asarray(dense, np.float64)
