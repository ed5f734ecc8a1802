"""Gradient-boosted trees of XGBoost.

A feature contributes its TreeSHAP value, in log-odds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.estimators.base import EstimatorSpec, towards

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _contributions(classifier: Any, row: NDArray[np.float64], position: int) -> NDArray[np.float64]:
    (outputs,) = classifier.contributions(row)
    # The last column is the baseline.
    return towards(outputs, position, outputs.sum(axis=1))


ESTIMATOR = EstimatorSpec(
    name="xgboost",
    class_path="perennial.classifiers.xgboost:XGBoostClassifier",
    missing="accepted",
    parameters=(
        "class_weight",
        "colsample_bytree",
        "gamma",
        "learning_rate",
        "max_bin",
        "max_depth",
        "min_child_weight",
        "n_estimators",
        "n_jobs",
        "random_state",
        "reg_alpha",
        "reg_lambda",
        "subsample",
    ),
    contributions=_contributions,
    imported_later=("xgboost",),
)
