"""Where a run comes from: its snapshot, and the libraries, the commit and the person behind it."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_USER

from perennial.registry.artifact import REQUIREMENTS
from perennial.registry.tags import LIBRARY
from perennial.settings import PROJECT

_ATTEMPTS = 5


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


def record_snapshot(client: MlflowClient, run_id: str, snapshot: SnapshotLike) -> None:
    """Record which snapshot a run learned from, as the run's dataset."""
    source = DeltaDatasetSource(path=snapshot.uri, delta_table_version=snapshot.version)
    dataset = Dataset(
        name=snapshot.problem,
        digest=snapshot.digest,
        source_type="delta_table",
        source=source.to_json(),
    )
    use = InputTag("mlflow.data.context", "training")
    for attempt in range(_ATTEMPTS):
        try:
            client.log_inputs(run_id, [DatasetInput(dataset, [use])])
            return
        except MlflowException as error:
            # Two runs that record one new dataset at once: the second finds it next time.
            if "UNIQUE constraint" not in str(error) or attempt == _ATTEMPTS - 1:
                raise


def attach(client: MlflowClient, run_id: str, files: Mapping[str, bytes]) -> None:
    """Keep files with a run: file name -> content."""
    with TemporaryDirectory() as scratch:
        for name, content in files.items():
            file = Path(scratch) / name
            file.write_bytes(content)
            _files(client, run_id).log_artifact(str(file))


def attached(client: MlflowClient, run_id: str, name: str) -> bytes | None:
    """Return a file that was kept with a run, or None if there is none of that name."""
    files = _files(client, run_id)
    if name not in {file.path for file in files.list_artifacts()}:
        return None
    with TemporaryDirectory() as scratch:
        return Path(files.download_artifacts(name, scratch)).read_bytes()


def _files(client: MlflowClient, run_id: str) -> ArtifactRepository:
    # MLflow's client remembers the place of a run whose database has moved since.
    place = client.get_run(run_id).info.artifact_uri
    return get_artifact_repository(place, tracking_uri=client.tracking_uri)


def installed() -> dict[str, str]:
    """Return the versions of what a model's numbers depend on: the libraries and Python itself."""
    libraries = {name: installed_version(name) for name in REQUIREMENTS}
    return {**libraries, "python": platform.python_version()}


def sources(*packages: str) -> dict[str, str]:
    """Return the digest of every file of code and data in these packages, by its path."""
    return {
        str(file.relative_to(PROJECT)): hashlib.sha256(file.read_bytes()).hexdigest()
        for package in packages
        for file in sorted((PROJECT / package).rglob("*"))
        if file.is_file() and file.suffix != ".pyc"
    }


@cache
def origin() -> dict[str, str]:
    """Return the tags that say which code and environment made a run."""
    libraries = {LIBRARY + name: version for name, version in installed().items()}
    commit = os.environ.get("GIT_COMMIT") or _git_commit()
    return {
        **libraries,
        MLFLOW_USER: getpass.getuser(),
        MLFLOW_SOURCE_NAME: "perennial",
        **({MLFLOW_GIT_COMMIT: commit} if commit else {}),
    }


def _git_commit() -> str | None:
    if not (PROJECT / ".git").exists():
        # Installed, it may lie in somebody else's checkout; the build of an image sets GIT_COMMIT.
        return None
    try:
        command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
