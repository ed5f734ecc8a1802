"""The service as it runs: real processes of ``bentoml serve`` with two workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from settings import PROJECT, Settings
from tests.conftest import free_port, wait_until
from tests.serving.conftest import BAD, GOOD, metric
from versions import ModelVersion

if TYPE_CHECKING:
    from registry import Registry

_START_SECONDS = 120.0
_WORKER = "_bentoml_impl.worker.service"


@dataclass
class Running:
    """A service that runs, and its client."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if _WORKER in _command(child)]

    def loaded_everywhere(self, version: int) -> bool:
        """Whether both workers answer with a version."""
        found = {
            _versions(self.client.post("/classify", json={"inputs": [GOOD]})) for _ in range(12)
        }
        return found == {(version,)}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _versions(answer: httpx.Response) -> tuple[int, ...]:
    predictions = answer.raise_for_status().json()["predictions"]
    return tuple({prediction["version"] for prediction in predictions})


@pytest.fixture
def running(machine: Settings, production: ModelVersion, tmp_path: Path) -> Iterator[Running]:
    """A service with two workers, both ready."""
    port, log = free_port(), tmp_path / "service.log"
    environment = {
        **os.environ,
        "SERVING_PORT": str(port),
        "SERVING_WORKERS": "2",
        "SERVING_POLL_SECONDS": "0.3",
        "SERVING_LOG_SHARE": "0",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=PROJECT,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    # A connection for each request: the kernel chooses a worker anew.
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30)
    service = Running(process, client, log)
    try:
        wait_until(lambda: _ready(service), "both workers are ready", _START_SECONDS)
        yield service
    finally:
        client.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _ready(service: Running) -> bool:
    assert service.process.poll() is None, service.log.read_text()[-3000:]
    try:
        return all(service.client.get("/readyz").status_code == 200 for _ in range(12))
    except httpx.TransportError:
        return False


@dataclass
class Load:
    """Requests that go on beside a test."""

    service: Running
    answers: list[tuple[int, ...]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        base = self.service.client.base_url
        with httpx.Client(base_url=base, timeout=30) as client:
            while not self._ending.is_set():
                try:
                    answer = client.post("/classify", json={"inputs": [GOOD, BAD, GOOD]})
                    self.answers.append(_versions(answer))
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))


def test_promotions_under_load_lose_and_mix_no_answer(
    running: Running,
    versions: list[ModelVersion],
    promote: Callable[[ModelVersion], None],
) -> None:
    with Load(running) as load:
        for version in (*versions[1:], versions[0], versions[2]):
            promote(version)
            wait_until(lambda number=version.version: running.loaded_everywhere(number), "swapped")

    assert load.failures == []
    assert all(len(found) == 1 for found in load.answers)
    assert {found[0] for found in load.answers} == {1, 2, 3}
    assert load.answers[-1] == (3,)


def test_a_worker_that_is_killed_is_replaced_and_the_metrics_stay_right(
    running: Running, machine: Settings
) -> None:
    before = Counter(
        running.client.post("/classify", json={"inputs": [text]}).json()["predictions"][0]["label"]
        for text in [GOOD, BAD, GOOD] * 50
    )
    counted = {name: _predicted(running, name) for name in before}
    assert counted == dict(before)
    asked = metric(running.client, "app_request_count_total", route="/classify", status="200")
    assert asked == before.total()
    old = running.workers()
    assert len(old) == 2

    with Load(running) as load:
        wait_until(lambda: len(load.answers) > 50, "load")
        old[0].kill()
        wait_until(lambda: len(set(running.workers()) - set(old)) == 1, "a new worker", 30)
        (new,) = set(running.workers()) - set(old)
        metrics = f"counter_{new.pid}.db"
        folder = Path(machine.data_dir) / "serving"
        wait_until(lambda: list(folder.glob(f"*/prometheus_multiproc_dir/{metrics}")), "it counts")

    # Each of the three clients may have had a request in the dead worker's hands.
    assert len(load.failures) <= 3
    wait_until(lambda: _ready(running), "ready")
    assert {name: _predicted(running, name) >= counted[name] for name in counted} == {
        "negative": True,
        "positive": True,
    }
    assert metric(running.client, "registry_up") == 1


def _predicted(running: Running, label: str) -> float:
    return metric(running.client, "model_prediction_count_total", **{"class": label})


def test_sigterm_finishes_what_is_in_flight(running: Running) -> None:
    started, results = threading.Event(), []

    def slow_body() -> Iterator[bytes]:
        yield b'{"inputs": ['
        started.set()
        time.sleep(0.5)
        yield b'"' + GOOD.encode() + b'"]}'

    def ask() -> None:
        headers = {"Content-Type": "application/json"}
        results.append(running.client.post("/classify", content=slow_body(), headers=headers))

    thread = threading.Thread(target=ask)
    thread.start()
    started.wait()
    running.process.send_signal(signal.SIGTERM)
    thread.join()

    assert results[0].status_code == 200
    assert running.process.wait(20) is not None
    with pytest.raises(httpx.ConnectError):
        running.client.get("/livez")


def test_with_the_registry_gone_workers_go_on_and_a_new_one_starts_from_the_cache(
    running: Running, machine: Settings
) -> None:
    cache = machine.data_dir / "serving" / "models" / "reviews" / "aliases.json"
    wait_until(cache.exists, "the cache is written")
    (machine.data_dir / "mlflow").rename(machine.data_dir / "mlflow-away")
    (machine.data_dir / "mlflow").write_text("")
    old = running.workers()

    for worker in old:
        worker.kill()
    wait_until(lambda: len(set(running.workers()) - set(old)) == 2, "new workers", 30)
    wait_until(lambda: _ready(running), "ready from the cache", _START_SECONDS)

    state = running.client.get("/readyz").json()
    assert state["models"] == [{"model": "reviews", "version": 1, "origin": "cache"}]
    assert _versions(running.client.post("/classify", json={"inputs": [GOOD]})) == (1,)
