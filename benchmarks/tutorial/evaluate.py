"""Stage 6: score the test part, and log parameters, metrics and model to MLflow."""

import json
from typing import Any

import mlflow
import mlflow.sklearn

from benchmarks.tutorial.candidates import candidates
from benchmarks.tutorial.files import Files, load_pickle, parser
from benchmarks.tutorial.scores import score, select_experiment


def log(model: Any, metrics: dict[str, float], files: Files, features: str) -> dict[str, str]:
    """Log one run with its model and vectoriser, and return where they are."""
    with mlflow.start_run() as run:
        mlflow.log_params(model.get_params())
        mlflow.log_metrics(metrics)
        mlflow.log_artifact(str(files.vectorizer(features)))
        logged = mlflow.sklearn.log_model(model, name="model")
    return {"run_id": run.info.run_id, "model_uri": logged.model_uri}


def evaluate(files: Files, tracking_uri: str) -> None:
    """Score the model, write its figures, and log the run."""
    features = candidates()[json.loads(files.best.read_text())].features
    model = load_pickle(files.model)
    matrix, labels = load_pickle(files.test_features(features))
    metrics = score(model, matrix, labels)
    files.metrics.write_text(json.dumps(metrics, indent=2))
    select_experiment(files, tracking_uri)
    files.run_info.write_text(json.dumps(log(model, metrics, files, features), indent=2))


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("--tracking-uri", help="default: mlflow.db in the working folder")
    options = arguments.parse_args()
    files = Files(options.work)
    evaluate(files, options.tracking_uri or files.tracking_uri)


if __name__ == "__main__":
    main()
