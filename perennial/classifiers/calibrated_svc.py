"""A support vector machine with a kernel, and with probabilities."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data


class CalibratedSVC(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Scikit-learn's ``SVC`` with sigmoids that turn its outputs into probabilities.

    It takes the place of ``SVC(probability=True)``, which is deprecated: the sigmoids are fitted on
    out-of-fold outputs, and one machine is fitted on all samples.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    kernel : {"rbf", "linear", "poly", "sigmoid"}
        The similarity of two samples.
    gamma : float or {"scale", "auto"}
        How quickly similarity falls with distance.
    degree : int
        Degree of the kernel "poly".
    folds : int
        Folds of the out-of-fold outputs; fewer when a class has fewer samples. The only sample of
        a class counts twice.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels, sorted.
    calibrated_ : CalibratedClassifierCV
        The machine with its sigmoids.

    References
    ----------
    Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        kernel: Literal["rbf", "linear", "poly", "sigmoid"] = "rbf",
        gamma: float | Literal["scale", "auto"] = "scale",
        degree: int = 3,
        folds: int = 5,
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.folds = folds

    def fit(self, X: Any, y: ArrayLike) -> CalibratedSVC:
        """Fit the machine and its sigmoids.

        Parameters
        ----------
        X : ndarray or sparse matrix, shape (n_samples, n_features)
            Features; they should be on one scale.
        y : array-like, shape (n_samples,)
            Labels.

        Raises
        ------
        ValueError
            If there is one class only.
        """
        features, labels = validate_data(self, X, y, accept_sparse="csr")
        check_classification_targets(labels)
        self.classes_, counts = np.unique(labels, return_counts=True)
        if len(self.classes_) < 2:
            only = str(self.classes_[0])
            raise ValueError(f"CalibratedSVC needs two classes or more, y has one class: {only!r}.")
        # The only sample of a class stands in two folds: there is no other to judge it by.
        single = np.flatnonzero(np.isin(labels, self.classes_[counts == 1]))
        places = np.concatenate([np.arange(len(labels)), single])
        features, labels = features[places], labels[places]
        machine = SVC(C=self.C, kernel=self.kernel, gamma=self.gamma, degree=self.degree)
        folds = min(self.folds, max(2, int(counts.min())))
        self.calibrated_ = CalibratedClassifierCV(machine, cv=folds, ensemble=False)
        self.calibrated_.fit(features, labels)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, accept_sparse="csr")
        return np.asarray(self.calibrated_.predict_proba(features), np.float64)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each sample, shape (n_samples,)."""
        best = self.predict_proba(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
