"""The one door to MLflow: runs, model versions, and the aliases that say which one answers.

MLflow reads its environment when it is imported: call `settings.prepare_environment` before this
module is, as the packages `flows` and `tasks` do.
"""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_SOURCE_NAME,
    MLFLOW_USER,
)
from requests.exceptions import RequestException

from artifact import (
    GOLDEN_FILE,
    MODEL_FILE,
    REQUIREMENTS,
    Golden,
    ModelFile,
    log_model,
    open_model,
    read_golden,
)
from settings import PROJECT, OutsideError, Settings, UnavailableError
from versions import (
    CANARY,
    CANARY_MODE_TAG,
    CANARY_SHARE_TAG,
    PREVIOUS,
    PRODUCTION,
    SHADOW,
    SINCE_TAG,
    TAG,
    Aliases,
    ModelVersion,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from sklearn.pipeline import Pipeline

__all__ = [
    "CANARY",
    "PREVIOUS",
    "PRODUCTION",
    "TAG",
    "Aliases",
    "ModelVersion",
    "Registry",
    "SnapshotLike",
    "StaleComparisonError",
    "connect",
]

_ATTEMPTS = 5
_URI_VARIABLE = "MLFLOW_TRACKING_URI"


class SnapshotLike(Protocol):
    """What the registry needs to know of a snapshot: its problem, address, version and digest."""

    @property
    def problem(self) -> str: ...  # noqa: D102
    @property
    def uri(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


class StaleComparisonError(Exception):
    """Production has changed since the challenger was compared with it; compare again."""


class Registry:
    """MLflow as this project uses it; `connect` makes one."""

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        self._client = client
        self._artifacts = _embedded_artifacts(settings)
        self._pages = _pages(settings.mlflow_ui_url or client.tracking_uri)

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
        with _explained():
            run = self._client.create_run(
                self._experiment(problem), run_name=name, tags=_origin() | own | family
            )
        try:
            yield run.info.run_id
        except BaseException:
            # MLflow may be what failed; the failure itself must not be lost over it.
            with suppress(MlflowException, RequestException):
                self._client.set_terminated(run.info.run_id, "FAILED")
            raise
        with _explained():
            self._client.set_terminated(run.info.run_id, "FINISHED")

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
        with _explained():
            self._client.log_batch(
                run_id,
                params=[Param(key, str(value)) for key, value in (params or {}).items()],
                metrics=[Metric(key, value, now, 0) for key, value in (metrics or {}).items()],
                tags=[RunTag(TAG + key, value) for key, value in (tags or {}).items()],
            )

    def log_snapshot(self, run_id: str, snapshot: SnapshotLike) -> None:
        """Record which snapshot a run learned from, as the run's dataset."""
        source = DeltaDatasetSource(path=snapshot.uri, delta_table_version=snapshot.version)
        dataset = Dataset(
            name=snapshot.problem,
            digest=snapshot.digest,
            source_type="delta_table",
            source=source.to_json(),
        )
        use = InputTag("mlflow.data.context", "training")
        with _explained():
            for attempt in range(_ATTEMPTS):
                try:
                    self._client.log_inputs(run_id, [DatasetInput(dataset, [use])])
                    return
                except MlflowException as error:
                    # Two runs that record one new dataset at once: the second finds it next time.
                    if "UNIQUE constraint" not in str(error) or attempt == _ATTEMPTS - 1:
                        raise

    def log_files(
        self, run_id: str, texts: Mapping[str, str], figures: Mapping[str, Figure]
    ) -> None:
        """Keep texts and pictures with a run: file name -> content."""
        with _explained():
            for name, text in texts.items():
                self._client.log_text(run_id, text, name)
            for name, figure in figures.items():
                self._client.log_figure(run_id, figure, name)

    def register(
        self,
        problem: str,
        run_id: str,
        model: Pipeline,
        golden: Golden,
        *,
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Store a fitted model as the next version of a problem.

        The version is sound when it appears: its files are written, read back and tried on the
        golden examples before it is created.

        Parameters
        ----------
        problem : str
            Name of the registered model.
        run_id : str
            The run that made the model.
        model : Pipeline
            Raw texts in, labels and probabilities out.
        golden : Golden
            Stored beside the model.
        tags : mapping of str to str
            Facts about the version.

        Raises
        ------
        OutsideError
            If MLflow fails, or if what was stored does not load as it was.
        """
        with _explained():
            uri, model_id = log_model(run_id, model, golden)
        name = f"The model that was just stored for {problem!r} (MLFLOW_TRACKING_URI)"
        stored = self._download(model_id, name)
        open_model(stored, stored.sha256, name)
        facts = {"sha256": stored.sha256, "model_id": model_id, **tags}
        with _explained():
            self._ensure_model(problem)
            created = self._client.create_model_version(
                problem,
                uri,
                run_id=run_id,
                tags={TAG + key: value for key, value in facts.items()},
                model_id=model_id,
            )
        return _version(created)

    def load(self, version: ModelVersion) -> Pipeline:
        """Return the model of a version, its file verified and its golden examples tried.

        Raises
        ------
        OutsideError
            If the file is not the one that was registered, names a class that is not trusted, or
            gives other probabilities than it did when it was made.
        """
        return open_model(self.fetch(version), version.sha256, _named(version))

    def fetch(self, version: ModelVersion) -> ModelFile:
        """Return the stored files of a version, not verified yet.

        Raises
        ------
        OutsideError
            If MLflow fails, or if the version was not registered by this project.
        """
        name = _named(version)
        model_id = version.tags.get(TAG + "model_id")
        if model_id is None:
            raise OutsideError(f"{name} was not registered by flows.retrain and is not trusted.")
        return self._download(model_id, name)

    def problems(self) -> tuple[Aliases, ...]:
        """Return what the aliases of every problem name, by one question to MLflow per page."""
        found: list[Aliases] = []
        token: str | None = None
        with _explained():
            while True:
                page = self._client.search_registered_models(page_token=token)
                for model in page:
                    versions = {name: int(version) for name, version in model.aliases.items()}
                    found.append(Aliases(model.name, versions))
                token = page.token
                if not token:
                    return tuple(found)

    def version(self, problem: str, number: int) -> ModelVersion:
        """Return a version of a problem with its tags.

        Raises
        ------
        OutsideError
            If there is none, or MLflow fails.
        """
        with _explained():
            return _version(self._client.get_model_version(problem, str(number)))

    def production(self, problem: str) -> ModelVersion | None:
        """Return the version that answers requests, or None if there is none."""
        return self.alias(problem, PRODUCTION)

    def alias(self, problem: str, alias: str) -> ModelVersion | None:
        """Return the version that an alias names, or None."""
        with _explained():
            try:
                return _version(self._client.get_model_version_by_alias(problem, alias))
            except MlflowException as error:
                if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None
                raise

    def promote(self, version: ModelVersion, *, expected: ModelVersion | None) -> None:
        """Move the alias ``production`` to a version; the caller holds the problem's lease.

        MLflow moves one alias at a time, atomically. ``previous`` moves first: whenever the process
        ends, both aliases name versions that work.

        Raises
        ------
        StaleComparisonError
            If Production is not the expected version any more.
        """
        current = self.production(version.problem)
        if current is not None and current.version == version.version:
            return
        if (current and current.version) != (expected and expected.version):
            raise StaleComparisonError(f"Production is {current}, not {expected}")
        with _explained():
            if current is not None:
                self._name(current, PREVIOUS)
            self._name(version, PRODUCTION)

    def start_canary(self, version: ModelVersion, *, share: float, shadow: bool = False) -> None:
        """Let a version answer a share of the requests, or with `shadow` only see them."""
        tags = {CANARY_SHARE_TAG: str(share), CANARY_MODE_TAG: SHADOW if shadow else "answer"}
        with _explained():
            for key, value in tags.items():
                self._client.set_model_version_tag(
                    version.problem, str(version.version), key, value
                )
            self._name(version, CANARY)

    def stop_canary(self, problem: str) -> None:
        """Let no canary answer any more."""
        with _explained():
            self._client.delete_registered_model_alias(problem, CANARY)

    def _name(self, version: ModelVersion, alias: str) -> None:
        """Give an alias to a version, and write down since when.

        The alias moves last: until then the tag is only a note that nobody reads.
        """
        number, now = str(version.version), datetime.now(UTC).isoformat()
        self._client.set_model_version_tag(version.problem, number, SINCE_TAG + alias, now)
        self._client.set_registered_model_alias(version.problem, alias, number)

    def annotate(self, version: ModelVersion, *, description: str, tags: Mapping[str, str]) -> None:
        """Write facts onto a version: Markdown for people, tags for programs."""
        with _explained():
            self._client.update_model_version(version.problem, str(version.version), description)
            for key, value in tags.items():
                self._client.set_model_version_tag(
                    version.problem, str(version.version), TAG + key, value
                )

    def page(
        self, problem: str, *, run_id: str | None = None, version: int | None = None
    ) -> str | None:
        """Return where people see a run, or a version, or None if MLflow has no pages here."""
        if self._pages is None:
            return None
        if version is not None:
            return f"{self._pages}/#/models/{problem}/versions/{version}"
        with _explained():
            return f"{self._pages}/#/experiments/{self._experiment(problem)}/runs/{run_id}"

    def has_finished(self, problem: str, tags: Mapping[str, str]) -> bool:
        """Return whether a run with all these tags has finished."""
        with _explained():
            conditions = [f"tags.`{TAG}{key}` = '{value}'" for key, value in tags.items()]
            runs = self._client.search_runs(
                [self._experiment(problem)],
                " and ".join(["attributes.status = 'FINISHED'", *conditions]),
                max_results=1,
            )
            return bool(runs)

    def _download(self, model_id: str, name: str) -> ModelFile:
        """Return the model file and the golden examples of a stored model, and nothing else."""
        with _explained(), TemporaryDirectory() as scratch:
            root = self._client.get_logged_model(model_id).artifact_location
            model, golden = (
                Path(download_artifacts(f"{root}/{file}", dst_path=scratch))
                for file in (MODEL_FILE, GOLDEN_FILE)
            )
            return ModelFile(model.read_bytes(), read_golden(golden, name))

    def _experiment(self, problem: str) -> str:
        found = self._client.get_experiment_by_name(problem)
        if found is None:
            try:
                return str(self._client.create_experiment(problem, self._artifacts))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                return self._experiment(problem)
        return str(found.experiment_id)

    def _ensure_model(self, problem: str) -> None:
        try:
            self._client.create_registered_model(problem)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def connect(settings: Settings) -> Registry:
    """Return the registry of these settings: MLflow server, DagsHub, or SQLite in the data folder.

    Raises
    ------
    OutsideError
        If it does not answer.
    """
    with _explained():
        uri = _tracking_uri(settings)
        _use(uri)
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
    return Registry(client, settings)


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


def _pages(address: str) -> str | None:
    """Return the address of MLflow's pages: DagsHub and a server show them where they answer."""
    return address.rstrip("/") if address.startswith(("http://", "https://")) else None


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


def _embedded_artifacts(settings: Settings) -> str | None:
    """Return where to keep files when no server does: beside the other data."""
    server = settings.mlflow_tracking_uri or settings.dagshub_repo_name
    if server and not server.startswith("sqlite:"):
        return None
    return (settings.data_dir.absolute() / "mlflow" / "artifacts").as_uri()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a failure of MLflow or of its storage into one sentence."""
    try:
        yield
    except (MlflowException, RequestException, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        away = isinstance(error, RequestException) or "API request" in reason
        raise (UnavailableError if away else OutsideError)(
            f"MLflow cannot be used; check MLFLOW_TRACKING_URI or the DAGSHUB settings: {reason}"
        ) from error


def _named(version: ModelVersion) -> str:
    return f"Version {version.version} of {version.problem!r} (MLFLOW_TRACKING_URI)"


def _version(entity: Any) -> ModelVersion:
    return ModelVersion(
        problem=entity.name,
        version=int(entity.version),
        run_id=entity.run_id,
        tags=dict(entity.tags),
    )


@cache
def _origin() -> dict[str, str]:
    """Return the tags that say which code and environment made a run."""
    libraries = {f"{TAG}version.{name}": installed_version(name) for name in REQUIREMENTS}
    commit = os.environ.get("GIT_COMMIT") or _git_commit()
    return {
        **libraries,
        f"{TAG}version.python": platform.python_version(),
        MLFLOW_USER: getpass.getuser(),
        MLFLOW_SOURCE_NAME: "perennial",
        **({MLFLOW_GIT_COMMIT: commit} if commit else {}),
    }


def _git_commit() -> str | None:
    try:
        command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        # An image has no Git checkout; its build sets GIT_COMMIT.
        return None
