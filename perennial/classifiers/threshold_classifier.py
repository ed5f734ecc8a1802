"""A classifier whose probabilities are calibrated and whose labels serve a goal."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from perennial.classifiers.linear_form import linear_form, scores_from
from perennial.estimators.base import LinearForm
from perennial.thresholds.calibration import Calibration
from perennial.thresholds.threshold import decide

Floats = NDArray[np.float64]


class ThresholdClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier with a calibration and a threshold for its labels; the last step of a model.

    With two classes and no calibration it gives the labels of scikit-learn's
    ``FixedThresholdClassifier``, but at the threshold itself. It is a class of its own because that
    one has neither weights for more than two classes nor a calibration. Its parameters are numbers
    and tuples, so that a model file needs no pickles.

    Parameters
    ----------
    estimator : classifier
        The classifier that gives the probabilities.
    weights : sequence of float, one per class, or None
        The label is the class with the largest product of weight and probability. Weights
        ``(t, 1 - t)`` of two classes are the threshold t: the second class iff ``p > t``. None
        gives the most probable label.
    slope : float or None
        Slope of the calibration, see `perennial.thresholds.calibration.Calibration`; None leaves
        probabilities as they are.
    offsets : sequence of float, one per class, or None
        Offsets of the calibration.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    classes_ : ndarray
        The labels, in the order of weights, offsets and columns of probabilities.
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        weights: tuple[float, ...] | None = None,
        slope: float | None = None,
        offsets: tuple[float, ...] | None = None,
    ) -> None:
        self.estimator = estimator
        self.weights = weights
        self.slope = slope
        self.offsets = offsets

    def fit(self, X: object, y: object) -> Self:
        """Fit the classifier; weights and calibration are parameters and stay as they are.

        Raises
        ------
        ValueError
            If there is not one weight and one offset for each class.
        """
        return self._use(clone(self.estimator).fit(X, y))

    @classmethod
    def from_fitted(
        cls,
        fitted: BaseEstimator,
        weights: tuple[float, ...] | None,
        calibration: Calibration | None,
    ) -> Self:
        """Return a classifier with weights and a calibration around a fitted one.

        The fitted one is used as it is.

        Raises
        ------
        ValueError
            If there is not one weight and one offset for each class.
        """
        slope, offsets = (calibration.slope, calibration.offsets) if calibration else (None, None)
        wrapper = cls(fitted, weights=weights, slope=slope, offsets=offsets)
        wrapper._use(fitted)
        return wrapper

    @property
    def calibration(self) -> Calibration | None:
        """The calibration as one value."""
        if self.slope is None or self.offsets is None:
            return None
        return Calibration(self.slope, tuple(self.offsets))

    def linear_form(self) -> LinearForm | None:
        """Return the form of the fitted classifier with the calibration folded into its weights.

        The labels do not depend on it: the weights of the classes are no part of the form.
        """
        form, calibration = linear_form(self.estimator_), self.calibration
        if form is None or calibration is None:
            return form
        if form.link == "one_vs_rest":
            # The calibration is linear in the logarithms of its probabilities.
            return None
        offsets = np.array(calibration.offsets)
        return LinearForm(
            calibration.slope * form.weights,
            calibration.slope * form.intercepts
            + (np.diff(offsets) if form.link == "logistic" else offsets),
            form.link,
        )

    def predict(self, X: object) -> NDArray[np.generic]:
        """Return the label that serves the goal, for each row."""
        probabilities = self.predict_proba(X)
        weights = None if self.weights is None else np.array(self.weights)
        labels: NDArray[np.generic] = self.classes_[decide(probabilities, weights)]
        return labels

    def predict_proba(self, X: object) -> Floats:
        """Return calibrated probabilities, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        calibration = self.calibration
        if calibration is None:
            return np.asarray(self.estimator_.predict_proba(X), np.float64)
        return calibration.apply(scores_of(self.estimator_, X))

    def _use(self, fitted: BaseEstimator) -> Self:
        self.estimator_ = fitted
        self.classes_ = fitted.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(fitted, name):
                setattr(self, name, getattr(fitted, name))
        for name in ("weights", "offsets"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.classes_):
                raise ValueError(
                    f"{name} has {len(values)} values, but there are {len(self.classes_)} classes; "
                    "give one for each class."
                )
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")


def unwrapped(classifier: BaseEstimator) -> BaseEstimator:
    """Return what gives the probabilities of a fitted classifier, without its threshold."""
    is_wrapped = isinstance(classifier, ThresholdClassifier)
    return classifier.estimator_ if is_wrapped else classifier


def scores_of(classifier: BaseEstimator, X: object) -> Floats:
    """Return the scores that a fitted classifier turns into probabilities.

    The scores of a linear form are exact. Their logarithms would not be: naive Bayes gives
    probabilities of 0 and 1 for every longer text.

    Parameters
    ----------
    classifier : classifier
        A fitted classifier.
    X : array-like or sparse array, shape (n_rows, n_features)
        The features.

    Returns
    -------
    ndarray, shape (n_rows, n_classes)
        The scores, of which ``softmax`` makes the probabilities.
    """
    form = linear_form(classifier)
    if form is None:
        probabilities = np.asarray(classifier.predict_proba(X), np.float64)
        logs: Floats = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
        return logs
    checked = validate_data(classifier, X, accept_sparse="csr", reset=False)
    outputs: Floats = np.asarray(checked @ form.weights.T + form.intercepts, np.float64)
    return scores_from(outputs, form.link)
