"""Beforehand: what the last steps of a retraining need that has nothing to do with its documents.

Matplotlib, and what MLflow writes a model with, take more than a second to import. The first steps
leave a processor idle now and then; the last ones would make everything wait.
"""

from __future__ import annotations

from perennial.config.problem import Problem
from perennial.registry import artifact


def load_candidates(problem: Problem) -> None:
    """Import what the candidates are made of.

    Threads that import scikit-learn's modules at once, in different orders, get half of one.
    """
    # Of all libraries that `get_ready` imports, and of linear models while they are fitted.
    import sklearn.svm  # noqa: F401

    from perennial.training.pipelines import build_classifier

    for name in problem.candidates:
        build_classifier(problem, name)


def get_ready() -> None:
    """Import what draws the pictures and what writes the model."""
    artifact.get_ready()
