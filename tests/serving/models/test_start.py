"""A worker that starts beside others does not answer before it has their model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from perennial.registry.model_version import ModelVersion
from serving.api.app import Service
from serving.models.cache import ModelCache
from serving.models.poll import Poll
from serving.models.store import ModelStore
from tests.serving.models.asking import ready

Serve = Callable[..., tuple[Service, TestClient]]
# Longer than any test.
SECONDS = 60.0


class Gate:
    """Holds whoever passes until it is opened."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()

    def open(self) -> None:
        """Let all pass."""
        self._open.set()

    def before(self, what: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is to be done, behind the gate."""

        def held(*args: Any, **options: Any) -> Any:
            self.reached.set()
            assert self._open.wait(SECONDS)
            return what(*args, **options)

        return held


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def opened_when_it_is_late(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open the gate when the worker has waited for the registry as long as it may."""
    has_cached = ModelStore.has_cached

    def late(store: ModelStore) -> bool:
        found = has_cached(store)
        gate.open()
        return found

    monkeypatch.setattr(ModelStore, "has_cached", late)


@pytest.mark.usefixtures("production", "opened_when_it_is_late")
def test_a_model_that_another_worker_has_is_waited_for(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = serve()
    ready(other)
    monkeypatch.setattr(ModelCache, "read", gate.before(ModelCache.read))
    slow, client = serve()
    assert gate.reached.wait(SECONDS)

    assert slow.watcher.wait_until_informed(0.0, SECONDS)

    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("opened_when_it_is_late")
def test_a_model_that_the_registry_has_named_is_waited_for(
    serve: Serve, gate: Gate, production: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelCache, "fetch", gate.before(ModelCache.fetch))
    slow, client = serve()
    assert gate.reached.wait(SECONDS)

    assert slow.watcher.wait_until_informed(0.0, SECONDS)

    (model,) = client.get("/readyz").json()["models"]
    assert model["version"] == production.version


@pytest.mark.usefixtures("production")
def test_a_registry_that_says_nothing_is_not_waited_for_where_no_model_is_known(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Poll, "look", gate.before(Poll.look))
    service, client = serve()
    assert gate.reached.wait(SECONDS)

    assert not service.watcher.wait_until_informed(0.0, SECONDS)

    assert client.get("/readyz").status_code == 503
