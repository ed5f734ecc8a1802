"""Every setting of the machine, typed: environment variables, their defaults and meaning.

Without any variable everything runs on this machine, with its data in the folder ``.data/`` of
the project. What a *problem* needs stands in ``problems/NAME.yaml`` instead.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from perennial.environment import Environment, complaints
from perennial.errors import OutsideError
from perennial.redaction import split_credentials
from perennial.settings.console import ConsoleSettings as ConsoleSettings
from perennial.settings.memory import allowed_memory
from perennial.settings.serving import ServingSettings as ServingSettings
from perennial.settings.values import by_commas, size

# The folder of this code: the source tree, or where its packages are installed.
PROJECT = Path(__file__).parents[2]


WEB = ("http://", "https://")
_DASK_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://\S+:\d+")


def _json_object(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be a JSON object: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object, with a value for each name")
    return found


def require_encoded(uri: str) -> str:
    """Refuse an address whose password ends its host: the rest of it would be taken for a path."""
    if uri.startswith(WEB) and "@" in uri and not split_credentials(uri).user:
        raise ValueError("must have its user and password percent-encoded")
    return uri


def _dask_address(address: str) -> str:
    """Refuse what is no address of a scheduler of Dask."""
    if not _DASK_ADDRESS.fullmatch(address):
        raise ValueError("must be the address of a Dask scheduler, such as tcp://host:8786")
    return address


def _default_project() -> Path:
    """Return the current folder, or the source tree if it is neither in it nor a project itself."""
    here = Path.cwd()
    is_project = any((here / name).is_dir() for name in ("problems", ".data"))
    if not (PROJECT / "problems").is_dir():
        return here
    return PROJECT if here.is_relative_to(PROJECT) or not is_project else here


def _absolute(folder: Path) -> Path:
    return folder.absolute()


# Programs that are started in other folders read the same settings.
Folder = Annotated[Path, AfterValidator(_absolute)]
Size = Annotated[ByteSize, WrapValidator(size)]
Uri = Annotated[str, AfterValidator(require_encoded)]


class Settings(Environment):
    """The settings of this machine, read from environment variables of the same names."""

    secrets_of = frozenset(
        {"mongodb_uri", "mongodb_uris", "dagshub_token", "mlflow_backend_store_uri"}
    )

    project_dir: Folder = Field(
        default_factory=_default_project,
        description="folder of the project: its problems and its data; default the current one",
    )
    data_dir: Folder = Field(
        default_factory=lambda known: known["project_dir"] / ".data",
        description="folder of everything that runs embedded; default `.data` in PROJECT_DIR",
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
    mongodb_uris: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_json_object)] = Field(
        default={},
        description="problem -> MongoDB with its documents and what is kept beside them, where "
        'that is another one, as a JSON object, such as `{"tickets": "mongodb+srv://..."}`; the '
        "prediction log stays in MONGODB_URI",
    )
    mongodb_timeout: float = Field(
        default=10.0, gt=0, description="seconds to wait for a MongoDB server"
    )
    mlflow_tracking_uri: Uri | None = Field(
        default=None,
        repr=False,
        description="MLflow server; default DagsHub if set, else SQLite in DATA_DIR",
    )
    dagshub_repo_owner: str | None = Field(default=None, description="DagsHub user or organisation")
    dagshub_repo_name: str | None = Field(default=None, description="DagsHub repository")
    dagshub_token: SecretStr | None = Field(default=None, description="DagsHub access token")
    mlflow_ui_url: Uri | None = Field(
        default=None, description="where people open MLflow; default the server itself, if any"
    )
    problems_dir: Folder = Field(
        default_factory=lambda known: known["project_dir"] / "problems",
        description="folder of the problem files; default `problems` in PROJECT_DIR",
    )

    forbidden_fields: Annotated[tuple[str, ...], NoDecode, BeforeValidator(by_commas)] = Field(
        default=(),
        description="fields that no model of any problem learns from, by commas, with `*` and `?` "
        "as in names of files: `gender,religion,*ssn*`",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="how flows write their log, and the service unless SERVING_LOG_FORMAT says so",
    )
    memory_limit: Size | None = Field(
        default=None,
        description="a linear model whose fit needs more memory is fitted over blocks, such as "
        "`4GiB`; default three quarters of what the process may use",
    )
    vectors_limit: Size = Field(
        default=ByteSize(512 << 20),
        description="how large the vectors of sentences may be that training keeps on the disk; "
        "those that were used the longest time ago make room",
    )
    counts_limit: Size = Field(
        default=ByteSize(4 << 30),
        description="how large the counts of documents may be that are kept beside the snapshots "
        "of each problem, so that a retraining counts only what is new; the oldest make room, and "
        "`1B` keeps none",
    )
    engine: Literal["dask"] | None = Field(
        default=None,
        description="what does the parts of an experiment, of scoring and of a fit over blocks: "
        "workers of Dask side by side, one for each processor; default this process alone",
    )
    dask_scheduler: Annotated[str, AfterValidator(_dask_address)] | None = Field(
        default=None,
        description="with ENGINE=dask, the scheduler whose workers do them, such as "
        "`tcp://host:8786`; they need the same code, and DATA_DIR on storage that they share",
    )
    mlflow_backend_store_uri: SecretStr | None = Field(
        default=None,
        description="the MLflow server's database, where `perennial tidy` removes what MLflow only "
        "marks as deleted; not needed for an embedded MLflow",
    )

    @field_validator("mlflow_ui_url")
    @classmethod
    def _without_credentials(cls, url: str | None) -> str | None:
        """Leave out who asks: people read this address."""
        return None if url is None else split_credentials(url).uri

    @field_validator("data_uri")
    @classmethod
    def _refuse_credentials(cls, uri: str | None) -> str | None:
        """Refuse a password that every snapshot would be named after."""
        if uri is not None and "://" in uri and "@" in uri:
            raise ValueError(
                "must not contain a user or a password; AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or DATA_CREDENTIALS_BLOCK, say who asks"
            )
        return uri

    @model_validator(mode="after")
    def _require_engine(self) -> Settings:
        """Refuse an address that nobody would use."""
        if self.dask_scheduler is not None and self.engine is None:
            raise ValueError("DASK_SCHEDULER is set without ENGINE=dask; set both, or neither")
        return self

    @property
    def folders(self) -> dict[str, str]:
        """The variables by which a program that runs in another folder finds the same ones."""
        names = ("project_dir", "data_dir", "problems_dir")
        return {name.upper(): str(getattr(self, name)) for name in names}

    @property
    def snapshots_uri(self) -> str:
        """Where the snapshots are: a folder, or an address of an object store."""
        return (self.data_uri or str(self.data_dir)).rstrip("/") + "/snapshots"

    @property
    def memory_of_a_fit(self) -> int:
        """How many bytes the fit of a model may take in memory."""
        return self.memory_limit or allowed_memory() * 3 // 4

    def problem_file(self, problem: str) -> Path:
        """Return where the file of a problem is."""
        return self.problems_dir / f"{problem}.yaml"


class OperationSettings(Environment):
    """The settings of deployments, read from environment variables that begin with OPERATION_."""

    model_config = SettingsConfigDict(env_prefix="OPERATION_")
    secrets_of = frozenset({"notify_url", "notify_urls"})

    work_pool_type: Literal["process", "kubernetes", "ecs"] = Field(
        default="process", description="where runs are started"
    )
    run_image: str | None = Field(
        default=None, description="image of the runs; needed by kubernetes and ecs"
    )
    run_namespace: str = Field(default="perennial", description="namespace of runs on Kubernetes")
    job_template: Path | None = Field(
        default=None, description="the work pool's job template; default the one of its type"
    )
    run_variables: Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)] = Field(
        default={},
        description="other defaults of the job template's variables, as a JSON object, such as "
        '`{"cpu_request": "500m"}`',
    )
    prefect_port: int = Field(
        default=4200, ge=1, le=65535, description="port of the Prefect server of `make up`"
    )
    mlflow_port: int = Field(
        default=5000, ge=1, le=65535, description="port of the MLflow server of `make up`"
    )
    vanished_seconds: float = Field(
        default=90.0, ge=35, description="a run that was silent for so long counts as crashed"
    )
    start_seconds: float = Field(
        default=900.0,
        ge=10,
        description="a run that was taken and did not begin for so long counts as crashed",
    )
    restart_seconds: float = Field(
        default=600.0, ge=0, description="a crashed deployment is started again at most this often"
    )
    notify_url: SecretStr | None = Field(
        default=None,
        description="who is told of failed runs: a Slack webhook, or any address that takes a POST",
    )
    notify_urls: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_json_object)] = Field(
        default={},
        description="problem -> who is told of its runs instead, as a JSON object, such as "
        '`{"tickets": "https://hooks.slack.com/..."}`',
    )
    secrets: Annotated[tuple[str, ...], NoDecode, BeforeValidator(by_commas)] = Field(
        default=(), description="names in AWS Secrets Manager that become AwsSecret blocks"
    )


class ExporterSettings(Environment):
    """The settings of the exporter, read from environment variables that begin with EXPORTER_."""

    model_config = SettingsConfigDict(env_prefix="EXPORTER_")

    host: str = Field(
        default="127.0.0.1", description="address of the console and the metrics of flows"
    )
    port: int = Field(
        default=9464, ge=1, le=65535, description="port of the console and the metrics"
    )


_Kind = TypeVar("_Kind", bound=Environment)


def read(kind: type[_Kind]) -> _Kind:
    """Return the settings that the environment says.

    Raises
    ------
    OutsideError
        If a variable is wrong, unknown, or a secret that is empty; every such variable is named,
        and the value of a secret never.
    """
    if wrong := complaints(kind, os.environ):
        raise OutsideError("; ".join(wrong) + ".")
    return kind()


@cache
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return read(Settings)


@cache
def get_serving_settings() -> ServingSettings:
    """Return the settings of the service in this process, read once."""
    return read(ServingSettings)


@cache
def get_operation_settings() -> OperationSettings:
    """Return the settings of deployments in this process, read once."""
    return read(OperationSettings)


@cache
def get_exporter_settings() -> ExporterSettings:
    """Return the settings of the exporter in this process, read once."""
    return read(ExporterSettings)


@cache
def get_console_settings() -> ConsoleSettings:
    """Return the settings of the console in this process, read once."""
    return read(ConsoleSettings)
