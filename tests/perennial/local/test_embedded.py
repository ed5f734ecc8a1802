"""The embedded servers: shared while they are used, gone when nobody uses them any more."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from perennial.errors import OutsideError
from perennial.local import embedded
from perennial.settings import PROJECT, Settings
from perennial.stores import mongodb
from tests.conftest import wait_until

_USER = """
import sys
from pathlib import Path
from perennial.local import embedded
from perennial.settings import Settings
with embedded.server(Settings(data_dir=Path(sys.argv[1])), "mongodb") as port:
    print(port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("MONGODB_URI", raising=False)
    return Settings(data_dir=tmp_path)


@pytest.fixture
def use_the_server(settings: Settings) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Yield a function that starts a process which uses the server until its input ends."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(settings.data_dir)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    home = settings.data_dir / "mongodb"
    wait_until(lambda: not home.exists() or not embedded._is_running(home), "no server is left")


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def _can_write(port: int) -> bool:
    # As the project does: what is acknowledged without the journal may be lost by a kill.
    address = f"mongodb://127.0.0.1:{port}/?directConnection=true&journal=true"
    with MongoClient(address) as client:
        return client["a"]["b"].insert_one({}).acknowledged


def test_two_processes_share_a_server_that_ends_with_the_last_even_when_it_is_killed(
    use_the_server: Callable[[], subprocess.Popen[str]], settings: Settings
) -> None:
    one, other = use_the_server(), use_the_server()
    port = _port(one)
    assert _port(other) == port

    one.send_signal(signal.SIGKILL)
    one.wait()

    # Whoever comes now is a user of the same server, so it has not ended.
    third = use_the_server()
    assert _port(third) == port
    assert _can_write(port)
    for process in (other, third):
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not embedded._answers(port), "the server has ended")


def test_what_was_written_is_there_when_the_server_is_started_again(settings: Settings) -> None:
    with mongodb.connect(settings) as client:
        client["a"]["b"].insert_one({"_id": 1})
    with mongodb.connect(settings) as client:
        assert client["a"]["b"].find_one() == {"_id": 1}


def test_a_server_comes_back_at_the_port_that_it_had(settings: Settings) -> None:
    with embedded.server(settings, "mongodb") as first:
        pass
    wait_until(lambda: not embedded.is_running(settings, "mongodb"), "the server has ended")

    with embedded.server(settings, "mongodb") as again:
        assert again == first


def test_a_server_that_was_killed_is_started_again_at_the_same_port_with_its_documents(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded.server(settings, "mongodb") as port:
        assert _can_write(port)
        (server,) = [
            process
            for process in psutil.process_iter(["cmdline"])
            if {"--port", str(port)} <= set(process.info["cmdline"] or ())
        ]
        wait_until(
            lambda: time.time() - server.create_time() > embedded._STABLE_SECONDS + 1, "it is old"
        )
        server.kill()
        server.wait()

        wait_until(lambda: embedded._answers(port), "the server is back")
        with MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
            assert client["a"]["b"].count_documents({}) == 1


def test_a_server_that_is_not_installed_is_told_in_one_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The supervisor is a process of its own: it looks for the program beside its interpreter.
    without = settings.data_dir / "bin"
    without.mkdir()
    (without / "python").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr(sys, "executable", str(without / "python"))
    monkeypatch.setenv("PATH", str(without))
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))

    with (
        pytest.raises(OutsideError, match=r"embedded mongodb server did not start.*MONGODB_URI"),
        embedded.server(settings, "mongodb"),
    ):
        pytest.fail("a server that is not installed answers")


@pytest.mark.parametrize("deaf", [False, True], ids=["ends when told", "hears nothing"])
def test_no_server_outlives_its_supervisor(deaf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_END_SECONDS", 0.5)
    handler = "SIG_IGN" if deaf else "SIG_DFL"
    program = f"import signal, time; signal.signal(15, signal.{handler}); print(1, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; time.sleep(600)"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()

        embedded._end(process)

    assert process.returncode == -(signal.SIGKILL if deaf else signal.SIGTERM)
