"""Stage 5: score the test part, and log parameters, metrics and model to MLflow."""

import json
from importlib.metadata import version
from typing import Any

import mlflow
import mlflow.sklearn
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from benchmarks.tutorial.files import Files, load_pickle, parser

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
    }


def select_experiment(files: Files) -> None:
    """Make the experiment on first use, with its artifacts beside the other files."""
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        mlflow.create_experiment(EXPERIMENT, files.artifacts.resolve().as_uri())
    mlflow.set_experiment(EXPERIMENT)


def log(model: Any, metrics: dict[str, float]) -> dict[str, str]:
    """Log one run with its model and return where they are."""
    with mlflow.start_run() as run:
        mlflow.log_params(model.get_params())
        mlflow.log_metrics(metrics)
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
            # Without these MLflow loads the model in a second process to infer them, for seconds.
            pip_requirements=[
                f"{package}=={version(package)}" for package in ("scikit-learn", "cloudpickle")
            ],
        )
    return {"run_id": run.info.run_id, "model_uri": logged.model_uri}


def evaluate(files: Files, tracking_uri: str) -> None:
    """Score the model, write its figures, and log the run."""
    model = load_pickle(files.model)
    matrix, labels = load_pickle(files.test_features)
    metrics = score(model, matrix, labels)
    files.metrics.parent.mkdir(parents=True, exist_ok=True)
    files.metrics.write_text(json.dumps(metrics, indent=2))
    mlflow.set_tracking_uri(tracking_uri)
    select_experiment(files)
    files.run_info.write_text(json.dumps(log(model, metrics), indent=2))


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("--tracking-uri", help="default: mlflow.db in the working folder")
    options = arguments.parse_args()
    files = Files(options.work)
    evaluate(files, options.tracking_uri or files.tracking_uri)


if __name__ == "__main__":
    main()
