"""A simple model: what the same features are worth to an estimator of which nobody expects much."""

from __future__ import annotations

from typing import Any

from scipy import sparse
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeClassifier

_DEPTH = 3


def simple_model(matrix: Any) -> tuple[str, Pipeline]:
    """Return the name of a simple model, and the model, not yet fitted.

    Counts get naive Bayes, which only counts them once more; all other features get a decision tree
    that asks three questions.

    Parameters
    ----------
    matrix : sparse array or ndarray, shape (n_documents, n_features)
        The features.
    """
    if sparse.issparse(matrix) and matrix.data.min(initial=0.0) >= 0:
        return "naive Bayes on the same features", make_pipeline(ComplementNB(alpha=0.3))
    tree = DecisionTreeClassifier(max_depth=_DEPTH, random_state=0)
    return f"a tree of {_DEPTH} questions on the same features", make_pipeline(tree)
