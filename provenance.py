"""Where a run comes from: its snapshot, and the libraries, the commit and the person behind it."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version as installed_version
from typing import Protocol

from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_USER

from artifact import REQUIREMENTS
from settings import PROJECT
from versions import TAG

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


@cache
def origin() -> dict[str, str]:
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
