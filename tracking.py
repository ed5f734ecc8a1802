"""Where MLflow is: the configured server, DagsHub, or SQLite in the data folder; and its failures.

MLflow reads its environment when it is imported: call `settings.prepare_environment` before this
module is, as the packages `flows` and `tasks` do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from requests.exceptions import RequestException

from settings import OutsideError, Settings, UnavailableError

_URI_VARIABLE = "MLFLOW_TRACKING_URI"


def open_client(settings: Settings) -> MlflowClient:
    """Return a client of the MLflow of these settings, which has answered once.

    Raises
    ------
    OutsideError
        If it does not answer.
    """
    with explained():
        uri = _tracking_uri(settings)
        _use(uri)
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
    return client


def _use(uri: str) -> None:
    """Point MLflow's fluent functions at an address.

    MLflow writes the address to the environment, where it would look like a setting of the user.
    """
    before = os.environ.get(_URI_VARIABLE)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if before is None:
        os.environ.pop(_URI_VARIABLE, None)


def _tracking_uri(settings: Settings) -> str:
    if settings.mlflow_tracking_uri is not None:
        return settings.mlflow_tracking_uri
    if settings.dagshub_repo_name is not None:
        return _dagshub_uri(settings)
    folder = settings.data_dir.absolute() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def _dagshub_uri(settings: Settings) -> str:
    """Let DagsHub's client set the address and the credentials of its MLflow."""
    owner, token = settings.dagshub_repo_owner, settings.dagshub_token
    if owner is None or token is None:
        raise OutsideError(
            "DAGSHUB_REPO_NAME is set; DAGSHUB_REPO_OWNER and DAGSHUB_TOKEN are needed with it."
        )
    # Read when dagshub is imported; its function for adding a token would write it to the disk.
    os.environ["DAGSHUB_USER_TOKEN"] = token.get_secret_value()
    try:
        import dagshub
    except ImportError as error:
        raise OutsideError(
            "DAGSHUB_REPO_NAME needs the package dagshub, which is not installed here; set "
            "MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead."
        ) from error
    try:
        dagshub.init(repo_name=settings.dagshub_repo_name, repo_owner=owner, mlflow=True)
    except Exception as error:
        name = f"{owner}/{settings.dagshub_repo_name}"
        raise OutsideError(
            f"DagsHub does not open {name!r}; check DAGSHUB_REPO_OWNER, DAGSHUB_REPO_NAME and "
            f"DAGSHUB_TOKEN: {error}"
        ) from error
    return os.environ[_URI_VARIABLE]


def embedded_artifacts(settings: Settings) -> str | None:
    """Return where to keep files when no server does: beside the other data."""
    server = settings.mlflow_tracking_uri or settings.dagshub_repo_name
    if server and not server.startswith("sqlite:"):
        return None
    return (settings.data_dir.absolute() / "mlflow" / "artifacts").as_uri()


@contextmanager
def explained() -> Iterator[None]:
    """Turn a failure of MLflow or of its storage into one sentence."""
    try:
        yield
    except (MlflowException, RequestException, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        away = isinstance(error, RequestException) or "API request" in reason
        raise (UnavailableError if away else OutsideError)(
            f"MLflow cannot be used; check MLFLOW_TRACKING_URI or the DAGSHUB settings: {reason}"
        ) from error


def experiment(client: MlflowClient, problem: str, artifacts: str | None) -> str:
    """Return the id of a problem's experiment, made when there is none."""
    found = client.get_experiment_by_name(problem)
    if found is None:
        try:
            return str(client.create_experiment(problem, artifacts))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return experiment(client, problem, artifacts)
    return str(found.experiment_id)


def end_abandoned(client: MlflowClient, experiment_id: str, tag: str, kind: str) -> list[str]:
    """Mark the runs of a kind that still count as running, and the runs below them, as killed."""
    parents = _running(client, experiment_id, f"tags.`{tag}` = '{kind}'")
    if not parents:
        return []
    known = {run.info.run_id for run in parents}
    below = [
        run
        for run in _running(client, experiment_id)
        if run.data.tags.get(MLFLOW_PARENT_RUN_ID) in known
    ]
    ended = [run.info.run_id for run in (*below, *parents)]
    for run_id in ended:
        client.set_terminated(run_id, "KILLED")
    return ended


def _running(client: MlflowClient, experiment_id: str, *conditions: str) -> list[Run]:
    wanted = " and ".join(["attributes.status = 'RUNNING'", *conditions])
    return list(client.search_runs([experiment_id], wanted))


def ensure_model(client: MlflowClient, problem: str) -> None:
    """Make the registered model of a problem when there is none."""
    try:
        client.create_registered_model(problem)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
