"""Stage 4: fit one candidate, and log how it does on the validation documents to MLflow."""

import json

import mlflow

from benchmarks.tutorial.candidates import candidates
from benchmarks.tutorial.files import Files, load_pickle, parser
from benchmarks.tutorial.scores import score, select_experiment


def train(files: Files, name: str, tracking_uri: str) -> None:
    """Fit a candidate without the validation documents and keep what it shows on them."""
    candidate = candidates()[name]
    matrix, labels, validation = load_pickle(files.train_features(candidate.features))
    model = candidate.estimator.fit(matrix[~validation], labels[~validation])
    metrics = score(model, matrix[validation], labels[validation])
    select_experiment(files, tracking_uri)
    with mlflow.start_run(run_name=name):
        mlflow.log_params(model.get_params())
        mlflow.log_metrics(metrics)
    files.candidate_metrics(name).parent.mkdir(parents=True, exist_ok=True)
    files.candidate_metrics(name).write_text(json.dumps(metrics))


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("candidate", choices=list(candidates()))
    arguments.add_argument("--tracking-uri", help="default: mlflow.db in the working folder")
    options = arguments.parse_args()
    files = Files(options.work)
    train(files, options.candidate, options.tracking_uri or files.tracking_uri)


if __name__ == "__main__":
    main()
