"""The figures of a model, and the MLflow experiment that keeps them."""

from typing import Any

import mlflow
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from benchmarks.tutorial.files import Files

EXPERIMENT = "tutorial"


def score(model: Any, matrix: Any, labels: Any) -> dict[str, float]:
    """Return the figures of `model` on one part."""
    predicted = model.predict(matrix)
    probability = model.predict_proba(matrix)[:, 1]
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "precision": float(precision_score(labels, predicted)),
        "recall": float(recall_score(labels, predicted)),
        "f1": float(f1_score(labels, predicted)),
        "roc_auc": float(roc_auc_score(labels, probability)),
        "log_loss": float(log_loss(labels, probability)),
    }


def select_experiment(files: Files, tracking_uri: str) -> None:
    """Make the experiment on first use, with its artifacts beside the other files."""
    mlflow.set_tracking_uri(tracking_uri)
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        mlflow.create_experiment(EXPERIMENT, files.artifacts.resolve().as_uri())
    mlflow.set_experiment(EXPERIMENT)
