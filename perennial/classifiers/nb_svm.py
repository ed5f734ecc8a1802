"""NB-SVM: a linear classifier that trusts a feature as far as naive Bayes does."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from perennial.classifiers.logistic_blocks import costs_of, logistic_problem, minimise
from perennial.classifiers.logistic_sums import Blocks
from perennial.classifiers.row_blocks import entries_of, row_blocks, rows_of


class NbSvm(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """NB-SVM of two classes, with logistic regression inside for its probabilities.

    Every feature is scaled by the log-count ratio of naive Bayes, so that one which separates the
    classes is penalised less than one which does not. The ratio is that of binarised features:
    the number of samples of each class in which a feature occurs. The features that are scaled may
    be of any kind, binary or tf-idf.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    alpha : float
        Smoothing: added to the counts of the ratio.
    beta : float
        Interpolation between logistic regression (0) and NB-SVM (1): features are scaled by
        ``(1 - beta) + beta * |ratio|``. The paper interpolates the fitted weights with their mean
        magnitude, as a limit to the trust in single features; before the fit it serves the same
        end, and the weights are fitted to it.
    tol : float
        Tolerance at which the fit stops; see ``LogisticRegression``.
    max_iter : int
        Largest number of iterations of the fit.
    class_weight : {"balanced"} or None
        Whether samples of a rare class count for more, so that both classes weigh the same.
    random_state : int or None
        Seed of the order in which the fit goes through the samples.

    Attributes
    ----------
    classes_ : ndarray, shape (2,)
        The labels, sorted.
    ratio_ : ndarray of float64, shape (n_features,)
        The log-count ratio, positive where a feature speaks for the second class.
    coef_ : ndarray of float64, shape (1, n_features)
        Weights of the unscaled features.
    intercept_ : ndarray of float64, shape (1,)
        Log-odds of a sample without features.
    n_iter_ : int
        Number of iterations of the fit.

    References
    ----------
    Wang and Manning, Baselines and Bigrams: Simple, Good Sentiment and Topic Classification, ACL
    2012; with logistic regression: Mesnil et al., Ensemble of Generative and Discriminative
    Techniques for Sentiment Analysis of Movie Reviews, 2014.
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        alpha: float = 1.0,
        beta: float = 1.0,
        tol: float = 1e-4,
        max_iter: int = 1000,
        class_weight: Literal["balanced"] | None = None,
        random_state: int | None = None,
    ) -> None:
        self.C = C
        self.alpha = alpha
        self.beta = beta
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike) -> NbSvm:
        """Fit the weights.

        Parameters
        ----------
        X : ndarray or sparse matrix, shape (n_samples, n_features)
            Counts, or features made of counts, such as tf-idf.
        y : array-like, shape (n_samples,)
            Labels of two classes.

        Raises
        ------
        ValueError
            If there are not exactly two classes, if `alpha` is not above 0, or if `beta` is not
            from 0 to 1.
        """
        features, labels = self._validated(X, y)
        # Only the values are scaled: a sparse copy has the same places.
        return self._fit(_with_own_values(features), labels)

    def fit_in_place(self, X: Any, y: ArrayLike) -> NbSvm:
        """Fit the weights like `fit`, without a copy of the features: X is scaled afterwards.

        Parameters
        ----------
        X : ndarray or sparse matrix of float64, shape (n_samples, n_features)
            Counts, or features made of counts. In another format or type it is copied after all.
        y : array-like, shape (n_samples,)
            Labels of two classes.
        """
        return self._fit(*self._validated(X, y))

    def fit_over_blocks(self, blocks: Blocks, y: NDArray[Any]) -> NbSvm:
        """Fit the weights like `fit`, of which memory holds a block of features at a time.

        Parameters
        ----------
        blocks : Blocks
            The features.
        y : ndarray, shape (n_samples,)
            Labels of two classes.
        """
        self._require_parameters()
        codes, scales = self._begun(blocks.places, y)
        costs = costs_of(codes, self.C, self.class_weight, np.arange(2))
        found = minimise(
            logistic_problem(blocks, codes, costs, scales=scales),
            tol=self.tol,
            max_iter=self.max_iter,
        )
        self.n_features_in_ = blocks.places.shape[1]
        self.coef_, self.intercept_ = found.weights * scales, found.intercepts
        self.n_iter_ = found.iterations
        return self

    def _validated(self, X: Any, y: ArrayLike) -> tuple[Any, NDArray[Any]]:
        self._require_parameters()
        features, labels = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(labels)
        if (kind := type_of_target(labels, input_name="y")) != "binary":
            # The words by which scikit-learn's own checks know it.
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}."
            )
        return features, labels

    def _begun(
        self, features: Any, labels: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Learn classes and ratio; return the class of each sample and the scale of each column."""
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"NbSvm needs two classes, y has only one class: {self.classes_[0]}.")
        self.ratio_ = self._ratio(features, codes)
        return codes, (1 - self.beta) + self.beta * np.abs(self.ratio_)

    def _require_parameters(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"NbSvm: alpha is {self.alpha}; it must be above 0.")
        if not 0 <= self.beta <= 1:
            raise ValueError(f"NbSvm: beta is {self.beta}; it must be from 0 to 1.")

    def _fit(self, features: Any, labels: NDArray[Any]) -> NbSvm:
        codes, scales = self._begun(features, labels)
        _scale_columns(features, scales)
        # The dual solver is the quickest by far where there are more features than samples.
        inner = LogisticRegression(
            C=self.C,
            solver="liblinear",
            dual=True,
            tol=self.tol,
            max_iter=self.max_iter,
            class_weight=self.class_weight,
            random_state=self.random_state,
        ).fit(features, codes)
        # The penalty does not see the sign of a scale, so its magnitude is all that matters.
        self.coef_ = inner.coef_ * scales
        self.intercept_ = inner.intercept_
        self.n_iter_ = int(inner.n_iter_.max())
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the log-odds of the second class, shape (n_samples,)."""
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float64)
        odds: NDArray[np.float64] = features @ self.coef_[0] + self.intercept_[0]
        return odds

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the more probable label of each sample, shape (n_samples,)."""
        check_is_fitted(self)
        second = self.decision_function(X) > 0
        found: NDArray[Any] = self.classes_[second.astype(int)]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, shape (n_samples, 2)."""
        second = expit(self.decision_function(X))
        return np.column_stack([1 - second, second])

    def _ratio(self, X: Any, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        shares = []
        for occurrences in _occurrences(X, codes):
            counts = self.alpha + occurrences
            shares.append(np.log(counts / counts.sum()))
        ratio: NDArray[np.float64] = shares[1] - shares[0]
        return ratio

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a classifier; one that was stored before there were class weights has none."""
        super().__setstate__({"class_weight": None} | state)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_class = False
        # Where every feature occurs in every sample, none tells more than another.
        tags.classifier_tags.poor_score = True
        return tags


def _with_own_values(features: Any) -> Any:
    if not sparse.issparse(features):
        return features.copy()
    parts = (features.data.copy(), features.indices, features.indptr)
    return type(features)(parts, shape=features.shape)


def _occurrences(features: Any, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return in how many samples of each class a feature occurs, shape (2, n_features)."""
    found = np.zeros((2, features.shape[1]), np.int64)
    for rows in row_blocks(features):
        block, of_class = rows_of(features, rows), codes[rows]
        for code in (0, 1):
            if sparse.issparse(block):
                inside = np.repeat(of_class == code, np.diff(block.indptr)) & (block.data != 0)
                found[code] += np.bincount(block.indices[inside], minlength=features.shape[1])
            else:
                found[code] += (block[of_class == code] != 0).sum(axis=0)
    return found


def _scale_columns(features: Any, scales: NDArray[np.float64]) -> None:
    """Multiply each column, a block at a time, so that nothing has the size of the features."""
    for rows in row_blocks(features):
        if sparse.issparse(features):
            inside = entries_of(features, rows)
            features.data[inside] *= scales[features.indices[inside]]
        else:
            features[rows] *= scales
