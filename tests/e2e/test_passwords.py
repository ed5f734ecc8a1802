"""A password in any address is in nothing that is printed, logged, answered or stored."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from perennial.config.problem import Problem
from perennial.settings import PROJECT, Settings
from tests.conftest import free_port, wait_until
from tests.e2e import conftest as sites

pytestmark = pytest.mark.timeout(600)
PASSWORD = "hunter2-and-a-half"
# Nothing listens there: whoever goes there says so, and is not to say as whom.
AWAY = f"ann:{PASSWORD}@127.0.0.1:9"
ADDRESSES: Mapping[str, Mapping[str, str]] = {
    "mongodb": {"MONGODB_URI": f"mongodb://{AWAY}/?connectTimeoutMS=500"},
    "no mongodb": {"MONGODB_URI": f"postgres://{AWAY}/documents"},
    "mlflow": {"MLFLOW_TRACKING_URI": f"http://{AWAY}"},
    "mlflow's database": {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+nothing://{AWAY}/mlflow",
    },
    "mlflow for people": {"MLFLOW_UI_URL": f"http://{AWAY}"},
    "prefect": {"PREFECT_API_URL": f"http://{AWAY}/api"},
    "notification": {"OPERATION_NOTIFY_URL": f"https://127.0.0.1:9/services/{PASSWORD}"},
    "snapshots": {"DATA_URI": f"s3://ann:{PASSWORD}@bucket/perennial"},
    "spans": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{AWAY}"},
}
COMMANDS = (
    ("status",),
    ("retrain", "reviews"),
    ("tidy", "reviews", "--dry-run"),
    ("upgrade",),
    ("apply",),
)


# All of them at once, first; each alone gets further.
AT_ONCE = {name: value for each in reversed(ADDRESSES.values()) for name, value in each.items()}
SETTINGS = [
    pytest.param(AT_ONCE, marks=pytest.mark.e2e, id="all at once"),
    *(pytest.param(said, marks=pytest.mark.thorough, id=name) for name, said in ADDRESSES.items()),
]


@pytest.fixture(params=SETTINGS)
def environment(
    request: pytest.FixtureRequest, machine: Settings, problem: Problem
) -> Mapping[str, str]:
    """The environment of a machine with a problem, one of whose addresses has a password."""
    plain = {
        name: value for name, value in os.environ.items() if not sites.CONFIGURATION.match(name)
    }
    folders = {
        "DATA_DIR": str(machine.data_dir),
        "PROBLEMS_DIR": str(machine.problems_dir),
        "MONGODB_URI": os.environ["MONGODB_URI"],
        "MONGODB_TIMEOUT": "1",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    return {**plain, **folders, **request.param}


def said(environment: Mapping[str, str], *command: str) -> str:
    """Run a command to its end, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "deployments", *command],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.stdout + done.stderr


def answered(environment: Mapping[str, str], folder: Path, module: str, *paths: str) -> str:
    """Run a server until it has answered at these paths; return answers and log."""
    port, log = free_port(), folder / f"{module}.log"
    name = {"serving": "SERVING_PORT", "deployments.exporter": "EXPORTER_PORT"}[module]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=PROJECT,
            env={**environment, name: str(port), "SERVING_WORKERS": "1"},
            stdout=output,
            stderr=output,
        )

    def answers() -> list[str]:
        with suppress(OSError):
            return [_body(f"http://127.0.0.1:{port}{path}") for path in paths]
        # A setting that is refused ends it, with a sentence.
        return [""] if server.poll() is not None else []

    try:
        found = wait_until(answers, f"{module} answers or ends", seconds=120)
    finally:
        server.terminate()
        server.wait(timeout=60)
    return "\n".join([*found, log.read_text(errors="replace")])


def _body(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode(errors="replace"))
    except HTTPError as error:
        return error.read().decode(errors="replace")


def stored(folder: Path) -> Iterator[str]:
    """Yield the files below a folder that have the password in them."""
    for file in folder.rglob("*"):
        with suppress(OSError):
            if PASSWORD.encode() in file.read_bytes():
                yield str(file)


def test_no_command_server_or_file_shows_the_password(
    environment: Mapping[str, str], machine: Settings, tmp_path: Path
) -> None:
    for command in (*COMMANDS, ("backup", str(tmp_path / "backups"))):
        output = said(environment, *command)
        assert output.strip(), command
        assert PASSWORD not in output, command
    exported = answered(environment, tmp_path, "deployments.exporter", "/metrics", "/console")
    assert PASSWORD not in exported
    assert PASSWORD not in answered(environment, tmp_path, "serving", "/readyz", "/metrics")

    assert list(stored(machine.data_dir)) == []
    assert list(stored(tmp_path / "backups")) == []
