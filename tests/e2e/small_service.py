"""A service on a small model, in processes of its own, in the environment of a test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from perennial.settings import PROJECT, Settings
from tests.conftest import forget_mlflow, free_port, wait_until
from tests.small_models import fit_small, register_small

_START_SECONDS = 120.0


def promote_small(folder: Path, reviews: Sequence[tuple[str, int]]) -> Path:
    """Make a data folder whose registry has a model ``reviews`` in Production."""
    from perennial.registry.client import open_registry

    register_small(folder, [fit_small(reviews)])
    registry = open_registry(Settings(data_dir=folder))
    registry.promote(registry.version("reviews", 1), expected=None)
    forget_mlflow()
    return folder


@contextmanager
def serving(environment: Mapping[str, str], log: Path) -> Iterator[httpx.Client]:
    """Run the service until the end of the block; yield a client of it when it is ready."""
    port = free_port()
    with log.open("wb") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=PROJECT,
            env={**environment, "SERVING_PORT": str(port), "SERVING_WORKERS": "1"},
            stdout=output,
            stderr=output,
        )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def ready() -> bool:
        assert service.poll() is None, log.read_text()
        try:
            return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(ready, "the service is ready", _START_SECONDS)
        yield client
    finally:
        client.close()
        service.terminate()
        service.wait(timeout=60)
