"""A decision tree: splits on one feature after the other, which a person can read.

Along the path of a record, each split changes the share of a label among the training documents;
the change is what the split's feature contributes, in probability (Saabas 2014, the method of
``treeinterpreter``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.estimators.base import EstimatorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def path_contributions(tree: Any, row: NDArray[np.float64], position: int) -> NDArray[np.float64]:
    """Return what each feature contributes along the path of a row through a tree, and the root."""
    import numpy as np

    nodes = tree.tree_
    # Nodes are numbered from the root down, so that their order is the way of the record.
    path = tree.decision_path(row).indices
    shares = nodes.value[path, 0, :]
    shares = shares[:, position] / shares.sum(axis=1)
    found = np.append(np.zeros(row.shape[1]), shares[0])
    np.add.at(found, nodes.feature[path[:-1]], np.diff(shares))
    return found


ESTIMATOR = EstimatorSpec(
    name="decision_tree",
    class_path="sklearn.tree:DecisionTreeClassifier",
    missing="dense",
    parameters=(
        "ccp_alpha",
        "class_weight",
        "criterion",
        "max_depth",
        "max_features",
        "max_leaf_nodes",
        "min_impurity_decrease",
        "min_samples_leaf",
        "min_samples_split",
        "min_weight_fraction_leaf",
        "monotonic_cst",
        "random_state",
        "splitter",
    ),
    contributions=path_contributions,
    foreign_types=("sklearn.tree._tree.Tree",),
)
