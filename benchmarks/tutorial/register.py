"""Stage 7: register the logged model, and let it take over when its accuracy is the higher one."""

import json

import mlflow
from mlflow import MlflowClient

from benchmarks.tutorial.files import Files, parser

MODEL_NAME = "tutorial"
ALIAS = "production"
METRIC = "accuracy"


def metric_of(client: MlflowClient, run_id: str) -> float:
    """Return the figure that decides, as the run logged it."""
    return float(client.get_run(run_id).data.metrics[METRIC])


def beats_present(client: MlflowClient, run_id: str) -> bool:
    """Tell whether the run's model is better than the one with the alias, or the first one."""
    present = client.get_registered_model(MODEL_NAME).aliases.get(ALIAS)
    present_run = client.get_model_version(MODEL_NAME, present).run_id if present else None
    return present_run is None or metric_of(client, run_id) > metric_of(client, present_run)


def register(files: Files, tracking_uri: str) -> None:
    """Make the logged model a new version, and set the alias on it when it is better."""
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    client = MlflowClient()
    info = json.loads(files.run_info.read_text())
    registered = mlflow.register_model(info["model_uri"], MODEL_NAME)
    if beats_present(client, info["run_id"]):
        client.set_registered_model_alias(MODEL_NAME, ALIAS, registered.version)


def main() -> None:
    """Run the stage."""
    arguments = parser(__doc__)
    arguments.add_argument("--tracking-uri", help="default: mlflow.db in the working folder")
    options = arguments.parse_args()
    files = Files(options.work)
    register(files, options.tracking_uri or files.tracking_uri)


if __name__ == "__main__":
    main()
