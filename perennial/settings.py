"""Every setting of the machine, typed: environment variables, their defaults and meaning.

Without any variable everything runs on this machine, with its data in the folder ``.data/`` of
the project. What a *problem* needs stands in ``problems/NAME.yaml`` instead.
"""

from __future__ import annotations

import json
import os
import re
import socket
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from perennial.environment import Environment, complaints
from perennial.errors import OutsideError
from perennial.redaction import split_credentials

# The folder of this code: the source tree, or where its packages are installed.
PROJECT = Path(__file__).parents[1]


_SHA256 = "^[0-9a-f]{64}$"
# What an API key may be allowed, and how that stands behind its hash.
SCOPES = ("classify", "feedback", "refresh", "metrics")
_API_KEY = re.compile(rf"[0-9a-f]{{64}}(:(?:{'|'.join(SCOPES)})(\+(?:{'|'.join(SCOPES)}))*)?")
_SIGNING_CHARACTERS = 32
WEB = ("http://", "https://")


def _by_commas(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


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


def _default_project() -> Path:
    """Return the current folder, or the source tree if it is neither in it nor a project itself."""
    here = Path.cwd()
    is_project = any((here / name).is_dir() for name in ("problems", ".data"))
    if not (PROJECT / "problems").is_dir():
        return here
    return PROJECT if here.is_relative_to(PROJECT) or not is_project else here


def _require_api_key(entry: str) -> str:
    if not _API_KEY.fullmatch(entry):
        raise ValueError(
            "must be SHA-256 in hexadecimal, 64 of 0-9 and a-f, and not what it is made of; a "
            f"colon and scopes may follow, joined by +: {', '.join(SCOPES)}"
        )
    return entry


def _require_length(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < _SIGNING_CHARACTERS:
        raise ValueError(f"must have at least {_SIGNING_CHARACTERS} characters")
    return secret


def _absolute(folder: Path) -> Path:
    return folder.absolute()


# Programs that are started in other folders read the same settings.
Folder = Annotated[Path, AfterValidator(_absolute)]
Hash = Annotated[str, StringConstraints(pattern=_SHA256)]
ApiKeyEntry = Annotated[str, AfterValidator(_require_api_key)]
ApiKeyEntries = Annotated[tuple[ApiKeyEntry, ...], NoDecode, BeforeValidator(_by_commas)]
Uri = Annotated[str, AfterValidator(require_encoded)]


class Settings(Environment):
    """The settings of this machine, read from environment variables of the same names."""

    secrets_of = frozenset({"mongodb_uri", "dagshub_token"})

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

    @property
    def folders(self) -> dict[str, str]:
        """The variables by which a program that runs in another folder finds the same ones."""
        names = ("project_dir", "data_dir", "problems_dir")
        return {name.upper(): str(getattr(self, name)) for name in names}

    @property
    def snapshots_uri(self) -> str:
        """Where the snapshots are: a folder, or an address of an object store."""
        return (self.data_uri or str(self.data_dir)).rstrip("/") + "/snapshots"

    def problem_file(self, problem: str) -> Path:
        """Return where the file of a problem is."""
        return self.problems_dir / f"{problem}.yaml"


class ServingSettings(Environment):
    """The settings of the service, read from environment variables that begin with SERVING_."""

    model_config = SettingsConfigDict(env_prefix="SERVING_")
    secrets_of = frozenset({"api_key_hashes", "refresh_token_hash", "signing_key"})

    host: str = Field(
        default="127.0.0.1",
        description="address of `python -m serving`; one that others reach needs keys",
    )
    port: int = Field(default=3000, ge=1, le=65535, description="port of `python -m serving`")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="processes that answer"
    )
    metrics_port: int | None = Field(
        default=None, description="a port of its own for /metrics; default the port of the API"
    )
    metrics_host: str = Field(default="0.0.0.0", description="address of the metrics' own port")  # noqa: S104

    max_inputs: int = Field(default=1000, ge=1, le=1_000_000, description="inputs per request")
    max_characters: int = Field(default=100_000, ge=1, description="characters per text")
    max_body_bytes: int = Field(default=10_000_000, ge=1, description="size of a request's body")
    max_head_bytes: int = Field(
        default=65_536, ge=1024, description="size of the head of a request: its line and headers"
    )
    head_seconds: float = Field(
        default=10.0, gt=0, description="how long a connection may take to send a head"
    )
    max_connections: int = Field(
        default=4096,
        ge=1,
        description="connections of a worker, fewer where the system allows fewer files; for one "
        "more the one that has said nothing for longest is closed",
    )
    max_concurrency: int = Field(
        default=512, ge=1, description="requests that a worker has in hand; more are told to wait"
    )
    body_seconds: float = Field(
        default=4.0, gt=0, description="how long a request may take to send its body"
    )
    answer_seconds: float = Field(
        default=4.0, gt=0, description="how long one request may be worked on"
    )
    inline_characters: int = Field(
        default=40_000,
        ge=0,
        description="characters scored in one go; larger requests let others pass in between",
    )

    poll_seconds: float = Field(
        default=5.0, gt=0, description="how often a worker looks at the registry"
    )
    api_key_hashes: ApiKeyEntries = Field(
        default=(),
        description="SHA-256 of every valid API key in hexadecimal, by commas, each with `:` and "
        "its scopes (`classify+feedback+refresh+metrics`) or with all; none: no keys",
    )
    open: bool = Field(default=False, description="answer everybody without keys, on any address")
    refresh_token_hash: Hash | None = Field(
        default=None, description="SHA-256 of the token for POST /refresh"
    )
    signing_key: Annotated[SecretStr, AfterValidator(_require_length)] | None = Field(
        default=None,
        description="what signs prediction ids and hides API keys in the digests of senders, the "
        "same for all pods; default one that is kept in the log's database",
    )

    log_share: float = Field(default=1.0, ge=0, le=1, description="share of the requests logged")
    log_texts: bool = Field(
        default=True, description="keep texts in the log; feedback needs them for new documents"
    )
    log_database: str = Field(default="perennial", description="MongoDB database of the log")
    log_days: float = Field(default=30.0, gt=0, description="days after which the log forgets")
    log_per_second: int = Field(
        default=50,
        ge=1,
        description="predictions that a worker writes per second; the queue takes short bursts, "
        "the rest is left out",
    )
    log_queue: int = Field(
        default=10_000, ge=1, description="predictions that wait in a worker for MongoDB"
    )

    @field_validator("host")
    @classmethod
    def _resolve(cls, host: str) -> str:
        """Return the address that a name such as localhost stands for."""
        try:
            return str(ip_address(host.strip("[]")))
        except ValueError:
            return _address_of(host)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.may_listen(self.host):
            raise ValueError(open_to_others(self.host))
        if self.metrics_port == self.port:
            raise ValueError(
                f"SERVING_METRICS_PORT must be another port than SERVING_PORT, {self.port}"
            )
        return self

    def may_listen(self, host: str) -> bool:
        """Return whether the API may be offered at an address: to others only with keys."""
        return bool(self.api_key_hashes) or self.open or ip_address(host).is_loopback


class OperationSettings(Environment):
    """The settings of deployments, read from environment variables that begin with OPERATION_."""

    model_config = SettingsConfigDict(env_prefix="OPERATION_")
    secrets_of = frozenset({"notify_url"})

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
    secrets: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_by_commas)] = Field(
        default=(), description="names in AWS Secrets Manager that become AwsSecret blocks"
    )


class ExporterSettings(Environment):
    """The settings of the exporter, read from environment variables that begin with EXPORTER_."""

    model_config = SettingsConfigDict(env_prefix="EXPORTER_")

    host: str = Field(default="127.0.0.1", description="address of the metrics of flows")
    port: int = Field(default=9464, ge=1, le=65535, description="port of the metrics of flows")


def open_to_others(host: str) -> str:
    """Return what is said of an address at which everybody would be answered."""
    return (
        f"SERVING_HOST {host} is an address that others reach, and SERVING_API_KEY_HASHES is not "
        "set: set it, or SERVING_OPEN=true to answer everybody"
    )


def _address_of(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ValueError(f"must be an address of this machine, not {host!r}") from None
    addresses = [str(entry[4][0]) for entry in found]
    return next((address for address in addresses if ":" not in address), addresses[0])


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
