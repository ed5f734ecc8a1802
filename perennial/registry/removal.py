"""Removal: problems that are retired; versions, models and runs, for good where they can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from perennial.errors import OutsideError
from perennial.packages.private_parts import PrivatePart
from perennial.registry import artifact_store
from perennial.registry.examples import Examples
from perennial.registry.leftovers import PastRun, deepest_first
from perennial.registry.model_version import Aliases, ModelVersion
from perennial.registry.runs import experiment, explained
from perennial.registry.storage.remains import forget_links, remove_remains
from perennial.registry.storage.shared_code import share_code
from perennial.registry.tags import CHANGED, ERASURE, HISTORY, RETIRED, RunKey
from perennial.settings import Settings

_MODULE = "mlflow.store.tracking.sqlalchemy_store"
_PARTS = (
    PrivatePart("mlflow", _MODULE, "SqlAlchemyStore._hard_delete_run", ("self", "run_id")),
    PrivatePart(
        "mlflow", _MODULE, "SqlAlchemyStore._hard_delete_logged_model", ("self", "model_id")
    ),
)
_PROBLEMS_AT_ONCE = 1_000
_BEGUN = timedelta(days=1)
_GONE = "RESOURCE_DOES_NOT_EXIST"


class Removal(Examples):
    """Lets go of problems, and removes what retrainings left of them in MLflow."""

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        super().__init__(client, settings)
        self._settings = settings
        self._database = _database(client, settings)

    @property
    def removes_rows(self) -> bool:
        """Whether rows of MLflow's database are removed, or only marked as deleted there."""
        return self._database is not None

    def problems(self) -> tuple[Aliases, ...]:
        """Return what the aliases of every problem name, by one question to MLflow per page."""
        found: list[Aliases] = []
        token: str | None = None
        with explained():
            while True:
                page = self._client.search_registered_models(
                    max_results=_PROBLEMS_AT_ONCE, page_token=token
                )
                found += map(_aliases, page)
                token = page.token
                if not token:
                    return tuple(found)

    def aliases_of(self, problem: str) -> Aliases | None:
        """Return what the aliases of a problem name; None if it has no versions."""
        with explained():
            try:
                return _aliases(self._client.get_registered_model(problem))
            except MlflowException as error:
                if error.error_code == _GONE:
                    return None
                raise

    def retire(self, problem: str, at: datetime) -> None:
        """Let services and the exporter let go of a problem; its versions stay.

        Raises
        ------
        OutsideError
            If MLflow fails, or has no versions of it.
        """
        self._require_model(problem)
        with explained():
            self._client.set_registered_model_tag(problem, RETIRED, at.isoformat())

    def bring_back(self, problem: str) -> None:
        """Undo a retirement.

        Raises
        ------
        OutsideError
            If MLflow fails, or has no versions of it.
        """
        self._require_model(problem)
        with explained():
            self._client.delete_registered_model_tag(problem, RETIRED)

    def _require_model(self, problem: str) -> None:
        if self.aliases_of(problem) is None:
            raise OutsideError(f"MLflow has no versions of {problem!r} (MLFLOW_TRACKING_URI).")

    def past_runs(self, problem: str) -> tuple[PastRun, ...]:
        """Return all runs of a problem, in any order."""
        with explained():
            return tuple(map(_past, self._all_runs(problem)))

    def models_stored_before(self, problem: str, moment: datetime) -> tuple[str, ...]:
        """Return the ids of the models that were stored before a moment, registered or not."""
        return tuple(
            model.model_id
            for model in self._stored(problem)
            if _time(model.creation_timestamp) < moment
        )

    def remove_version(self, version: ModelVersion) -> None:
        """Remove a version with its model; its run stays.

        The version goes first: whenever the process ends, no version names a model that is gone.

        Raises
        ------
        OutsideError
            If MLflow fails.
        """
        with explained(), _unless_gone():
            self._client.delete_model_version(version.problem, str(version.version))
        if version.model_id is not None:
            self.remove_model(version.model_id)

    def remove_model(self, model_id: str) -> None:
        """Remove a stored model and its files.

        Raises
        ------
        OutsideError
            If MLflow fails.
        """
        with explained(), _unless_gone():
            self._files(model_id).delete_artifacts()
            self._client.delete_logged_model(model_id)
            if self._store is not None:
                forget_links(self._store.engine, model_id)
                self._store._hard_delete_logged_model(model_id)  # noqa: SLF001

    def remove_run(self, run_id: str) -> None:
        """Remove a run and its files.

        Raises
        ------
        OutsideError
            If MLflow fails.
        """
        with explained(), _unless_gone():
            place = self._client.get_run(run_id).info.artifact_uri
            get_artifact_repository(
                place, tracking_uri=self._client.tracking_uri
            ).delete_artifacts()
            self._client.delete_run(run_id)
            if self._store is not None:
                forget_links(self._store.engine, run_id)
                self._store._hard_delete_run(run_id)  # noqa: SLF001

    def remove_remains(self, problem: str) -> None:
        """Remove the rows and folders that MLflow keeps of versions and runs that were removed.

        Raises
        ------
        OutsideError
            If MLflow fails.
        """
        folder = artifact_store.folder_here(self._client.tracking_uri, self._settings)
        if folder is not None:
            # A run that has just begun may have a folder, and no file in it.
            artifact_store.remove_empty(folder, datetime.now(UTC) - _BEGUN)
        if self._store is not None:
            with explained():
                found = experiment(self._client, problem, self._artifacts)
            remove_remains(self._store.engine, problem, found)

    def share_code(self) -> int:
        """Keep equal code of models on this machine once; return the bytes that gives back."""
        folder = artifact_store.folder_here(self._client.tracking_uri, self._settings)
        return 0 if folder is None else share_code(folder)

    def remove_problem(self, problem: str) -> tuple[int, int]:
        """Remove all versions, models and runs of a problem; return how many models and runs.

        Whenever the process ends, the next call removes what is left.

        Raises
        ------
        OutsideError
            If MLflow fails.
        """
        models = tuple(model.model_id for model in self._stored(problem))
        runs = deepest_first(self.past_runs(problem))
        with explained(), _unless_gone():
            self._client.delete_registered_model(problem)
        for model in models:
            self.remove_model(model)
        for run in runs:
            self.remove_run(run.run_id)
        return len(models), len(runs)

    def _all_runs(self, problem: str) -> Iterator[Run]:
        wanted = [experiment(self._client, problem, self._artifacts)]
        token: str | None = None
        while True:
            page = self._client.search_runs(wanted, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    @cached_property
    def _store(self) -> Any:
        """The database behind MLflow, if it can be reached."""
        if self._database is None:
            return None
        for part in _PARTS:
            part.require()
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        return SqlAlchemyStore(self._database, artifact_store.ROOT)


def _aliases(model: RegisteredModel) -> Aliases:
    return Aliases(
        model.name,
        {name: int(version) for name, version in model.aliases.items()},
        erasure=model.tags.get(ERASURE),
        had_production=any(key.startswith(HISTORY) for key in model.tags),
        retired=model.tags.get(RETIRED),
        changed=model.tags.get(CHANGED),
    )


def _database(client: MlflowClient, settings: Settings) -> str | None:
    if client.tracking_uri.startswith("sqlite:"):
        return str(client.tracking_uri)
    named = settings.mlflow_backend_store_uri
    return None if named is None else named.get_secret_value()


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Let what somebody else has removed already be removed."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != _GONE:
            raise


def _past(run: Run) -> PastRun:
    return PastRun(
        run_id=run.info.run_id,
        kind=run.data.tags.get(RunKey.KIND.tag),
        parent=run.data.tags.get(MLFLOW_PARENT_RUN_ID),
        started=_time(run.info.start_time),
        is_running=run.info.status in ("RUNNING", "SCHEDULED"),
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
