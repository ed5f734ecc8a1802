"""Every setting of the machine, typed: environment variables, their defaults and meaning.

Without any variable everything runs on this machine, with its data below ``.data/``. What a
*problem* needs stands in ``problems/NAME.yaml`` instead.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).parent


class OutsideError(Exception):
    """Something outside the program is not as the settings say.

    The message is one sentence that names the thing, what happened, and the setting to look at.
    """


class UnavailableError(OutsideError):
    """A server did not answer; the same call may succeed later."""


class Settings(BaseSettings):
    """The settings of this machine, read from environment variables of the same names."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(
        default=PROJECT / ".data", description="folder of everything that runs embedded"
    )
    data_uri: str | None = Field(
        default=None, description="snapshots: a folder or s3://bucket/prefix; default DATA_DIR"
    )
    data_credentials_block: str | None = Field(
        default=None, description="name of the prefect-aws AwsCredentials block for DATA_URI"
    )
    mongodb_uri: SecretStr | None = Field(
        default=None, description="MongoDB with the documents; default an embedded server"
    )
    mongodb_timeout: float = Field(
        default=10.0, gt=0, description="seconds to wait for a MongoDB server"
    )
    mlflow_tracking_uri: str | None = Field(
        default=None, description="MLflow server; default DagsHub if set, else SQLite in DATA_DIR"
    )
    dagshub_repo_owner: str | None = Field(default=None, description="DagsHub user or organisation")
    dagshub_repo_name: str | None = Field(default=None, description="DagsHub repository")
    dagshub_token: SecretStr | None = Field(default=None, description="DagsHub access token")
    problems_dir: Path = Field(
        default=PROJECT / "problems", description="folder of the problem files"
    )

    @property
    def snapshots_uri(self) -> str:
        """Where the snapshots are: a folder, or an address of an object store."""
        return (self.data_uri or str(self.data_dir)).rstrip("/") + "/snapshots"


@cache
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()


def prepare_environment() -> None:
    """Set the defaults of the libraries: no telemetry, everything in the data folder.

    Libraries read these variables when they are imported, so this comes first. Values that the
    environment already has are respected.
    """
    defaults = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "BENTOML_DO_NOT_TRACK": "True",
        "DAGSHUB_DISABLE_ANALYTICS": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # An absent MLflow server is reported within seconds instead of minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        # The first start of the ephemeral API creates its database, slowly on a busy machine.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_TASK_RUNNER_THREAD_POOL_MAX_WORKERS": str(os.cpu_count() or 1),
    }
    if not os.environ.keys() & {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"}:
        defaults["PREFECT_HOME"] = _embedded_prefect_home()
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def uses_embedded_prefect() -> bool:
    """Return whether no Prefect API is configured; only after `prepare_environment`."""
    return (
        "PREFECT_API_URL" not in os.environ
        and os.environ.get("PREFECT_HOME") == _embedded_prefect_home()
    )


def _embedded_prefect_home() -> str:
    return str(get_settings().data_dir.absolute() / "prefect")
