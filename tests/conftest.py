"""What the tests share: real servers, a small problem, and real film reviews.

Nothing here starts before a test asks for it, and libraries are imported where they are used: the
tests of one room do not wait for the servers of another.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import hypothesis
import pytest
from ruamel.yaml import YAML

from tests import in_memory  # noqa: F401 - before anybody asks for a temporary folder

# Prefect reads this when it is imported. The tests keep nothing in the folder of the project.
# Worker processes inherit it, and with it the database of the one Prefect API.
if "PREFECT_HOME" not in os.environ:
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="perennial-prefect-")
    atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")

import tasks  # noqa: F401 - it prepares the environment of the libraries
from perennial.config.loader import load_problem
from perennial.config.problem import Problem
from perennial.settings import Settings, get_settings
from tests.seaweedfs import s3_uri, seaweedfs  # noqa: F401 - fixtures

# `make test` tries the same few examples in every run, `make test-thorough` many and others.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=300, print_blob=True)
hypothesis.settings.load_profile("tests")

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from perennial.registry.client import Registry

# A server that is configured already, as in CI, takes the place of the embedded one.
CONFIGURED_MONGODB = os.environ.get("MONGODB_URI")
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

_CONFIGURED_ELSEWHERE = (
    "DATA_URI",
    "DATA_CREDENTIALS_BLOCK",
    "MLFLOW_TRACKING_URI",
    "DAGSHUB_REPO_OWNER",
    "DAGSHUB_REPO_NAME",
    "DAGSHUB_TOKEN",
)
SMALL_PROBLEM: dict[str, Any] = {
    "source": {"database": "", "collection": "reviews", "late_window": "PT1H"},
    "labels": {"negative": 0, "positive": 1},
    "limits": {"min_words": 3, "max_characters": 2000},
    "preparations": {"plain": {"stop_words": "keep", "lemmas": "none"}},
    "candidates": {
        "bow-bayes": {
            "preparation": "plain",
            "features": {"weighting": "counts", "min_documents": 2},
            "estimator": "multinomial_naive_bayes",
        },
        "tfidf-logistic": {
            "preparation": "plain",
            "features": {"weighting": "tfidf", "min_documents": 2},
            "estimator": "logistic_regression",
            "parameters": {"C": 10.0, "solver": "liblinear"},
        },
    },
    # A hundred documents teach so little that a model may well be no better than chance.
    "gates": {"floors": {"accuracy": 0.5}, "confidence": 0.95, "first_version": None},
}


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = 60.0, every: float = 0.02
) -> Any:
    """Return the first true value of a condition; fail when there is none within the time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
    return value


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stored_at(settings: Settings, address: str) -> Path:
    """Return where the files of an address are that the embedded MLflow has given them."""
    scheme, _, within = address.partition(":/")
    assert scheme == "mlflow-artifacts", f"{address} depends on a folder"
    return settings.data_dir / "mlflow" / "artifacts" / within


def copy_mlflow(database: Path, data: Path) -> None:
    """Copy an MLflow, its database and the files beside it, into a data folder."""
    shutil.copytree(database.parent, data / "mlflow", dirs_exist_ok=True)


def copy_prefect(database: Path, data: Path) -> None:
    """Copy a database of Prefect into a data folder, where the embedded server finds it."""
    (data / "prefect").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database, data / "prefect" / "prefect.db")


def forget_mlflow() -> None:
    """Let the settings be read again, without the address that MLflow left in the environment.

    MLflow writes the address it uses into MLFLOW_TRACKING_URI, for the processes that it starts;
    here that would be a setting of the next test.
    """
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run of the tests, which all worker processes have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def servers(shared_folder: Path) -> Settings:
    """Return the settings of the embedded servers, which all worker processes share."""
    return Settings(data_dir=shared_folder / "servers")


def _made_once(file: Path, make: Callable[[Path], None]) -> Path:
    """Return a file, made by the first worker process that asks for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            unfinished = file.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            make(unfinished)
            unfinished.rename(file)
    return file


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[str]:
    """The address of a second MongoDB."""
    from perennial.local import embedded

    with embedded.server(Settings(data_dir=tmp_path / "own"), "mongodb") as port:
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


@pytest.fixture(scope="session")
def empty_prefect(request: pytest.FixtureRequest) -> Path:
    """Return a database of Prefect with nothing in it but its tables, to be copied.

    Later runs of the tests have it in common: Prefect takes ten seconds to make its tables.
    """

    def make(file: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
            env=os.environ | {"PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{file}"},
            capture_output=True,
            check=True,
        )
        with closing(sqlite3.connect(file)) as database:
            # All of it is in one file then.
            database.execute("PRAGMA journal_mode=DELETE")

    folder = request.config.cache.mkdir("databases")
    return _made_once(folder / f"prefect-{version('prefect')}.db", make)


@pytest.fixture(scope="session")
def prefect_api(empty_prefect: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a real Prefect API with a database of its own.

    Each worker process has one: their problems have the same names, and a retraining waits for
    another one of its problem.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    from perennial.local import embedded

    own = Settings(data_dir=tmp_path_factory.getbasetemp() / "servers")
    copy_prefect(empty_prefect, own.data_dir)
    with embedded.server(own, "prefect") as port:
        address = f"http://127.0.0.1:{port}/api"
        changes = {
            PREFECT_API_URL: address,
            # Nobody reads the log there, or waits for signs of life: half of the time of a run.
            PREFECT_LOGGING_TO_API_ENABLED: False,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        }
        with temporary_settings(changes):
            yield address


@pytest.fixture(scope="session")
def mongodb_server(servers: Settings) -> Iterator[str]:
    """Yield the address of a MongoDB: the configured one, or an embedded one for all tests."""
    if CONFIGURED_MONGODB:
        yield CONFIGURED_MONGODB
        return
    from perennial.local import embedded

    with embedded.server(servers, "mongodb") as port:
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


@pytest.fixture(scope="session")
def empty_mlflow(shared_folder: Path) -> Path:
    """Return an MLflow database with nothing in it but its tables, to be copied."""
    settings = Settings(data_dir=shared_folder / "empty")

    def make(file: Path) -> None:
        from perennial.registry.client import open_registry

        open_registry(settings)
        forget_mlflow()
        file.touch()

    _made_once(settings.data_dir / "made", make)
    return settings.data_dir / "mlflow" / "mlflow.db"


@pytest.fixture
def machine(
    mongodb_server: str,
    empty_mlflow: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Yield the settings of a machine without data, with a real MongoDB and MLflow."""
    for name in _CONFIGURED_ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    data, problems = tmp_path / "data", tmp_path / "problems"
    (data / "mlflow").mkdir(parents=True)
    problems.mkdir()
    copy_mlflow(empty_mlflow, data)
    monkeypatch.setenv("DATA_DIR", str(data))
    monkeypatch.setenv("PROBLEMS_DIR", str(problems))
    monkeypatch.setenv("MONGODB_URI", mongodb_server)
    monkeypatch.setenv("MONGODB_TIMEOUT", "20")
    get_settings.cache_clear()
    yield get_settings()
    forget_mlflow()


@pytest.fixture
def registry(machine: Settings) -> Registry:
    """The registry of that machine."""
    from perennial.registry.client import open_registry

    return open_registry(machine)


@pytest.fixture
def client(machine: Settings) -> MlflowClient:
    """MLflow of that machine, as a person uses it who does not know our registry."""
    from mlflow import MlflowClient

    address = f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}"
    return MlflowClient(address, address)


@pytest.fixture
def database_name() -> str:
    """Name of a database of its own in MongoDB."""
    return f"test_{uuid4().hex}"


@pytest.fixture
def write_problem(machine: Settings, database_name: str) -> Callable[..., Problem]:
    """Return a function that writes ``problems/reviews.yaml`` with some keys changed."""

    def write(**changes: Any) -> Problem:
        content = SMALL_PROBLEM | {
            key: SMALL_PROBLEM.get(key, {}) | value
            if isinstance(value, dict) and key not in {"candidates", "labels"}
            else value
            for key, value in changes.items()
        }
        content["source"] = content["source"] | {"database": database_name}
        path = machine.problems_dir / "reviews.yaml"
        with path.open("w") as file:
            YAML(typ="safe").dump(content, file)
        return load_problem(path)

    return write


@pytest.fixture
def problem(write_problem: Callable[..., Problem]) -> Problem:
    """The small problem: short film reviews and two cheap candidates."""
    return write_problem()


@pytest.fixture
def collection(mongodb_server: str, problem: Problem) -> Iterator[Any]:
    """Yield the collection of the small problem, empty, as another program would open it."""
    from pymongo import MongoClient

    with MongoClient(mongodb_server, tz_aware=True) as client:
        yield client[problem.source.database][problem.source.collection]
        client.drop_database(problem.source.database)


@pytest.fixture(scope="session")
def snippets() -> list[tuple[str, int]]:
    """Short real film reviews with their labels, negative and positive ones in turn."""
    from tasks.data.seed import read_file, reviews_file

    rows = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    sides: dict[int, list[str]] = {0: [], 1: []}
    for row in rows.to_pylist():
        if 40 <= len(row["text"]) <= 200:
            sides[row["label"]].append(row["text"])
    pairs = zip(sides[0][:1000], sides[1][:1000], strict=True)
    return [(text, label) for pair in pairs for label, text in enumerate(pair)]


@pytest.fixture(scope="session")
def documents(snippets: list[tuple[str, int]]) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that makes documents of real reviews, a minute apart."""

    def make(
        count: int,
        *,
        first: int = 0,
        at: datetime = MIDNIGHT,
        every: timedelta = timedelta(minutes=1),
    ) -> list[dict[str, Any]]:
        return [
            {
                "_id": f"review-{number}",
                "text": text,
                "label": label,
                "created_at": at + every * position,
                "source": "test",
            }
            for position, (number, (text, label)) in enumerate(
                list(enumerate(snippets))[first : first + count]
            )
        ]

    return make


@pytest.fixture
def run_task() -> Callable[..., Any]:
    """Return a function that calls what a task does, without a Prefect run around it."""
    from prefect.logging import disable_run_logger

    def call(task: Any, *args: Any, **kwargs: Any) -> Any:
        with disable_run_logger():
            return task.fn(*args, **kwargs)

    return call
