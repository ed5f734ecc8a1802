"""XGBoost's classifier as a model file can hold it, without pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

if TYPE_CHECKING:
    from xgboost import Booster, DMatrix

_FORMAT = "ubj"


class XGBoostClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """XGBoost's classifier, with the fitted trees kept as bytes in XGBoost's own binary format.

    ``xgboost.XGBClassifier`` holds a C++ object that only pickle can store. The state of this class
    is arrays, numbers and bytes, which skops stores and loads as they are. Labels may be of any
    type that sorts. The same data, parameters and `n_jobs` give the same trees on one machine.

    Parameters
    ----------
    n_estimators : int
        Rounds of boosting; each adds one tree, or one per class when there are more than two.
    max_depth : int
        Depth of a tree at most; 0 is no limit.
    learning_rate : float
        Share of each tree that is added.
    min_child_weight : float
        Least sum of second derivatives of the loss in a leaf.
    gamma : float
        Least gain of a split.
    subsample : float
        Share of the samples that each tree is fitted on.
    colsample_bytree : float
        Share of the features that each tree is fitted on.
    reg_alpha, reg_lambda : float
        L1 and L2 penalty of the values of leaves.
    max_bin : int
        Bins into which the values of a feature are sorted before splits are looked for.
    n_jobs : int or None
        Threads, None for all processors. One by default, since candidates are fitted side by side.
    class_weight : {"balanced"} or None
        Whether samples of a rare class count for more, so that all classes weigh the same.
    random_state : int
        Seed of the choice of samples and features.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels, sorted.
    n_features_in_ : int
        Number of features.
    sparse_ : bool
        Whether it was fitted on a sparse matrix. Values that a sparse matrix does not store count
        as missing, not as zero, so inputs are brought to the same form before they are scored.
    trees_ : bytes
        The fitted trees, in XGBoost's universal binary JSON.

    References
    ----------
    Chen and Guestrin, XGBoost: A Scalable Tree Boosting System, KDD 2016.
    """

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        max_depth: int = 6,
        learning_rate: float = 0.3,
        min_child_weight: float = 1.0,
        gamma: float = 0.0,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 1.0,
        max_bin: int = 256,
        n_jobs: int | None = 1,
        class_weight: Literal["balanced"] | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.min_child_weight = min_child_weight
        self.gamma = gamma
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.n_jobs = n_jobs
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> XGBoostClassifier:
        """Fit the trees.

        Parameters
        ----------
        X : ndarray or sparse matrix, shape (n_samples, n_features)
            Features; NaN marks a missing value.
        y : array-like, shape (n_samples,)
            Labels, of two classes or more.
        sample_weight : array-like or None, shape (n_samples,)
            How much each sample counts.

        Raises
        ------
        ValueError
            If there is one class only, or if a value is infinite.
        """
        import xgboost

        features, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float32, ensure_all_finite="allow-nan"
        )
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            only = str(self.classes_[0])
            raise ValueError(
                f"XGBoostClassifier needs two classes or more, y has one class: {only!r}."
            )
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, features)
        if self.class_weight is not None:
            balance = compute_sample_weight(self.class_weight, codes)
            weights = balance if weights is None else weights * balance
        self.sparse_ = sparse.issparse(features)
        trees = xgboost.train(
            self._parameters(),
            self._matrix(features, label=codes, weight=weights),
            num_boost_round=self.n_estimators,
        )
        self.trees_ = bytes(trees.save_raw(_FORMAT))
        self._booster = trees
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, shape (n_samples, n_classes)."""
        matrix = self._checked(X)
        found = self._open().predict(matrix).astype(np.float64)
        if len(self.classes_) == 2:
            return np.column_stack([1 - found, found])
        # Sums of 32-bit numbers are not quite 1.
        probabilities: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each sample, shape (n_samples,)."""
        best = self.predict_proba(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def contributions(self, X: Any) -> NDArray[np.float64]:
        """Return how far each feature moves each sample's outputs.

        For every sample and output the contributions and the last column, which is the same for
        all samples, add up to the output (TreeSHAP: Lundberg, Erion and Lee, Consistent
        Individualized Feature Attribution for Tree Ensembles, 2018).

        Returns
        -------
        ndarray of float64, shape (n_samples, n_outputs, n_features + 1)
            In log-odds. Two classes have one output, that of the second; more one output each.
        """
        matrix = self._checked(X)
        found = self._open().predict(matrix, pred_contribs=True, strict_shape=True)
        return np.asarray(found, np.float64)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the opened trees, which its bytes hold already."""
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_booster"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a classifier; one that was stored before there were class weights has none."""
        super().__setstate__({"class_weight": None} | state)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    def _parameters(self) -> dict[str, Any]:
        several = len(self.classes_) > 2
        own: dict[str, Any] = self.get_params()
        del own["n_estimators"]
        threads = own.pop("n_jobs")
        # They are weights of samples by now.
        del own["class_weight"]
        return own | {
            "objective": "multi:softprob" if several else "binary:logistic",
            **({"num_class": len(self.classes_)} if several else {}),
            "tree_method": "hist",
            "nthread": 0 if threads is None else threads,
            "verbosity": 0,
        }

    def _checked(self, X: Any) -> DMatrix:
        check_is_fitted(self)
        features = validate_data(
            self,
            X,
            reset=False,
            accept_sparse="csr",
            dtype=np.float32,
            ensure_all_finite="allow-nan",
        )
        if self.sparse_ and not sparse.issparse(features):
            features = sparse.csr_array(features)
        elif not self.sparse_ and sparse.issparse(features):
            features = features.toarray()
        return self._matrix(features)

    def _matrix(self, features: Any, **about: Any) -> DMatrix:
        import xgboost

        return xgboost.DMatrix(features, nthread=1, **about)

    def _open(self) -> Booster:
        """Return the trees, read from their bytes once."""
        booster: Booster | None = getattr(self, "_booster", None)
        if booster is None:
            import xgboost

            booster = xgboost.Booster({"nthread": 1, "verbosity": 0})
            booster.load_model(bytearray(self.trees_))
            self._booster = booster
        return booster
