"""The service as it runs: real processes of ``bentoml serve`` with two workers."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
import psutil
import pytest
from filelock import FileLock

from perennial.settings import PROJECT, Settings
from serving.__main__ import SERVICE
from tests.conftest import copy_mlflow, forget_mlflow, free_port, wait_until
from tests.serving.conftest import metric
from tests.small_models import BAD, GOOD

if TYPE_CHECKING:
    from perennial.registry.client import Registry

pytestmark = pytest.mark.e2e

_START_SECONDS = 120.0
_END_SECONDS = 30.0
_CLIENTS = 3
_SOON_SECONDS = 0.5
_CONNECTIONS = 40
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

    def swaps(self) -> int:
        """How often a version has taken over in a worker; the first one of each counts, too."""
        try:
            return int(metric(self.client, "perennial_model_swaps_total"))
        except httpx.TransportError:
            return 0


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _versions(answer: httpx.Response) -> tuple[int, ...]:
    predictions = answer.raise_for_status().json()["predictions"]
    return tuple({prediction["version"] for prediction in predictions})


@pytest.fixture(scope="module")
def machine(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One machine for all tests here: to start the service takes seconds."""
    data = tmp_path_factory.mktemp("processes") / "data"
    (data / "mlflow").mkdir(parents=True)
    copy_mlflow(empty_mlflow, data)
    return Settings(data_dir=data)


@pytest.fixture(scope="module")
def registry(machine: Settings) -> Iterator[Registry]:
    """The registry, as a flow uses it."""
    from perennial.registry.client import open_registry

    yield open_registry(machine)
    forget_mlflow()


@pytest.fixture(scope="module")
def promote(registry: Registry) -> Callable[[int], None]:
    """Return a function that makes a version Production."""

    def promoted(number: int) -> None:
        version = registry.version("reviews", number)
        registry.promote(version, expected=registry.production("reviews"))

    return promoted


@pytest.fixture(scope="module")
def running(machine: Settings, promote: Callable[[int], None]) -> Iterator[Running]:
    """A service with two workers, both ready with the first version."""
    promote(1)
    port, log = free_port(), machine.data_dir / "service.log"
    environment = {
        **os.environ,
        "DATA_DIR": str(machine.data_dir),
        "SERVING_HOST": "localhost",
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
        wait_until(lambda: _loaded(service, 2), "both workers are ready", _START_SECONDS)
        yield service
    finally:
        client.close()
        _end(service)


def _end(service: Running) -> None:
    if service.process.poll() is None:
        workers = service.workers()
        service.process.terminate()
        try:
            service.process.wait(_END_SECONDS)
        finally:
            for process in [*workers, service.process]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def _loaded(service: Running, swaps: int) -> bool:
    assert service.process.poll() is None, service.log.read_text()[-3000:]
    return service.swaps() >= swaps


@dataclass
class Load:
    """Requests that go on beside a test."""

    service: Running
    answers: list[tuple[int, ...]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._ask) for _ in range(_CLIENTS)]
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


def test_the_metrics_of_two_workers_are_the_counts_of_the_client(running: Running) -> None:
    asked = {"route": "/classify", "status": "200"}
    before = metric(running.client, "app_request_count_total", **asked)
    counted = Counter(
        running.client.post("/classify", json={"inputs": [text]}).json()["predictions"][0]["label"]
        for text in [GOOD, BAD, GOOD] * 50
    )

    after = metric(running.client, "app_request_count_total", **asked)

    assert after - before == counted.total() == 150
    assert {name: _predicted(running, name) for name in counted} == dict(counted)


def _predicted(running: Running, label: str) -> float:
    return metric(running.client, "model_prediction_count_total", **{"class": label})


def _refused_start(folder: Path, *arguments: str, **variables: str) -> str:
    """Try to start a service that must not start; return all that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        cwd=PROJECT,
        env={**os.environ, "DATA_DIR": str(folder), "SERVING_WORKERS": "1", **variables},
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout + done.stderr


def _metrics(service: Running) -> float:
    return metric(service.client, "app_request_count_total", route="/classify", status="200")


@pytest.mark.parametrize("place", ["here", "in another clone"])
def test_a_second_start_on_a_taken_port_changes_nothing(
    running: Running, machine: Settings, tmp_path: Path, place: str
) -> None:
    folder = machine.data_dir if place == "here" else tmp_path / "data"
    running.client.post("/classify", json={"inputs": [GOOD]}).raise_for_status()
    counted, port = _metrics(running), running.client.base_url.port

    said = [
        _refused_start(folder, SERVING_PORT=str(port)),
        _refused_start(folder, "--port", str(port)),
    ]

    sentence = f"Another program listens on port {port} of 127.0.0.1; end it, or set SERVING_PORT."
    assert said == [sentence + "\n"] * 2
    assert _metrics(running) == counted > 0
    assert folder == machine.data_dir or not folder.exists()


def test_a_start_whose_metrics_port_is_taken_changes_nothing(
    running: Running, tmp_path: Path
) -> None:
    taken = running.client.base_url.port
    variables = {"SERVING_PORT": str(free_port()), "SERVING_METRICS_PORT": str(taken)}

    said = _refused_start(tmp_path / "data", **variables)

    assert said.count("\n") == 1
    assert f"port {taken} of 0.0.0.0; end it, or set SERVING_METRICS_PORT." in said
    assert not (tmp_path / "data").exists()


def test_a_second_start_while_the_first_still_starts_changes_nothing(tmp_path: Path) -> None:
    port = free_port()
    home = tmp_path / "serving" / f"bentoml-{port}"
    kept = home / "prometheus_multiproc_dir" / "counter_1.db"
    kept.parent.mkdir(parents=True)
    kept.touch()

    with FileLock(home / "lock"):
        said = _refused_start(tmp_path, SERVING_PORT=str(port))

    assert said.count("\n") == 1
    assert "set SERVING_PORT" in said
    assert kept.exists()


def test_a_service_without_keys_does_not_start_where_others_reach_it(tmp_path: Path) -> None:
    for arguments in ((), ("--host", "0.0.0.0")):
        variables = {} if arguments else {"SERVING_HOST": "0.0.0.0"}

        said = _refused_start(tmp_path / "data", *arguments, **variables)

        assert said.count("\n") == 1
        assert "SERVING_API_KEY_HASHES is not set" in said
        assert not (tmp_path / "data").exists()


def test_bentoml_without_our_launcher_does_not_listen_for_others_without_keys(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", SERVICE, "--port", str(free_port())],
        cwd=PROJECT,
        env={**os.environ, "DATA_DIR": str(tmp_path), "BENTOML_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
    )

    assert done.returncode != 0
    assert "SERVING_HOST 0.0.0.0 is an address that others reach" in done.stdout + done.stderr


def test_long_lived_connections_are_shared_out_to_all_workers(running: Running) -> None:
    port = running.client.base_url.port
    # One for all: each takes so long to make that the first connection would be idle too long.
    context = ssl.create_default_context()
    with ExitStack() as stack:
        for _ in range(_CONNECTIONS):
            client = httpx.Client(base_url=running.client.base_url, verify=context)
            stack.enter_context(client)
            assert client.get("/livez").status_code == 200
        held = [
            sum(each.laddr.port == port for each in worker.net_connections() if each.raddr)
            for worker in running.workers()
        ]

    assert sum(held) == _CONNECTIONS
    # Each falls to either worker by chance; so few to one is less than one in a million.
    assert min(held) > 4


def test_sighup_ends_no_worker_and_loses_no_answer(running: Running) -> None:
    before = {worker.pid for worker in running.workers()}
    with Load(running) as load:
        answered = len(load.answers)
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP changes nothing" in running.log.read_text(), "the signal")
        wait_until(lambda: len(load.answers) > answered + 50, "answers")

    assert load.failures == []
    assert {worker.pid for worker in running.workers()} == before


def test_promotions_under_load_lose_and_mix_no_answer(
    running: Running, promote: Callable[[int], None]
) -> None:
    with Load(running) as load:
        for number in (2, 3, 1, 3):
            wanted = running.swaps() + 2
            promote(number)
            wait_until(lambda wanted=wanted: _loaded(running, wanted), "swapped")

    assert load.failures == []
    assert all(len(found) == 1 for found in load.answers)
    assert {found[0] for found in load.answers} == {1, 2, 3}
    assert load.answers[-1] == (3,)


def test_a_worker_that_is_killed_takes_only_its_own_requests_along_and_is_replaced(
    running: Running,
) -> None:
    old, swaps = running.workers(), running.swaps()
    counted = {name: _predicted(running, name) for name in ("negative", "positive")}
    assert len(old) == 2

    with Load(running) as load:
        wait_until(lambda: len(load.answers) > 50, "load")
        old[0].kill()
        wait_until(lambda: set(running.workers()) - set(old), "a new worker")
    wait_until(lambda: _loaded(running, swaps + 1), "ready", _START_SECONDS)

    # Each of the clients may have had a request in the dead worker's hands, and a second one, as it
    # asks again at once: the system closes a dead process's connections before its door.
    assert len(load.failures) <= 2 * _CLIENTS
    assert all(_predicted(running, name) > counted[name] for name in counted)


def test_with_the_registry_gone_new_workers_start_from_the_cache(
    running: Running, machine: Settings
) -> None:
    (served,) = running.client.get("/readyz").json()["models"]
    folder = machine.data_dir / "mlflow"
    folder.rename(machine.data_dir / "mlflow-away")
    folder.write_text("in its place: MLflow can neither open nor create its database")
    old, swaps = running.workers(), running.swaps()

    for worker in old:
        worker.kill()
    wait_until(lambda: len(set(running.workers()) - set(old)) == 2, "new workers")
    wait_until(lambda: _loaded(running, swaps + 2), "ready from the cache", _START_SECONDS)

    state = running.client.get("/readyz").json()
    assert state["models"] == [served | {"origin": "cache"}]
    answer = running.client.post("/classify", json={"inputs": [GOOD]})
    assert _versions(answer) == (served["version"],)


# The last test here: it ends the service.
def test_sigterm_finishes_what_is_in_flight(running: Running) -> None:
    started = threading.Event()
    results: list[httpx.Response] = []

    def slow_body() -> Iterator[bytes]:
        yield b'{"inputs": ['
        started.set()
        wait_until(lambda: not _accepts(running), "the service takes no more")
        yield b'"' + GOOD.encode() + b'"]}'

    def ask() -> None:
        headers = {"Content-Type": "application/json"}
        results.append(running.client.post("/classify", content=slow_body(), headers=headers))

    thread = threading.Thread(target=ask)
    thread.start()
    started.wait()
    running.process.terminate()
    thread.join()

    assert [answer.status_code for answer in results] == [200]
    assert running.process.wait(_END_SECONDS) is not None


def _accepts(running: Running) -> bool:
    try:
        return running.client.get("/livez", timeout=_SOON_SECONDS).status_code == 200
    except httpx.TransportError:
        return False
