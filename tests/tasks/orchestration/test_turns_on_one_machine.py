"""Turns without servers: processes of one machine wait for each other, and not for dead ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perennial.settings import PROJECT
from tests.conftest import wait_until

# Takes a turn, says so in a file, and ends when another file is there.
_DRIVER = """
import sys, time
from pathlib import Path
from perennial.libraries import prepare_environment, uses_embedded_prefect
prepare_environment()
from prefect.logging.configuration import setup_logging
from tasks.orchestration.flow_lock import is_taken, turn
assert uses_embedded_prefect()
setup_logging()
flow, problem, name = sys.argv[1:]
Path(f"{name}.sees-{is_taken(flow, problem)}").touch()
with turn(flow, problem):
    Path(f"{name}.has-it").touch()
    while not Path(f"{name}.may-end").exists():
        time.sleep(0.02)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a process that wants a turn."""
    names = {each: value for each, value in os.environ.items() if not each.startswith("PREFECT_")}
    environment = names | {"DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(PROJECT)}
    started = []

    def one(name: str, problem: str = "reviews", flow: str = "retrain") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER, flow, problem, name],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.communicate()


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    wait_until(lambda: path.exists() or process.poll() is not None, path.name, 120)
    assert path.exists(), process.communicate()[1]


def test_the_second_process_waits_for_the_first_and_says_so(start: Start, tmp_path: Path) -> None:
    first = start("first")
    _wait_for(tmp_path / "first.has-it", first)
    second = start("second")
    assert second.stderr is not None
    said = second.stderr.readline()

    assert "waiting for it" in said
    assert (tmp_path / "second.sees-True").exists()
    assert not (tmp_path / "second.has-it").exists()
    (tmp_path / "first.may-end").touch()
    _wait_for(tmp_path / "second.has-it", second)
    assert first.wait(timeout=60) == 0


def test_the_turn_of_a_killed_process_is_free_at_once(start: Start, tmp_path: Path) -> None:
    first = start("first")
    _wait_for(tmp_path / "first.has-it", first)
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=60)
    second = start("second")

    _wait_for(tmp_path / "second.has-it", second)
    assert (tmp_path / "second.sees-False").exists()


def test_another_problem_does_not_wait(start: Start, tmp_path: Path) -> None:
    _wait_for(tmp_path / "first.has-it", start("first"))

    _wait_for(tmp_path / "second.has-it", start("second", problem="flowers"))
