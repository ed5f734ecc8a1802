"""Where MLflow is (a server, DagsHub, SQLite in the data folder), its failures, and its runs.

MLflow reads its environment when it is imported: call `libraries.prepare_environment` before this
module is, as the packages `flows` and `tasks` do.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from requests.exceptions import RequestException

from perennial.commands import command
from perennial.errors import OutsideError, UnavailableError
from perennial.libraries import MLFLOW_MODELS, without_mlflow_password
from perennial.redaction import split_credentials
from perennial.registry import artifact_store, provenance
from perennial.registry.provenance import SnapshotLike, origin
from perennial.registry.tags import TAG, RunKey, RunKind
from perennial.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# By this tag MLflow's pages show an experiment as one in which models are trained.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_OTHER_SCHEMA = "out-of-date database schema"


def open_client(settings: Settings) -> MlflowClient:
    """Return a client of the MLflow of these settings, which has answered once.

    Raises
    ------
    OutsideError
        If it does not answer.
    """
    with explained():
        uri = _tracking_uri(settings)
        if uri.startswith("sqlite:"):
            artifact_store.make_relative(artifact_store.database_of(uri))
        artifact_store.resolve_beside_database()
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
        return without_mlflow_password(settings.mlflow_tracking_uri)
    if settings.dagshub_repo_name is not None:
        return _dagshub_uri(settings)
    database = artifact_store.embedded_database(settings)
    database.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{database}"


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
    """Return where to keep files when no server says it: beside the database."""
    server = settings.mlflow_tracking_uri or settings.dagshub_repo_name
    if server and not server.startswith("sqlite:"):
        return None
    return artifact_store.ROOT


@contextmanager
def explained() -> Iterator[None]:
    """Turn a failure of MLflow or of its storage into one sentence."""
    try:
        yield
    except (MlflowException, RequestException, OSError, sqlite3.Error) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if _OTHER_SCHEMA in reason:
            raise OutsideError(
                "The database of MLflow has the tables of another version of MLflow than the one "
                f"that is installed; `{command('upgrade')}` brings those of an earlier one to it."
            ) from error
        away = isinstance(error, RequestException) or "API request" in reason
        raise (UnavailableError if away else OutsideError)(
            f"MLflow cannot be used; check MLFLOW_TRACKING_URI or the DAGSHUB settings: {reason}"
        ) from error


def experiment(client: MlflowClient, problem: str, artifacts: str | None) -> str:
    """Return the id of a problem's experiment, made when there is none."""
    found = client.get_experiment_by_name(problem)
    if found is None:
        try:
            return str(client.create_experiment(problem, artifacts, tags=_KIND))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return experiment(client, problem, artifacts)
    if not _KIND.keys() <= found.tags.keys():
        # Of an earlier version; what a person has chosen stays.
        for key, value in _KIND.items():
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def _end_abandoned(client: MlflowClient, experiment_id: str, tag: str, kind: str) -> list[str]:
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


class Runs:
    """The runs of MLflow and what is kept with them.

    Parameters
    ----------
    client : MlflowClient
        See `open_client`.
    settings : Settings
        Where files and pages are.
    """

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        self._client = client
        self._artifacts = embedded_artifacts(settings)
        self._pages = _pages(settings.mlflow_ui_url or split_credentials(client.tracking_uri).uri)

    @contextmanager
    def run(
        self,
        problem: str,
        name: str,
        *,
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """Yield the id of a new run, which ends as finished, or as failed when the block raises."""
        own = {TAG + key: value for key, value in (tags or {}).items()}
        family = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
        with explained():
            run = self._client.create_run(
                experiment(self._client, problem, self._artifacts),
                run_name=name,
                tags=origin() | own | family,
            )
        try:
            yield run.info.run_id
        except BaseException as error:
            # Whoever cancels a run or ends its process asks for no less than that.
            ended = "FAILED" if isinstance(error, Exception) else "KILLED"
            # MLflow may be what failed; the failure itself must not be lost over it.
            with suppress(MlflowException, RequestException):
                self._client.set_terminated(run.info.run_id, ended)
            raise
        with explained():
            self._client.set_terminated(run.info.run_id, "FINISHED")

    def end_abandoned(self, problem: str, kind: RunKind) -> list[str]:
        """End the runs of a kind whose processes were killed; the caller knows that none lives.

        Returns
        -------
        list of str
            The ids of the runs that are marked as killed now, those below them first.
        """
        with explained():
            found = experiment(self._client, problem, self._artifacts)
            return _end_abandoned(self._client, found, RunKey.KIND.tag, kind)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add parameters, metrics and tags to a run."""
        now = int(time.time() * 1000)
        with explained():
            self._client.log_batch(
                run_id,
                params=[Param(key, str(value)) for key, value in (params or {}).items()],
                metrics=[Metric(key, value, now, 0) for key, value in (metrics or {}).items()],
                tags=[RunTag(TAG + key, value) for key, value in (tags or {}).items()],
            )

    def log_snapshot(self, run_id: str, snapshot: SnapshotLike) -> None:
        """Record which snapshot a run learned from, as the run's dataset."""
        with explained():
            provenance.record_snapshot(self._client, run_id, snapshot)

    def log_files(
        self, run_id: str, texts: Mapping[str, str], figures: Mapping[str, Figure]
    ) -> None:
        """Keep texts and pictures with a run: file name -> content."""
        with explained():
            for name, text in texts.items():
                self._client.log_text(run_id, text, name)
            for name, figure in figures.items():
                self._client.log_figure(run_id, figure, name)

    def attach(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Keep files with a run: file name -> content."""
        with explained():
            provenance.attach(self._client, run_id, files)

    def attached(self, run_id: str, name: str) -> bytes | None:
        """Return a file that was kept with a run, or None if there is none of that name."""
        with explained():
            return provenance.attached(self._client, run_id, name)

    def page(
        self, problem: str, *, run_id: str | None = None, version: int | None = None
    ) -> str | None:
        """Return where people see a run, or a version, or None if MLflow has no pages here."""
        if self._pages is None:
            return None
        if version is not None:
            return f"{self._pages}/#/models/{problem}/versions/{version}?{MLFLOW_MODELS}"
        with explained():
            found = experiment(self._client, problem, self._artifacts)
            return f"{self._pages}/#/experiments/{found}/runs/{run_id}?{MLFLOW_MODELS}"

    def has_finished(self, problem: str, tags: Mapping[str, str]) -> bool:
        """Return whether a run with all these tags has finished."""
        return self.find_run(problem, tags) is not None

    def find_run(self, problem: str, tags: Mapping[str, str]) -> str | None:
        """Return the id of the newest finished run with all these tags, or None."""
        with explained():
            conditions = [f"tags.`{TAG}{key}` = '{value}'" for key, value in tags.items()]
            runs = self._client.search_runs(
                [experiment(self._client, problem, self._artifacts)],
                " and ".join(["attributes.status = 'FINISHED'", *conditions]),
                max_results=1,
            )
            return str(runs[0].info.run_id) if runs else None

    def series(self, run_id: str, metric: str) -> tuple[tuple[datetime, float], ...]:
        """Return every value of a run's metric with its time, the oldest first."""
        with explained():
            found = self._client.get_metric_history(run_id, metric)
        return tuple(
            sorted(
                (datetime.fromtimestamp(each.timestamp / 1000, UTC), each.value) for each in found
            )
        )

    def runs_with(self, problem: str, metric: str) -> tuple[str, ...]:
        """Return the ids of all runs of a problem, finished or not, with a metric above 0."""
        found: list[str] = []
        token: str | None = None
        with explained():
            wanted = [experiment(self._client, problem, self._artifacts)]
            while True:
                page = self._client.search_runs(wanted, f"metrics.`{metric}` > 0", page_token=token)
                found += [str(run.info.run_id) for run in page]
                token = page.token
                if not token:
                    return tuple(found)


def _pages(address: str) -> str | None:
    """Return the address of MLflow's pages: DagsHub and a server show them where they answer."""
    return address.rstrip("/") if address.startswith(("http://", "https://")) else None
