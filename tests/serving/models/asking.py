"""What the tests of versions ask: which one answers, and whether the service has looked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from serving.api.app import Service
from tests.conftest import wait_until
from tests.small_models import GOOD

Serve = Callable[..., tuple[Service, TestClient]]


def version_of(client: TestClient, **headers: str) -> int:
    answer = client.post("/classify", json={"inputs": [GOOD]}, headers=headers)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["predictions"][0]["version"])


def ready(client: TestClient) -> Any:
    return wait_until(
        lambda: (answer := client.get("/readyz")).status_code == 200 and answer.json(), "ready"
    )


def has_looked_again(service: Service) -> None:
    """Wait until the watcher has looked at the registry anew."""
    assert service.watcher.refresh(20)
