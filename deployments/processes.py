"""The processes of `make up`: one table of what runs on a machine without other servers.

To have a further program started, watched and ended with the others (an exporter, Prometheus,
Alertmanager), add it to `processes`. It runs in the folder of the project, with the environment of
`make up` and what its row adds, and writes to ``.data/local/NAME.log``.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from perennial.libraries import MLFLOW_MODELS, configured_prefect_api, prefect_headers
from perennial.registry.artifact_store import embedded_database, folder_beside
from perennial.settings import (
    ExporterSettings,
    OperationSettings,
    ServingSettings,
    Settings,
    get_exporter_settings,
)

LOCAL = "127.0.0.1"
_PATIENCE = 2.0
# How often a server looks whether a waiting run may start; Prefect's 30 s are meant for thousands.
_SLOT_SECONDS = "2"
_DATABASE_SECONDS = "60"
# A run that was killed before it began keeps its slot for this long. Were that no longer than the
# database may take, a run that only begins slowly would lose its slot and be cancelled.
_LEASE_SECONDS = "120"
_BROKER = "deployments.broker"
_LEASES = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True)
class Process:
    """One program of `make up`.

    Attributes
    ----------
    name : str
        Of its log and its pid file.
    command : tuple of str
        The program and its arguments.
    is_healthy : callable
        Returns whether it does its work by now.
    address : str
        Where people find it; empty for a program without a page.
    port : int or None
        The port that must be free before it starts, and the setting that changes it.
    environment : mapping of str to str
        What its environment has besides.
    after : tuple of str
        It is started when these processes are healthy.
    """

    name: str
    command: tuple[str, ...]
    is_healthy: Callable[[], bool]
    address: str = ""
    port: tuple[int, str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()

    @property
    def is_port_taken(self) -> bool:
        """Whether another program listens on its port."""
        if self.port is None:
            return False
        with socket.socket() as probe:
            return probe.connect_ex((LOCAL, self.port[0])) == 0


def processes(
    settings: Settings, operation: OperationSettings, serving: ServingSettings
) -> tuple[Process, ...]:
    """Return what runs on this machine; a server that is configured elsewhere is not started."""
    api = prefect_api(operation)
    environment = addresses(settings, operation)
    home = settings.data_dir.absolute() / "local"
    rows = [
        _worker(
            api,
            environment | _database_of_mlflow(settings),
            home,
            has_server=configured_prefect_api() is None,
        ),
        _service(serving, environment),
        _exporter(get_exporter_settings(), environment),
    ]
    if not _has_mlflow(settings):
        rows.insert(0, _mlflow(settings, operation))
    if configured_prefect_api() is None:
        rows.insert(0, _prefect(operation, home))
    return tuple(rows)


def prefect_api(operation: OperationSettings) -> str:
    """Return the address of Prefect's API: the configured one, or that of `make up`."""
    return configured_prefect_api() or f"http://{LOCAL}:{operation.prefect_port}/api"


def addresses(settings: Settings, operation: OperationSettings) -> dict[str, str]:
    """Return the environment in which a program finds the servers of `make up`."""
    found = {"PREFECT_API_URL": prefect_api(operation)}
    if not _has_mlflow(settings):
        found["MLFLOW_TRACKING_URI"] = f"http://{LOCAL}:{operation.mlflow_port}"
    return found


def _database_of_mlflow(settings: Settings) -> dict[str, str]:
    if _has_mlflow(settings):
        return {}
    return {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{embedded_database(settings)}"}


def _has_mlflow(settings: Settings) -> bool:
    return bool(settings.mlflow_tracking_uri or settings.dagshub_repo_name)


def _prefect(operation: OperationSettings, home: Path) -> Process:
    port = operation.prefect_port
    options = ["server", "start", "--host", LOCAL, "--port", str(port)]
    return Process(
        name="prefect",
        command=(sys.executable, "-m", "prefect", *options),
        is_healthy=lambda: _answers(f"http://{LOCAL}:{port}/api/health"),
        address=f"http://{LOCAL}:{port}",
        port=(port, "OPERATION_PREFECT_PORT"),
        environment={
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_UI_API_URL": f"http://{LOCAL}:{port}/api",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            # Events go after a week, runs with their logs and artifacts after a month.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(
                timedelta(days=30) // timedelta(seconds=1)
            ),
            # SQLite has one writer at a time; on a busy machine its turn takes a while to come.
            "PREFECT_SERVER_DATABASE_TIMEOUT": _DATABASE_SECONDS,
            "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": _DATABASE_SECONDS,
            "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": _BROKER,
            # In memory, a restart of the server would forget who holds a slot, and keep it taken.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": _LEASES,
            "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": _LEASE_SECONDS,
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": _SLOT_SECONDS,
            "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": _SLOT_SECONDS,
        },
    )


def _mlflow(settings: Settings, operation: OperationSettings) -> Process:
    """Serve the files of the embedded MLflow, so that runs with and without a server are one."""
    port, database = operation.mlflow_port, embedded_database(settings)
    options = {
        "--host": LOCAL,
        "--port": str(port),
        "--workers": "1",
        "--backend-store-uri": f"sqlite:///{database}",
        "--artifacts-destination": str(folder_beside(database)),
        # A line for every request would be gigabytes a year.
        "--uvicorn-opts": "--log-level warning",
    }
    arguments = [part for option in options.items() for part in option]
    return Process(
        name="mlflow",
        command=(sys.executable, "-m", "mlflow", "server", *arguments),
        is_healthy=lambda: _answers(f"http://{LOCAL}:{port}/health"),
        address=f"http://{LOCAL}:{port}/#/models?{MLFLOW_MODELS}",
        port=(port, "OPERATION_MLFLOW_PORT"),
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )


def _worker(api: str, environment: Mapping[str, str], home: Path, *, has_server: bool) -> Process:
    pool = "perennial"
    options = ["worker", "start", "--pool", pool, "--type", "process", "--name", "make-up"]
    return Process(
        name="worker",
        command=(sys.executable, "-m", "prefect", *options),
        is_healthy=lambda: _is_online(f"{api}/work_pools/{pool}/workers/filter"),
        environment={
            **environment,
            "PREFECT_HOME": str(home / "worker"),
            "PREFECT_WORKER_QUERY_SECONDS": _SLOT_SECONDS,
        },
        after=("prefect",) if has_server else (),
    )


def _service(serving: ServingSettings, environment: Mapping[str, str]) -> Process:
    address = f"http://{serving.host}:{serving.port}"
    return Process(
        name="service",
        command=(sys.executable, "-m", "serving"),
        is_healthy=lambda: _answers(f"{address}/livez"),
        address=address,
        port=(serving.port, "SERVING_PORT"),
        environment=environment,
        after=("mlflow",) if "MLFLOW_TRACKING_URI" in environment else (),
    )


def _exporter(exporter: ExporterSettings, environment: Mapping[str, str]) -> Process:
    address = f"http://{exporter.host}:{exporter.port}"
    return Process(
        name="exporter",
        command=(sys.executable, "-m", "deployments.exporter"),
        is_healthy=lambda: _answers(f"{address}/metrics"),
        address=f"{address}/console",
        port=(exporter.port, "EXPORTER_PORT"),
        environment=environment,
        after=("mlflow",) if "MLFLOW_TRACKING_URI" in environment else (),
    )


def _answers(url: str) -> bool:
    return _ask(url, None, {}) is not None


def _is_online(url: str) -> bool:
    found = _ask(url, b"{}", prefect_headers())
    return found is not None and any(w["status"] == "ONLINE" for w in json.loads(found))


def _ask(url: str, data: bytes | None, headers: Mapping[str, str]) -> bytes | None:
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:  # noqa: S310
            body: bytes = response.read()
    except OSError:
        return None
    return body
