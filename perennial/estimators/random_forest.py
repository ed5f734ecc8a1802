"""A random forest: the mean of trees that see other samples and features each.

A feature contributes the mean of what it contributes in the trees; see `decision_tree`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.estimators.base import EstimatorSpec
from perennial.estimators.decision_tree import path_contributions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _contributions(forest: Any, row: NDArray[np.float64], position: int) -> NDArray[np.float64]:
    import numpy as np

    trees = [path_contributions(tree, row, position) for tree in forest.estimators_]
    return np.asarray(np.mean(trees, axis=0), np.float64)


ESTIMATOR = EstimatorSpec(
    name="random_forest",
    class_path="sklearn.ensemble:RandomForestClassifier",
    missing="dense",
    parameters=(
        "bootstrap",
        "ccp_alpha",
        "class_weight",
        "criterion",
        "max_depth",
        "max_features",
        "max_leaf_nodes",
        "max_samples",
        "min_impurity_decrease",
        "min_samples_leaf",
        "min_samples_split",
        "min_weight_fraction_leaf",
        "monotonic_cst",
        "n_estimators",
        "n_jobs",
        "oob_score",
        "random_state",
        "verbose",
        "warm_start",
    ),
    contributions=_contributions,
    foreign_types=("sklearn.tree._tree.Tree",),
)
