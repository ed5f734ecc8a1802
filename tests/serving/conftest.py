"""What the tests of the service share: small models, the application in this process, and real
processes that serve it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.pipeline import Pipeline
from starlette.testclient import TestClient

from perennial.config.problem import Problem
from perennial.registry.model_version import ModelVersion
from perennial.settings import ServingSettings, Settings
from serving.api.app import Service
from serving.runtime.connections import patch_uvicorn
from serving.runtime.limits import ConnectionLimits
from tests.conftest import wait_until
from tests.small_models import fit_small, register_small

if TYPE_CHECKING:
    from perennial.registry.client import Registry


@pytest.fixture(scope="session")
def models(snippets: list[tuple[str, int]]) -> list[Pipeline]:
    """Three models, fitted on more and more reviews."""
    return [fit_small(snippets[:count]) for count in (600, 800, 1000)]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory, models: list[Pipeline]) -> Path:
    """Return an MLflow database with three versions of the small problem, and no alias yet."""
    tags = {"holdout.accuracy": "0.8 [0.7, 0.9]", "candidate": "tfidf-logistic"}
    return register_small(tmp_path_factory.mktemp("registered"), models, tags)


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> Callable[[ConnectionLimits], None]:
    """Return a function that lets servers start as those of the workers do, for one test."""
    import uvicorn
    from uvicorn.protocols.http import auto

    monkeypatch.setattr(uvicorn.Server, "startup", uvicorn.Server.startup)
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)
    return patch_uvicorn


@pytest.fixture
def registry(machine: Settings, problem: Problem) -> Registry:
    """The registry, as a flow uses it."""
    from perennial.registry.client import open_registry

    return open_registry(machine)


@pytest.fixture
def versions(registry: Registry) -> list[ModelVersion]:
    """The three versions that are registered."""
    return [registry.version("reviews", number) for number in (1, 2, 3)]


@pytest.fixture
def promote(registry: Registry) -> Callable[[ModelVersion], None]:
    """Return a function that makes a version Production."""

    def promoted(version: ModelVersion) -> None:
        registry.promote(version, expected=registry.production(version.problem))

    return promoted


@pytest.fixture
def settings(machine: Settings) -> ServingSettings:
    """Settings of the service that do not wait long."""
    return ServingSettings(poll_seconds=0.2)


@pytest.fixture
def serve(
    machine: Settings, settings: ServingSettings
) -> Iterator[Callable[..., tuple[Service, TestClient]]]:
    """Return a function that starts the service in this process, as one worker runs it."""
    running: list[Service] = []

    def served(where: Settings = machine, **changes: Any) -> tuple[Service, TestClient]:
        service = Service(where, settings.model_copy(update=changes))
        service.start()
        running.append(service)
        return service, TestClient(service.app, raise_server_exceptions=False)

    yield served
    for service in running:
        service.end()
        service.watcher.join(20)


@pytest.fixture
def production(
    versions: list[ModelVersion], promote: Callable[[ModelVersion], None]
) -> ModelVersion:
    """The first version, in Production."""
    promote(versions[0])
    return versions[0]


@pytest.fixture
def client(
    production: ModelVersion, serve: Callable[..., tuple[Service, TestClient]]
) -> TestClient:
    """A client of a service that is ready."""
    _, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
    return client


@pytest.fixture
def database(mongodb_server: str, problem: Problem) -> Iterator[Any]:
    """The database of the small problem, which here has the log as well."""
    from pymongo import MongoClient

    with MongoClient(mongodb_server, tz_aware=True) as client:
        yield client[problem.source.database]
        client.drop_database(problem.source.database)


@pytest.fixture
def logged(
    serve: Callable[..., tuple[Service, TestClient]], production: ModelVersion, database: Any
) -> Callable[..., Any]:
    """Return a function that starts a service which logs into the test's database."""

    def start(**changes: Any) -> tuple[Service, TestClient]:
        service, client = serve(log_database=database.name, **changes)
        wait_until(lambda: client.get("/readyz").status_code == 200, "ready")
        return service, client

    return start


def metric(client: Any, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    from prometheus_client.parser import text_string_to_metric_families

    return sum(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
